package import Domain
package import Redis
import Snapshots

/// Which key and account an answer of the Responses API belongs to, for a day: nobody else may ask for it.
package enum ResponseBindings {
    private static let lifetimeSeconds = "86400"

    /// Notes it without waiting: what is written to the caller after this arrives later.
    package static func bind(_ id: String, to account: AccountID, of key: KeyID, _ redis: RedisClient) {
        guard id.utf8.count <= 256 else { return }
        let value = "\(key):\(account)"
        redis.send(RedisCommand(["SET", RedisNames.response(id), value, "EX", lifetimeSeconds])) { _ in }
    }

    /// - Throws: `GatewayError.notFound` for one that is unknown or another key's; `RedisError`.
    package static func account(of id: String, for key: KeyID, _ redis: RedisClient) async throws -> AccountID {
        let value = try await redis.send(RedisCommand(["GET", RedisNames.response(id)]))
        let parts = (value.text ?? "").split(separator: ":")
        guard parts.count == 2, Int64(parts[0]) == key.raw, let account = Int64(parts[1]) else {
            throw GatewayError(.notFound, "There is no such response.", field: "previous_response_id")
        }
        return AccountID(account)
    }
}
