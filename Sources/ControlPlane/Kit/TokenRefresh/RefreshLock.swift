import Crypto
package import Domain
import Formats
package import Reactor
package import Redis
import Snapshots

/// The right to renew one account's tokens, among all control planes: a lease in Redis, `tg:{a12}:refresh`.
///
/// It keeps two from asking the token endpoint at once, and is short, because a holder that was killed keeps everybody else
/// from the account's tokens as long as it lasts; one that lives renews it. What fences the write is the credentials' version in Postgres: a
/// holder whose lease ran out unnoticed still overwrites nothing.
package final class RefreshLock {
    package static let time = Duration.seconds(15)
    private static let renewal = Duration.seconds(5)

    private let loop: EventLoop
    private let redis: RedisClient
    private let name: String
    private let owner: String
    private var timer: LoopTimer?

    private init(_ loop: EventLoop, _ redis: RedisClient, _ name: String, owner: String) {
        self.loop = loop
        self.redis = redis
        self.name = name
        self.owner = owner
    }

    /// Nil when somebody else has it.
    ///
    /// - Throws: `RedisError`.
    package static func take(_ account: AccountID, _ redis: RedisClient, on loop: EventLoop) async throws
        -> RefreshLock?
    {
        let owner = Hex.encode(SecureRandom.bytes(16))
        let name = RedisNames.refreshLock(of: account)
        let answer = try await redis.send(
            RedisCommand(["SET", name, owner, "NX", "PX", String(time.components.seconds * 1000)])
        )
        guard answer != .null else { return nil }
        let lock = RefreshLock(loop, redis, name, owner: owner)
        lock.keep()
        return lock
    }

    /// Renews it until it is given back.
    private func keep() {
        let timer = LoopTimer(loop) { [weak self] in
            self?.loop.spawn { _ = try? await self?.extend() }
        }
        timer.start(after: Self.renewal, repeating: Self.renewal)
        self.timer = timer
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
        timer = nil
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
