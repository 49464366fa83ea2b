package import HTTPMessages

/// An answer whose body is still to be read: by `collect`, or by `consume`. One of them is called, once, or `cancel`.
/// An answer that is dropped without any of them is cancelled.
package final class FetchResponse {
    package let head: HTTPResponseHead
    package let version: HTTPVersion
    private let body: BodyChannel

    init(head: HTTPResponseHead, version: HTTPVersion, body: BodyChannel) {
        self.head = head
        self.version = version
        self.body = body
    }

    deinit {
        if !body.hasReader { body.cancel() }
    }

    /// Reads the whole body.
    ///
    /// - Throws: `FetchError`, `.bodyTooLarge` beyond `limit`.
    package func collect(limit: Int) async throws -> [UInt8] {
        let announced = head.headers.withValue("content-length") { FieldBytes(raw: $0).decimal } ?? nil
        return try await body.collect(limit: limit, expected: announced ?? 0)
    }

    /// The whole body where it is here already, as short ones are when their heads are read; nil where it is to be waited
    /// for, by `collect`.
    ///
    /// - Throws: `FetchError`, as `collect`.
    package func collectIfEnded(limit: Int) throws -> [UInt8]? { try body.collectIfEnded(limit: limit) }

    /// Hands over each piece as it arrives, straight from the socket's callback, then the end: nil, or a `FetchError`.
    /// Pieces that arrived before this call are handed over in it. The bytes are valid during the call only.
    package func consume(
        onData: @escaping (UnsafeRawBufferPointer) -> Void,
        onEnd: @escaping (FetchError?) -> Void
    ) { body.read(onData: onData, onEnd: onEnd) }

    /// While paused, nothing more is read for this answer beyond its window, and the upstream must wait. The idle
    /// timeout does not run.
    package func setPaused(_ isPaused: Bool) { body.setPaused(isPaused) }

    /// Ends the exchange: RST_STREAM, or the connection is closed. `onEnd` is not called any more.
    package func cancel() { body.cancel() }
}
