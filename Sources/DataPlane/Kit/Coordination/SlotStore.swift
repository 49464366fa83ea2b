package import Domain
import Reactor
package import Redis
import Snapshots

/// Slots of accounts: leases in Redis, so that workers together never exceed an account's concurrency.
package final class SlotStore {
    private let redis: RedisClient
    /// Calls in flight as Redis last said, by account; what the scheduler ranks by.
    package private(set) var inFlight: [AccountID: Int] = [:]
    private var names: [AccountID: String] = [:]

    package init(_ redis: RedisClient) { self.redis = redis }

    /// Takes a slot; false when the account is full. A concurrency of 0 is no limit.
    ///
    /// - Throws: `RedisError`; a slot that was perhaps taken is given back.
    package func acquire(_ account: AccountID, limit: Int, requestID: String) async throws -> Bool {
        do {
            let answer = try await redis.run(
                CallScripts.acquire,
                keys: [name(of: account)],
                arguments: [requestID, String(limit), Leases.durationText]
            )
            guard case .integer(let count) = answer else { throw RedisError.unexpectedAnswer }
            inFlight[account] = Int(clamping: count.magnitude)
            return count > 0
        } catch {
            release(account, requestID: requestID)
            throw error
        }
    }

    /// Gives the slot back. When Redis is away the lease ends by itself.
    package func release(_ account: AccountID, requestID: String) {
        redis.run(CallScripts.release, keys: [name(of: account)], arguments: [requestID]) { [weak self] result in
            if case .success(.integer(let count)) = result { self?.inFlight[account] = Int(clamping: count) }
        }
    }

    /// The Redis name of the account's slots.
    package func name(of account: AccountID) -> String {
        if let known = names[account] { return known }
        let made = RedisNames.slots(of: account)
        names[account] = made
        return made
    }
}
