package import Domain
package import Redis
import Snapshots

/// Slots of accounts: leases in Redis, so that workers together never exceed an account's concurrency.
package final class SlotStore {
    private let redis: RedisClient
    private var accounts: [AccountID: AccountSlots] = [:]

    package init(_ redis: RedisClient) { self.redis = redis }

    /// What this loop knows of an account's slots; to be looked up once a call.
    package func of(_ account: AccountID) -> AccountSlots {
        if let known = accounts[account] { return known }
        let made = AccountSlots(account, redis)
        accounts[account] = made
        return made
    }
}

/// The slots of one account as one loop sees them.
package final class AccountSlots {
    /// The Redis name of the set.
    package let name: String
    /// Calls in flight as Redis last said; what the scheduler ranks by.
    package private(set) var inFlight = 0
    /// When the account was last chosen here, in nanoseconds of the monotonic clock.
    package var lastUsed: UInt64 = 0

    private let redis: RedisClient
    private var acquisition: (limit: Int, run: PreparedRun)?
    private let giveBack: PreparedRun

    init(_ account: AccountID, _ redis: RedisClient) {
        self.redis = redis
        name = RedisNames.slots(of: account)
        giveBack = PreparedRun(CallScripts.release, keys: [name], furtherArguments: 1)
    }

    /// Takes a slot; false when the account is full. A concurrency of 0 is no limit.
    ///
    /// - Throws: `RedisError`; a slot that was perhaps taken is given back.
    package func acquire(limit: Int, requestID: String) async throws -> Bool {
        do {
            let answer = try await redis.run(acquisition(limit), RedisArguments([requestID]))
            guard case .integer(let count) = answer else { throw RedisError.unexpectedAnswer }
            inFlight = Int(clamping: count.magnitude)
            return count > 0
        } catch {
            release(requestID: requestID)
            throw error
        }
    }

    /// Gives the slot back. When Redis is away the lease ends by itself.
    package func release(requestID: String) {
        redis.run(giveBack, RedisArguments([requestID])) { [self] result in
            if case .success(.integer(let count)) = result { inFlight = Int(clamping: count) }
        }
    }

    private func acquisition(_ limit: Int) -> PreparedRun {
        if let acquisition, acquisition.limit == limit { return acquisition.run }
        let run = PreparedRun(
            CallScripts.acquire,
            keys: [name],
            arguments: [String(limit), Leases.durationText],
            furtherArguments: 1
        )
        acquisition = (limit, run)
        return run
    }
}
