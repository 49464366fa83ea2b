package import Domain

/// What a loop knows of an account that changes from call to call.
package struct AccountState: Hashable, Sendable {
    /// Calls in flight as Redis last said.
    package private(set) var inFlight = 0
    /// `in flight ÷ concurrency` in millionths. An account without a limit counts as one of a hundred thousand calls: next
    /// to any that has a limit it is idle, and among its like the count decides.
    package private(set) var load = 0
    /// When the account was last chosen here, in nanoseconds of the monotonic clock.
    package var lastUsed: UInt64 = 0
    /// Until then it is of no use to ask it, as far as is known here: microseconds since 1970.
    package var blockedUntil: Int64 = 0
    /// Whether there are models for which that is so.
    package var hasModelLimits = false

    private static let withoutLimit = 100_000

    package init() {}

    /// - Parameter limit: calls at once; 0 is no limit.
    package mutating func note(inFlight count: Int, limit: Int) {
        inFlight = count
        load = count &* 1_000_000 / (limit > 0 ? limit : Self.withoutLimit)
    }
}

/// An account among those that could serve a call.
package struct ScheduledAccount: Hashable, Sendable {
    package var id: AccountID
    package var priority: Int
    /// Where its state stands.
    package var state: Int
    /// The account's own end: microseconds since 1970.
    package var usableUntil: Int64

    package init(id: AccountID, priority: Int, state: Int, usableUntil: Int64 = .max) {
        self.id = id
        self.priority = priority
        self.state = state
        self.usableUntil = usableUntil
    }
}

/// Ranks accounts that could serve a call: smaller priority first, then less load, then the one used longest ago, then
/// by chance.
package enum Scheduler {
    /// Returns the index of the best account that is not blocked or excluded, or nil.
    ///
    /// It runs for every call over every account of a group: a few nanoseconds each.
    ///
    /// - Parameters:
    ///   - accounts: by priority.
    ///   - now: microseconds since 1970.
    ///   - chance: any number; it decides between equals.
    ///   - isSelective: whether any account may be excluded; otherwise only those with limited models are asked about.
    ///   - isExcluded: asked only of accounts that would be chosen otherwise.
    package static func best(
        _ accounts: [ScheduledAccount],
        _ states: [AccountState],
        now: Int64,
        chance: UInt64,
        isSelective: Bool = true,
        excluding isExcluded: (Int) -> Bool
    ) -> Int? {
        accounts.withUnsafeBufferPointer { accounts in
            states.withUnsafeBufferPointer { states in
                best(accounts, states, now, chance, isSelective, isExcluded)
            }
        }
    }

    private static func best(
        _ accounts: UnsafeBufferPointer<ScheduledAccount>,
        _ states: UnsafeBufferPointer<AccountState>,
        _ now: Int64,
        _ chance: UInt64,
        _ isSelective: Bool,
        _ isExcluded: (Int) -> Bool
    ) -> Int? {
        var best = -1
        var bestPriority = 0
        var bestLoad = 0
        var bestUsed: UInt64 = 0
        var equals: UInt64 = 0
        for index in accounts.indices {
            let account = accounts[index]
            // All that follow come later, whatever their load is.
            if best >= 0, account.priority > bestPriority { break }
            let state = states[account.state]
            guard state.blockedUntil <= now, account.usableUntil > now else { continue }
            if best >= 0 {
                if state.load > bestLoad { continue }
                if state.load == bestLoad {
                    if state.lastUsed > bestUsed { continue }
                    if state.lastUsed == bestUsed {
                        // The nth of n equals is taken with probability 1/n: each is as likely as the others.
                        if isSelective || state.hasModelLimits, isExcluded(index) { continue }
                        equals &+= 1
                        var mixed = chance &+ equals &* 0x9e37_79b9_7f4a_7c15
                        mixed = (mixed ^ (mixed >> 31)) &* 0xbf58_476d_1ce4_e5b9
                        if (mixed >> 33) &* equals < 1 << 31 { best = index }
                        continue
                    }
                }
            }
            if isSelective || state.hasModelLimits, isExcluded(index) { continue }
            best = index
            bestPriority = account.priority
            bestLoad = state.load
            bestUsed = state.lastUsed
            equals = 1
        }
        return best >= 0 ? best : nil
    }
}
