import Decisions
package import Domain
package import Redis
package import Snapshots

/// What calls of a key in a group are checked against and charged to, made ready for as long as its windows last.
///
/// Of each limit with windows two are prepared, n and n + 1: Redis' clock decides between them. A call in neither is
/// planned anew.
package final class AdmissionPlan {
    /// Adds request id, amount, and what `admit` calls the state.
    package let run: PreparedRun
    /// Whether calls may have to wait for others of their user or key.
    let hasLines: Bool
    let group: ServingGroup
    /// Of the subscription that it rests on; `nil` without.
    let subscription: SubscriptionSnapshot?
    /// When it has to be made anew: the subscription ends, or another one begins.
    let validUntil: Timestamp
    /// Nobody pays for a call in a group that takes a subscription while there is none.
    var hasPayer: Bool { !group.snapshot.isSubscription || subscription != nil }
    private let key: KeySnapshot
    private let counters: [Counter]
    private var charges: [[UInt8]: CallCharge] = [:]
    /// What a call is charged to that was admitted in the first windows.
    private(set) lazy var charge = charge(Array(repeating: UInt8(ascii: "0"), count: counters.count))

    private struct Counter {
        static let wallet = "wallet"
        let kind: String
        let limit: NanoUSD
        var windows: (first: LimitWindow, second: LimitWindow)?
        let names: [String]

        init(_ kind: String, _ limit: NanoUSD, name: String) {
            self.kind = kind
            self.limit = limit
            names = [name]
        }

        init(_ kind: String, _ limit: NanoUSD, _ windows: LimitWindows, at time: Timestamp, _ name: (Int64) -> String) {
            self.kind = kind
            self.limit = limit
            let first = windows.window(at: time)
            let second = windows.next(after: first)
            self.windows = (first, second)
            names = [name(first.start.milliseconds), name(second.start.milliseconds)]
        }

        func start(_ isSecond: Bool) -> Int64 {
            guard let windows else { return 0 }
            return (isSecond ? windows.second : windows.first).start.milliseconds
        }

        /// As the script `admit` takes it.
        var text: String {
            guard kind != Self.wallet else { return kind }
            let bounds =
                windows.map { [$0.first.start, $0.second.start, $0.second.end].map(\.milliseconds) } ?? [0, 0, 0]
            return "\(kind) \(limit.raw) \(bounds[0]) \(bounds[1]) \(bounds[2])"
        }
    }

    /// - Parameters:
    ///   - time: for which the windows are chosen.
    ///   - epoch: proposed where Redis has none; the same in every call of a loop.
    init(_ key: ServingKey, _ group: ServingGroup, at time: Timestamp, epoch: String) {
        let snapshot = key.snapshot
        let partition = key.partition
        self.key = snapshot
        self.group = group
        var counters: [Counter] = []
        if let quota = snapshot.quota, quota > .zero {
            counters.append(
                Counter("quota", quota, name: CounterNames.quota(of: snapshot.id, partition.partition))
            )
        }
        if let policy = snapshot.policy {
            let windows = LimitWindows(policy.period, anchor: policy.anchor)
            counters.append(
                Counter(policy.boundary.rawValue, policy.quota, windows, at: time) { start in
                    CounterNames.policy(
                        of: snapshot.id,
                        .init(version: policy.version, resetEpoch: policy.resetEpoch, window: start),
                        partition.partition
                    )
                }
            )
        }
        let subscription = group.snapshot.isSubscription ? snapshot.subscription(to: group.id, at: time) : nil
        self.subscription = subscription
        validUntil = (group.snapshot.isSubscription ? snapshot.subscriptions : [])
            .filter { $0.group == group.id && $0.startsAt > time }
            .reduce(subscription?.expiresAt ?? .distantFuture) { min($0, $1.startsAt) }
        if let subscription {
            let limits = group.snapshot.limits
            let kinds: [(CounterNames.SubscriptionWindow, WindowPeriod, NanoUSD?)] = [
                (.day, .day, limits.daily), (.week, .week, limits.weekly), (.month, .month, limits.monthly),
            ]
            for (kind, period, limit) in kinds {
                counters.append(
                    // Without a limit it is still counted: others see what is used.
                    Counter(
                        kind.rawValue,
                        limit ?? .maximum,
                        LimitWindows(period, anchor: subscription.startsAt),
                        at: time
                    ) { CounterNames.subscription(subscription.id, kind, start: $0, partition.partition) }
                )
            }
        } else {
            counters.append(Counter(Counter.wallet, .zero, name: CounterNames.wallet(of: snapshot.user)))
        }
        self.counters = counters
        let lasting =
            switch snapshot.policy {
            case .some(let policy) where !policy.resumesByItself: "2"
            case .some(let policy) where policy.action == .disableKey: "1"
            default: "0"
            }
        hasLines = snapshot.userConcurrency > 0 || snapshot.concurrency > 0
        let hasMinute = snapshot.userRPM > 0 || snapshot.rpm > 0 || snapshot.tpm > 0
        var more: [String] = []
        // The wallet alone goes without saying.
        if counters.count != 1 || subscription != nil || hasLines || hasMinute {
            more.append(counters.map(\.text).joined(separator: " "))
            more.append(
                hasLines || hasMinute
                    ? "\(key.userLimit) \(key.keyLimit) \(Leases.durationText) "
                        + "\(snapshot.userRPM) \(snapshot.rpm) \(snapshot.tpm)"
                    : ""
            )
            more.append(
                snapshot.policy.map {
                    "\(CounterNames.exhaustionField($0)) \(lasting) "
                        + PolicyExhaustion.opening(snapshot.id, snapshot.user, $0)
                } ?? ""
            )
        }
        run = PreparedRun(
            CallScripts.admit,
            keys: [partition.epoch, partition.revisions, partition.holds, key.wallet]
                + counters.filter { $0.kind != Counter.wallet }.flatMap(\.names),
            arguments: [
                epoch, key.keyField, key.userField, group.revisionField,
                "\(key.keyRevision) \(key.userRevision) \(group.revision)",
            ] + more,
            furtherArguments: 3
        )
    }

    /// What a call is charged to that was admitted in these windows: `0` or `1` for each counter.
    func charge(_ choice: [UInt8]) -> CallCharge? {
        if let known = charges[choice] { return known }
        guard choice.count == counters.count else { return nil }
        var limits = FrozenLimits()
        var names: [String] = []
        var watch = ""
        var starts: [Int64] = []
        for (counter, digit) in zip(counters, choice) {
            let isSecond = digit == UInt8(ascii: "1")
            let start = counter.start(isSecond)
            let name = isSecond && counter.names.count > 1 ? counter.names[1] : counter.names[0]
            names.append(name)
            switch counter.kind {
            case "quota": limits.hasQuota = true
            case "strict", "graceful":
                guard let policy = key.policy else { continue }
                limits.policy = .init(version: policy.version, resetEpoch: policy.resetEpoch, window: start)
                watch =
                    "\(name) \(policy.quota.raw) \(CounterNames.exhaustionField(policy)) \(start) "
                    + PolicyExhaustion.opening(key.id, key.user, policy) + "\(start)" + PolicyExhaustion.closing
            case Counter.wallet: break
            default: starts.append(start)
            }
        }
        if let subscription, starts.count == 3 {
            limits.subscription = .init(id: subscription.id, day: starts[0], week: starts[1], month: starts[2])
        }
        let charge = CallCharge(limits: limits, names: names.joined(separator: " "), policyWatch: watch)
        charges[choice] = charge
        return charge
    }
}

/// What one admitted call is charged to.
package final class CallCharge: Sendable {
    /// As the record carries it.
    package let limits: FrozenLimits
    /// The counters' names, with blanks between them.
    package let names: String
    /// What the script `settle` takes to notice that a policy is exhausted; empty without one.
    package let policyWatch: String

    package init(limits: FrozenLimits, names: String, policyWatch: String = "") {
        self.limits = limits
        self.names = names
        self.policyWatch = policyWatch
    }

    /// Of a record of an earlier run.
    package convenience init(of record: UsageRecord) {
        self.init(limits: record.limits, names: CounterNames.all(of: record).joined(separator: " "))
    }
}

extension KeySnapshot {
    /// The subscription that a call to the group rests on at a time: the one that lasts longest.
    package func subscription(to group: GroupID, at time: Timestamp) -> SubscriptionSnapshot? {
        subscriptions.filter { $0.group == group && $0.startsAt <= time && time < $0.expiresAt }
            .max { ($0.expiresAt, $0.id.raw) < ($1.expiresAt, $1.id.raw) }
    }
}
