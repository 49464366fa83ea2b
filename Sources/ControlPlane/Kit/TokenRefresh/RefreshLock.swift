import Crypto
package import Domain
import Formats
package import Redis
import Snapshots

/// The right to renew one account's tokens, among all control planes: a lease in Redis, `tg:{a12}:refresh`.
///
/// It keeps two from asking the token endpoint at once. What fences the write is the credentials' version in Postgres: a
/// holder whose lease ran out unnoticed still overwrites nothing.
package final class RefreshLock {
    /// Longer than the endpoint may take together with what is done before and after.
    package static let time = Duration.seconds(60)

    private let redis: RedisClient
    private let name: String
    private let owner: String

    private init(_ redis: RedisClient, _ name: String, owner: String) {
        self.redis = redis
        self.name = name
        self.owner = owner
    }

    /// Nil when somebody else has it.
    ///
    /// - Throws: `RedisError`.
    package static func take(_ account: AccountID, _ redis: RedisClient) async throws -> RefreshLock? {
        let owner = Hex.encode(SecureRandom.bytes(16))
        let name = RedisNames.refreshLock(of: account)
        let answer = try await redis.send(
            RedisCommand(["SET", name, owner, "NX", "PX", String(time.components.seconds * 1000)])
        )
        return answer == .null ? nil : RefreshLock(redis, name, owner: owner)
    }

    /// Begins the lease anew; false when it is somebody else's by now, or nobody's.
    ///
    /// - Throws: `RedisError`.
    package func extend() async throws -> Bool {
        let milliseconds = String(Self.time.components.seconds * 1000)
        return try await redis.run(Self.extendScript, keys: [name], arguments: [owner, milliseconds]).integer == 1
    }

    /// Gives it back. Where Redis does not answer it runs out by itself.
    package func release() async {
        _ = try? await redis.run(Self.releaseScript, keys: [name], arguments: [owner])
    }

    private static let extendScript = RedisScript(
        name: "extend_refresh_lock",
        source: """
            if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
            return redis.call('PEXPIRE', KEYS[1], ARGV[2])
            """
    )

    private static let releaseScript = RedisScript(
        name: "release_refresh_lock",
        source: """
            if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
            return redis.call('DEL', KEYS[1])
            """
    )
}

extension RedisNames {
    static func refreshLock(of account: AccountID) -> String { "tg:{a\(account)}:refresh" }
    /// String, expiring: the renewal under way (`RotationNote`).
    static func rotation(of account: AccountID) -> String { "tg:{a\(account)}:rotation" }
}
