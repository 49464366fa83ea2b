package import Domain

/// What has been spent through an account, as its quotas count it. Times are milliseconds since 1970.
///
/// A period begins with the first use after the one before it has ended, and lasts a day or a week from then. Nothing
/// happens at its end: whoever looks reads 0.
package struct AccountSpending: Hashable, Sendable {
    package struct Period: Hashable, Sendable {
        package var used = NanoUSD.zero
        /// Of the first use that counts; nil before there was one.
        package var start: Int64?
        /// What was used before this belongs to an earlier period, or to before a reset.
        package var floor: Int64 = 0

        package init(used: NanoUSD = .zero, start: Int64? = nil, floor: Int64 = 0) {
            self.used = used
            self.start = start
            self.floor = floor
        }

        package func end(_ kind: AccountQuota.Kind) -> Int64? {
            guard let start, let length = kind.length else { return nil }
            return start &+ length
        }

        package func used(_ kind: AccountQuota.Kind, at now: Int64) -> NanoUSD {
            if let end = end(kind), now >= end { return .zero }
            return used
        }

        /// - Parameter cost: negative where an earlier one is taken back.
        mutating func add(_ cost: NanoUSD, at time: Int64, _ kind: AccountQuota.Kind) {
            guard time >= floor else { return }
            guard cost >= .zero else {
                if let start, time >= start, end(kind).map({ time < $0 }) ?? true { used = max(.zero, used + cost) }
                return
            }
            guard let start, end(kind).map({ time < $0 }) ?? true else {
                floor = end(kind) ?? floor
                start = time
                used = cost
                return
            }
            // Calls end in another order than they come to be counted.
            self.start = min(start, time)
            used += cost
        }
    }

    package var daily = Period()
    package var weekly = Period()
    package var total = Period()

    package init() {}

    package subscript(kind: AccountQuota.Kind) -> Period {
        get {
            switch kind {
            case .daily: daily
            case .weekly: weekly
            case .total: total
            }
        }
        set {
            switch kind {
            case .daily: daily = newValue
            case .weekly: weekly = newValue
            case .total: total = newValue
            }
        }
    }

    /// What is used at a time: nothing where the period is over.
    package func used(_ kind: AccountQuota.Kind, at now: Timestamp) -> NanoUSD {
        self[kind].used(kind, at: now.milliseconds)
    }

    /// Counts what calls have cost, each when it ended.
    package mutating func add(_ charges: [(time: Int64, cost: NanoUSD)]) {
        for charge in charges.sorted(by: { $0.time < $1.time }) {
            for kind in AccountQuota.Kind.allCases { self[kind].add(charge.cost, at: charge.time, kind) }
        }
    }

    /// Begins all three anew; what ended before does not count any more.
    package mutating func reset(at now: Timestamp) {
        for kind in AccountQuota.Kind.allCases { self[kind] = Period(floor: now.milliseconds) }
    }
}
