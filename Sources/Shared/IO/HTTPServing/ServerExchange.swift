package import HTTPMessages
package import Reactor

package enum RequestBodyError: Error, Equatable {
    /// More than the limit: answer 413.
    case tooLarge
    /// The caller stopped sending: answer 408.
    case timedOut
    /// The caller is gone, or broke the protocol: nothing can be answered.
    case callerGone
}

/// One request and its answer. Bound to the server's loop.
///
/// The handler gets it when the head is complete. An exchange whose handler returns without an answer is answered 500.
/// Every call on an exchange whose caller is gone does nothing.
package final class ServerExchange {
    package let request: HTTPRequestHead = HTTPRequestHead(method: "", target: "")
    package let version: HTTPVersion = .http1
    package let peer: SocketAddress? = nil
    package let isTLS: Bool = false
    /// When the request's first byte arrived.
    package let startedAt: MonotonicTime = .now
    package let loop: EventLoop

    init(loop: EventLoop) { self.loop = loop }

    // MARK: Request body

    /// Bytes announced by `content-length`.
    package var announcedBodyLength: Int? { nil }

    /// Reads the whole body; sends `100 Continue` first where the caller waits for it. The array has at least 64 bytes
    /// of spare capacity, so that a parser may read beyond its end. Call at most once.
    package func collectBody(limit: Int) async throws -> [UInt8] { fatalError("unimplemented") }

    // MARK: Answer

    /// Sends a whole answer; `content-length` is added.
    package func respond(_ head: HTTPResponseHead, body: [UInt8]) { fatalError("unimplemented") }

    /// Sends the head; a body follows in pieces (chunked on HTTP/1.1 unless `content-length` is given).
    package func startResponse(_ head: HTTPResponseHead) { fatalError("unimplemented") }

    package func write(_ bytes: UnsafeRawBufferPointer) { fatalError("unimplemented") }

    /// Ends the body.
    package func finish() { fatalError("unimplemented") }

    /// Breaks the answer off so that the caller can see it is incomplete: RST_STREAM, or the connection is cut.
    package func cut() { fatalError("unimplemented") }

    package var isResponseStarted: Bool { fatalError("unimplemented") }
    package var isFinished: Bool { fatalError("unimplemented") }

    // MARK: The caller's pace

    /// Bytes written here that the caller has not taken.
    package var pendingBytes: Int { fatalError("unimplemented") }

    /// Asks for one call of `onDrain` when `pendingBytes` has fallen to zero.
    package func notifyWhenDrained() { fatalError("unimplemented") }
    package var onDrain: (() -> Void)?

    package var isCallerGone: Bool { fatalError("unimplemented") }
    /// Called once if the caller goes away before the answer is finished.
    package var onCallerGone: (() -> Void)?
}

extension ServerExchange {
    package func write(_ bytes: [UInt8]) { bytes.withUnsafeBytes { write($0) } }
}
