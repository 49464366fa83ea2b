package import Domain
package import Redis
import Snapshots

/// Lets one call at a time, of all workers, try out a group whose accounts are all paused by guesses.
package final class GroupGuards {
    /// A worker that dies holds up the others no longer than this.
    private static let lease = "120000"

    private let redis: RedisClient
    /// When it may be asked again, so that not every call asks.
    private var refusedUntil: [GroupID: Timestamp] = [:]

    package init(_ redis: RedisClient) { self.redis = redis }

    /// Whether this call may; then `leave` must follow.
    ///
    /// - Throws: `RedisError`.
    package func enter(_ group: GroupID, requestID: String, now: Timestamp) async throws -> Bool {
        if let until = refusedUntil[group], until > now { return false }
        let answer = try await redis.run(
            AccountScripts.enterGuard,
            keys: [RedisNames.brownOut(of: group)],
            arguments: [requestID, Self.lease]
        )
        guard let end = answer.integer else { throw RedisError.unexpectedAnswer }
        guard end > 0 else { return true }
        // The call that has it may end sooner.
        let until = min(Timestamp(microseconds: end &* 1000), now + .seconds(1))
        refusedUntil[group] = until
        return false
    }

    package func leave(_ group: GroupID, requestID: String, hasWon: Bool) {
        if hasWon { refusedUntil[group] = nil }
        redis.run(
            AccountScripts.leaveGuard,
            keys: [RedisNames.brownOut(of: group)],
            arguments: [requestID, hasWon ? "1" : "0"]
        ) { _ in }
    }
}
