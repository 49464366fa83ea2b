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
