package import Reactor
package import TLS

/// Limits of a server; each guards against one way to hold it up.
package struct HTTPServerLimits: Sendable {
    /// Bytes of a request's head; more is answered 431.
    package var headerBytes = 64 * 1024
    /// Bytes of a request's body on the wire; more is answered 413.
    package var bodyBytes = 32 * 1024 * 1024
    /// From the first byte of a request to the end of its head.
    package var headerTimeout = Duration.seconds(10)
    /// Between two pieces of a body.
    package var bodyIdleTimeout = Duration.seconds(30)
    /// Of a whole body.
    package var bodyTimeout = Duration.seconds(300)
    /// Between requests on a connection.
    package var keepAliveTimeout = Duration.seconds(75)
    /// A caller that takes nothing for this long while there is something to take is gone.
    package var writeStallTimeout = Duration.seconds(60)
    /// Of one HTTP/2 connection.
    package var concurrentStreams = 256
    /// Of one listener; more are refused by closing them.
    package var connections = 16_384

    package init() {}
}

/// An HTTP/1.1 and HTTP/2 server on one loop: h2c by preface, h2 by ALPN on TLS.
package final class HTTPServer {
    package typealias Handler = (ServerExchange) async -> Void

    package init(_ loop: EventLoop, limits: HTTPServerLimits, handler: @escaping Handler) { fatalError("unimplemented") }

    /// Starts to listen; may be called for several addresses. Returns the bound address (the port when 0 was asked).
    package func listen(on address: SocketAddress, sharesPort: Bool = false, tls: TLSContext? = nil) throws -> SocketAddress {
        fatalError("unimplemented")
    }

    package var limits: HTTPServerLimits = HTTPServerLimits()
    package var openConnections: Int { 0 }
    package var openExchanges: Int { 0 }

    /// Stops accepting, tells callers to go elsewhere (`connection: close`, GOAWAY), waits until exchanges under way
    /// have ended or `deadline` has passed, then cuts what is left. Returns true when nothing had to be cut.
    package func drain(deadline: Duration) async -> Bool { fatalError("unimplemented") }
}
