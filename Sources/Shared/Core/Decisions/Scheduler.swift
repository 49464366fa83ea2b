package import Domain

/// What the scheduler knows of an account when it chooses.
package struct ScheduledAccount: Hashable, Sendable {
    package var id: AccountID
    package var priority: Int
    /// Calls at once; 0 is no limit.
    package var concurrency: Int
    package var inFlight: Int
    package var lastUsed: UInt64

    package init(id: AccountID, priority: Int, concurrency: Int, inFlight: Int, lastUsed: UInt64) {
        self.id = id
        self.priority = priority
        self.concurrency = concurrency
        self.inFlight = inFlight
        self.lastUsed = lastUsed
    }

    /// `in flight ÷ concurrency` in thousandths; without a limit the count itself decides among its like.
    fileprivate var load: Int { inFlight &* 1000 / max(concurrency, 1) }
}

/// Ranks accounts that could serve a call: smaller priority first, then less load, then the one used longest ago, then
/// by chance.
package enum Scheduler {
    /// Returns the index of the best account that `isExcluded` does not name, or nil.
    ///
    /// - Parameter chance: any number; it decides between equals.
    package static func best(
        _ accounts: [ScheduledAccount],
        excluding isExcluded: (AccountID) -> Bool,
        chance: UInt64
    ) -> Int? {
        var best: Int?
        var equals: UInt64 = 0
        for index in accounts.indices where !isExcluded(accounts[index].id) {
            guard let current = best else {
                best = index
                equals = 1
                continue
            }
            if isBetter(accounts[index], accounts[current]) {
                best = index
                equals = 1
            } else if !isBetter(accounts[current], accounts[index]) {
                // The nth of n equals is taken with probability 1/n: each is as likely as the others.
                equals += 1
                var mixed = chance &+ equals &* 0x9e37_79b9_7f4a_7c15
                mixed = (mixed ^ (mixed >> 31)) &* 0xbf58_476d_1ce4_e5b9
                if (mixed >> 33) % equals == 0 { best = index }
            }
        }
        return best
    }

    private static func isBetter(_ one: ScheduledAccount, _ other: ScheduledAccount) -> Bool {
        if one.priority != other.priority { return one.priority < other.priority }
        let (load, otherLoad) = (one.load, other.load)
        if load != otherLoad { return load < otherLoad }
        return one.lastUsed < other.lastUsed
    }
}
