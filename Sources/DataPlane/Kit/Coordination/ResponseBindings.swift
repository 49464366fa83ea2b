package import Domain
package import Redis
import Snapshots

/// Whose an answer of the Responses API is, for a day: nobody else may ask for it or go on from it.
package enum ResponseBindings {
    package struct Owner: Equatable {
        package var key: KeyID
        package var account: AccountID
        /// As the caller named it.
        package var model: String
    }

    private static let lifetimeSeconds = "86400"
    private static let longestID = 256

    /// Notes it without waiting: what is written to the caller after this arrives later.
    package static func bind(_ id: String, to owner: Owner, _ redis: RedisClient) {
        guard id.utf8.count <= longestID else { return }
        let value = "\(owner.key):\(owner.account):\(owner.model)"
        redis.send(RedisCommand(["SET", RedisNames.response(id), value, "EX", lifetimeSeconds])) { _ in }
    }

    /// - Throws: `GatewayError.notFound` for one that is unknown or another key's; `RedisError`.
    package static func owner(of id: String, for key: KeyID, _ redis: RedisClient) async throws -> Owner {
        let value = try await redis.send(RedisCommand(["GET", RedisNames.response(id)]))
        let parts = (value.text ?? "").split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, Int64(parts[0]) == key.raw, let account = Int64(parts[1]) else {
            throw GatewayError(.notFound, "There is no such response.", field: "previous_response_id")
        }
        return Owner(key: key, account: AccountID(account), model: String(parts[2]))
    }
}
