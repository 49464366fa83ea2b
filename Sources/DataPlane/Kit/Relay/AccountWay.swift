import Domain
import HTTPFetching
import Snapshots
import Telemetry

/// The way of an account's requests: its own proxy, if it has one.
extension WorkerContext {
    /// Sends the request and returns when the answer's head is there.
    ///
    /// An account whose proxy cannot be used is never reached directly: that would show the gateway's own address.
    ///
    /// - Throws: `FetchError`.
    func send(
        _ request: consuming FetchRequest,
        from account: ServingAccount,
        _ canceller: FetchCanceller
    ) async throws -> FetchResponse {
        guard let proxy = account.snapshot.proxy else { return try await client.send(request, canceller: canceller) }
        guard let server = credentials.server(of: proxy) else {
            log.error(
                "proxy cannot be used",
                ["account_id": .integer(account.id.raw), "proxy_id": .integer(proxy.id.raw)]
            )
            throw FetchError.connect(detail: "proxy \(proxy.id)")
        }
        return try await proxied.send(request, through: server, canceller: canceller)
    }
}
