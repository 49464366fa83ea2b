package import Reactor

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
        /// Addresses that are never connected to, whatever name leads there; nil for none.
        package var refuses: (@Sendable (SocketAddress) -> Bool)?
        package init() {}
    }

    private let core: ClientCore

    /// - Throws: `TLSError.configuration`, when the trust anchors cannot be read.
    package init(_ loop: EventLoop, options: Options = Options()) throws {
        core = try ClientCore(loop, options)
    }

    deinit { core.close() }

    /// Sends the request and returns when the answer's head is there. 1xx answers are swallowed, 101 is an error.
    ///
    /// A request that was surely not processed is sent again, up to two times, on a newer connection.
    ///
    /// - Parameter canceller: gives up the request from outside while this waits.
    /// - Throws: `FetchError`.
    package func send(
        _ request: consuming FetchRequest,
        canceller: FetchCanceller? = nil
    ) async throws -> FetchResponse {
        guard canceller?.isCancelled != true else { throw FetchError.cancelled }
        guard !core.isClosed else { throw FetchError.connect(detail: "client closed") }
        let pool = core.pool(for: request.endpoint)
        let exchange = Exchange(request, in: pool)
        core.openExchanges += 1
        canceller?.attach(exchange)
        pool.enqueue(exchange)
        return try await exchange.response()
    }

    /// TCP connections that are up, idle ones included.
    package var openConnections: Int { core.openConnections }
    /// Requests from `send` to the end of their answers.
    package var openExchanges: Int { core.openExchanges }

    /// Closes idle connections now and the others when they end.
    package func close() { core.close() }
}
