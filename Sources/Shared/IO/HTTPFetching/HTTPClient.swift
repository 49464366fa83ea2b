package import HTTPMessages
package import Reactor

/// Where a request goes, and with whom it may share a connection.
package struct Endpoint: Hashable, Sendable {
    package enum WireProtocol: String, Hashable, Sendable {
        /// ALPN on https, HTTP/1.1 on http.
        case auto
        case http1
        /// ALPN `h2` only on https, prior knowledge on http.
        case http2 = "h2"
    }
    package var isTLS: Bool
    package var host: String
    package var port: UInt16
    package var wireProtocol: WireProtocol
    /// Requests with different tags never share a connection: the account id, where isolation is wanted.
    package var isolation: Int64?

    package init(isTLS: Bool, host: String, port: UInt16, wireProtocol: WireProtocol = .auto, isolation: Int64? = nil) {
        self.isTLS = isTLS
        self.host = host
        self.port = port
        self.wireProtocol = wireProtocol
        self.isolation = isolation
    }
}

package struct FetchTimeouts: Sendable {
    /// TCP, TLS and the wait for a connection.
    package var connect = Duration.seconds(10)
    /// From the request's last byte to the answer's head.
    package var firstByte = Duration.seconds(120)
    /// Between two pieces of an answer.
    package var idle = Duration.seconds(120)
    /// Of the whole exchange.
    package var total = Duration.seconds(3600)

    package init() {}
}

package struct FetchRequest: Sendable {
    package var endpoint: Endpoint
    package var head: HTTPRequestHead
    package var body: [UInt8]
    package var timeouts: FetchTimeouts

    package init(
        to endpoint: Endpoint, _ head: HTTPRequestHead, body: [UInt8] = [], timeouts: FetchTimeouts = FetchTimeouts()
    ) {
        self.endpoint = endpoint
        self.head = head
        self.body = body
        self.timeouts = timeouts
    }
}

package enum FetchError: Error, Equatable {
    /// No connection; the request was not sent. `detail` is for logs.
    case connect(detail: String)
    case connectTimedOut
    /// The upstream surely did not process it (GOAWAY beyond its last stream, REFUSED_STREAM, a pooled connection that
    /// had died before the first byte was taken): safe to send again.
    case notProcessed
    case firstByteTimedOut
    case idleTimedOut
    case totalTimedOut
    /// Cut after the request was sent.
    case connectionLost(detail: String)
    case protocolViolation(detail: String)
    case bodyTooLarge
    case cancelled
}

/// Upstream HTTP on one loop: pooled HTTP/2 and HTTP/1.1 connections.
package final class HTTPClient {
    package struct Options: Sendable {
        package var streamsPerConnection = 64
        package var windowPerStream = 256 * 1024
        package var idleConnectionLifetime = Duration.seconds(90)
        /// An HTTP/2 connection that was silent this long is checked with a PING before it is trusted.
        package var pingAfter = Duration.seconds(30)
        package var pingTimeout = Duration.seconds(5)
        /// Extra trust anchors in PEM.
        package var authorityFile: String?
        package init() {}
    }

    package init(_ loop: EventLoop, options: Options = Options()) throws { fatalError("unimplemented") }

    /// Sends the request and returns when the answer's head is there. 1xx answers are swallowed, 101 is an error.
    ///
    /// - Throws: `FetchError`.
    package func send(_ request: FetchRequest) async throws -> FetchResponse { fatalError("unimplemented") }

    package var openConnections: Int { fatalError("unimplemented") }
    package var openExchanges: Int { fatalError("unimplemented") }

    /// Closes idle connections now and the others when they end.
    package func close() { fatalError("unimplemented") }
}

/// An answer whose body is still to be read: by `collect`, or by `consume`. One of them is called, once, or `cancel`.
package final class FetchResponse {
    package let head: HTTPResponseHead
    package let version: HTTPVersion

    init(head: HTTPResponseHead, version: HTTPVersion) {
        self.head = head
        self.version = version
    }

    /// Reads the whole body.
    ///
    /// - Throws: `FetchError`, `.bodyTooLarge` beyond `limit`.
    package func collect(limit: Int) async throws -> [UInt8] { fatalError("unimplemented") }

    /// Hands over each piece as it arrives, straight from the socket's callback, then the end: nil, or a `FetchError`.
    /// Pieces that arrived before this call are handed over in it. The bytes are valid during the call only.
    package func consume(
        onData: @escaping (UnsafeRawBufferPointer) -> Void,
        onEnd: @escaping (FetchError?) -> Void
    ) { fatalError("unimplemented") }

    /// While paused, nothing more is read for this answer beyond its window, and the upstream must wait. The idle
    /// timeout does not run.
    package func setPaused(_ isPaused: Bool) { fatalError("unimplemented") }

    /// Ends the exchange: RST_STREAM, or the connection is closed. `onEnd` is not called any more.
    package func cancel() { fatalError("unimplemented") }
}
