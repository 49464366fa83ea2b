package import HTTPMessages

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

    /// The value of `host` and `:authority` (RFC 9110, 7.2): without the port where it is the scheme's own.
    var authority: String {
        let name = host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host
        return port == (isTLS ? 443 : 80) ? name : "\(name):\(port)"
    }
}

package struct FetchTimeouts: Sendable {
    /// TCP, TLS and the wait for a connection.
    package var connect = Duration.seconds(10)
    /// From the request's last byte to the answer's head.
    package var firstByte = Duration.seconds(120)
    /// Between two pieces of an answer; also between two pieces of a request that the upstream is slow to take.
    package var idle = Duration.seconds(120)
    /// Of the whole exchange.
    package var total = Duration.seconds(3600)

    package init() {}
}

package struct FetchRequest: Sendable {
    package var endpoint: Endpoint
    /// `host` and `content-length` are set by the client; `host` may be given.
    package var head: HTTPRequestHead
    package var body: [UInt8]
    package var timeouts: FetchTimeouts

    package init(
        to endpoint: Endpoint,
        _ head: HTTPRequestHead,
        body: [UInt8] = [],
        timeouts: FetchTimeouts = FetchTimeouts()
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
