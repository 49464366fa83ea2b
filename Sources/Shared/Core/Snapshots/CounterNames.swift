package import Domain

/// The names of the counters in Redis: hashes, each with `b` (what Postgres says), `s` (the sequence of that), `u` (what
/// is settled here and not there yet) and `r` (what calls under way have reserved).
///
/// A wallet's `b` is the balance, so that b − u − r is left; every other counter's is what has been used. `b` of a
/// wallet stands while the control plane has written all counters of its user.
package enum CounterNames {
    package static func wallet(of user: UserID) -> String { tag(Partition(of: user)) + "wallet:\(user)" }
    package static func quota(of key: KeyID, _ partition: Partition) -> String { tag(partition) + "quota:\(key)" }

    /// A window of a key's policy: its version and reset epoch stand in its name, so that neither an edit nor a reset
    /// can be undone by what is settled late.
    package static func policy(of key: KeyID, _ window: FrozenLimits.Policy, _ partition: Partition) -> String {
        tag(partition) + "policy:\(key):\(window.version).\(window.resetEpoch):\(window.window)"
    }

    package enum SubscriptionWindow: String, Sendable, CaseIterable { case day, week, month }

    package static func subscription(
        _ id: SubscriptionID,
        _ kind: SubscriptionWindow,
        start: Int64,
        _ partition: Partition
    ) -> String {
        tag(partition) + "sub:\(id):\(kind.rawValue):\(start)"
    }

    /// Hash: `version.epoch.quota` of a key's policy → beginning of the window in which it was exhausted last.
    package static func exhaustion(of key: KeyID, _ partition: Partition) -> String {
        tag(partition) + "exhausted:\(key)"
    }
    /// The field of a policy there. Another quota is another field: raising it ends the exhaustion.
    package static func exhaustionField(_ policy: KeyPolicy) -> String {
        "\(policy.version).\(policy.resetEpoch).\(policy.quota.raw)"
    }

    /// Hash, expiring: when a minute began (`s`, in milliseconds since 1970), its requests (`c`) and its tokens (`t`).
    package static func rate(of user: UserID) -> String { tag(Partition(of: user)) + "rate:u\(user)" }
    package static func rate(of key: KeyID, _ partition: Partition) -> String { tag(partition) + "rate:k\(key)" }

    /// Hash: request id → cost, a blank and the record that is billed when the call's worker dies.
    package static func checkpoints(_ partition: Partition) -> String { tag(partition) + "checkpoint" }

    /// The counters that a call's cost goes to.
    package static func all(of record: UsageRecord) -> [String] {
        all(record.limits, user: record.user, key: record.key)
    }

    package static func all(_ limits: FrozenLimits, user: UserID, key: KeyID) -> [String] {
        let partition = Partition(of: user)
        var names: [String] = []
        if limits.hasQuota { names.append(quota(of: key, partition)) }
        if let window = limits.policy { names.append(policy(of: key, window, partition)) }
        if let windows = limits.subscription {
            names.append(subscription(windows.id, .day, start: windows.day, partition))
            names.append(subscription(windows.id, .week, start: windows.week, partition))
            names.append(subscription(windows.id, .month, start: windows.month, partition))
        } else {
            names.append(wallet(of: user))
        }
        return names
    }

    /// The partition that a counter's name carries; nil for a name that is none.
    package static func partition(of name: String) -> Partition? {
        let digits = name.utf8.dropFirst("tg:{p".utf8.count).prefix(2)
        return Int(String(decoding: digits, as: UTF8.self)).flatMap { Partition($0) }
    }

    private static func tag(_ partition: Partition) -> String { RedisNames.tag(partition) }
}
