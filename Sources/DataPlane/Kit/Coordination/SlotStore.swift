package import Decisions
package import Domain
package import Redis
import Snapshots

/// Slots of accounts: leases in Redis, so that workers together never exceed an account's concurrency.
package final class SlotStore {
    /// What the scheduler reads, in one piece: it looks at every account of a group for every call.
    package final class Board {
        package fileprivate(set) var states: [AccountState] = []
    }

    package let board = Board()
    private let redis: RedisClient
    private var accounts: [AccountID: AccountSlots] = [:]

    package init(_ redis: RedisClient) { self.redis = redis }

    /// What this loop knows of an account's slots.
    package func of(_ account: AccountID) -> AccountSlots {
        if let known = accounts[account] { return known }
        let made = AccountSlots(account, redis, board, at: board.states.count)
        board.states.append(AccountState())
        accounts[account] = made
        return made
    }
}

/// The slots of one account as one loop sees them.
package final class AccountSlots {
    /// The Redis name of the set.
    package let name: String
    /// Where the account's state stands on the board.
    package let position: Int

    private var hints = AccountHints()
    private let board: SlotStore.Board
    private let redis: RedisClient
    private var acquisition: (limit: Int, run: PreparedRun)?
    private let giveBack: PreparedRun

    init(_ account: AccountID, _ redis: RedisClient, _ board: SlotStore.Board, at position: Int) {
        self.redis = redis
        self.board = board
        self.position = position
        name = RedisNames.slots(of: account)
        giveBack = PreparedRun(CallScripts.release, keys: [name], furtherArguments: 1)
    }

    package var state: AccountState {
        get { board.states[position] }
        set { board.states[position] = newValue }
    }

    // MARK: What is known of its flags

    package func learn(_ flags: [AccountFlag], now: Timestamp) {
        for flag in flags { hints.learn(flag, now: now) }
        showHints()
    }

    /// Its flags have changed: Redis has to be asked again.
    package func forgetHints() {
        hints = AccountHints()
        showHints()
    }

    private func showHints() {
        board.states[position].blockedUntil = hints.blockedUntil?.microseconds ?? 0
        board.states[position].hasModelLimits = hints.hasModels
    }

    /// Why a call to this model would be refused, as far as is known here.
    package func skipReason(_ model: String, now: Timestamp) -> SkipReason? { hints.skipReason(model, now: now) }

    package func isLimited(_ model: String, now: Timestamp) -> Bool {
        board.states[position].hasModelLimits && hints.skipReason(model, now: now) != nil
    }

    // MARK: Slots

    private func note(_ count: Int64) {
        board.states[position].note(inFlight: Int(clamping: count.magnitude), limit: acquisition?.limit ?? 0)
    }

    /// Takes a slot; false when the account is full. A concurrency of 0 is no limit.
    ///
    /// - Throws: `RedisError`; a slot that was perhaps taken is given back.
    package func acquire(limit: Int, requestID: String) async throws -> Bool {
        do {
            let answer = try await redis.run(acquisition(limit), RedisArguments([requestID]))
            guard case .integer(let count) = answer else { throw RedisError.unexpectedAnswer }
            note(count)
            return count > 0
        } catch {
            release(requestID: requestID)
            throw error
        }
    }

    /// Gives the slot back. When Redis is away the lease ends by itself.
    package func release(requestID: String) {
        redis.run(giveBack, RedisArguments([requestID])) { [self] result in
            if case .success(.integer(let count)) = result { note(count) }
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
