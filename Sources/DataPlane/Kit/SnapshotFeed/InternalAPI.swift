package import Crypto
package import Domain
package import HTTPFetching
import HTTPMessages
package import Providers

package enum InternalAPIError: Error, Equatable {
    case status(Int)
}

/// A worker's questions to the control plane.
package final class InternalAPI: KeySource {
    private static let answerLimit = 1 << 20
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

    /// Whether the control plane answers at all.
    package func isAlive() async -> Bool { (try? await get("/health/live")) != nil }

    private func get(_ path: String) async throws -> (status: Int, body: [UInt8]) {
        var timeouts = FetchTimeouts()
        timeouts.connect = .seconds(1)
        timeouts.firstByte = .seconds(3)
        timeouts.total = .seconds(5)
        let endpoint = Endpoint(isTLS: target.isTLS, host: target.host, port: target.port)
        let head = HTTPRequestHead(
            method: "GET",
            target: target.basePath + path,
            headers: ["host": target.authority, "authorization": "Bearer \(token.reveal())"]
        )
        let response = try await client.send(FetchRequest(to: endpoint, head, timeouts: timeouts))
        return (response.head.status, try await response.collect(limit: Self.answerLimit))
    }
}
