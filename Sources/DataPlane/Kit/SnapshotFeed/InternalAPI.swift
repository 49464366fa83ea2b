package import Crypto
package import Domain
package import HTTPFetching
import HTTPMessages
package import Providers
import Snapshots

package enum InternalAPIError: Error, Equatable {
    case status(Int)
}

/// A worker's questions to the control plane.
package final class InternalAPI: KeySource, RecordSink, TokenSource {
    private static let answerLimit = 1 << 20
    /// For a token to be renewed: the provider is asked meanwhile.
    private static let tokenTime = Duration.seconds(27)
    /// For a batch of records to be settled in Postgres.
    private static let postTime = Duration.seconds(20)
    private let client: HTTPClient
    private let target: UpstreamTarget
    private let token: Secret

    package init(_ client: HTTPClient, _ target: UpstreamTarget, token: Secret) {
        self.client = client
        self.target = target
        self.token = token
    }

    package func fetchKey(hash: String) async throws -> [UInt8]? {
        let (status, body) = try await get("/internal/v1/keys/\(hash)")
        switch status {
        case 200: return body
        case 404: return nil
        default: throw InternalAPIError.status(status)
        }
    }

    /// What `GET /v1/usage` answers for the key, as JSON.
    package func fetchUsage(of key: KeyID) async throws -> [UInt8] {
        let (status, body) = try await get("/internal/v1/keys/\(key)/usage")
        guard status == 200 else { throw InternalAPIError.status(status) }
        return body
    }

    /// Has what a user has spent written into Redis again.
    package func rebuildCounters(of user: UserID) async throws {
        let (status, _) = try await ask("POST", "/internal/v1/users/\(user)/counters", [], within: .seconds(3))
        guard status == 200 else { throw InternalAPIError.status(status) }
    }

    /// Has what was spent through an account written into Redis again.
    package func rebuildQuota(of account: AccountID) async throws {
        let (status, _) = try await ask("POST", "/internal/v1/accounts/\(account)/quota", [], within: .seconds(3))
        guard status == 200 else { throw InternalAPIError.status(status) }
    }

    package func fetchCredentials(of account: AccountID, newerThan version: Int64) async throws -> [UInt8]? {
        let (status, body) = try await ask(
            "POST",
            "/internal/v1/accounts/\(account)/token",
            Array(#"{"stale_version":\#(version)}"#.utf8),
            within: Self.tokenTime
        )
        switch status {
        case 200: return body
        case 404, 409: return nil
        default: throw InternalAPIError.status(status)
        }
    }

    /// Whether the control plane answers at all.
    package func isAlive() async -> Bool { (try? await get("/health/live")) != nil }

    /// Settles records in Postgres, each once whoever else brings it.
    package func post(records: [[UInt8]]) async throws {
        var body = [UInt8(ascii: "[")]
        for record in records {
            if body.count > 1 { body.append(UInt8(ascii: ",")) }
            body.append(contentsOf: record)
        }
        body.append(UInt8(ascii: "]"))
        let (status, _) = try await ask("POST", "/internal/v1/records", body, within: Self.postTime)
        guard status == 200 else { throw InternalAPIError.status(status) }
    }

    /// Ends its connections when what is under way has ended.
    package func close() { client.close() }

    private func get(_ path: String) async throws -> (status: Int, body: [UInt8]) {
        try await ask("GET", path, [], within: .seconds(3))
    }

    /// - Parameter time: for the answer to begin; it is read in two seconds.
    private func ask(
        _ method: String,
        _ path: String,
        _ body: [UInt8],
        within time: Duration
    ) async throws -> (status: Int, body: [UInt8]) {
        var timeouts = FetchTimeouts()
        timeouts.connect = .seconds(1)
        timeouts.firstByte = time
        timeouts.total = time + .seconds(2)
        let endpoint = Endpoint(isTLS: target.isTLS, host: target.host, port: target.port)
        let head = HTTPRequestHead(
            method: method,
            target: target.basePath + path,
            headers: [
                "host": target.authority, "authorization": "Bearer \(token.reveal())",
                SnapshotFormat.field: String(SnapshotFormat.current),
            ]
        )
        let response = try await client.send(FetchRequest(to: endpoint, head, body: body, timeouts: timeouts))
        return (response.head.status, try await response.collect(limit: Self.answerLimit))
    }
}
