package import Reactor

/// So many at once, and one more each interval.
package struct RefillingLimit: Sendable {
    package var burst: Int
    package var interval: Duration

    package init(burst: Int, interval: Duration) {
        self.burst = burst
        self.interval = interval
    }

    /// What one spender has spent, as the time at which it will have paid for it.
    package struct Spent {
        fileprivate var paidAt = MonotonicTime(nanoseconds: 0)
        package init() {}
    }

    /// Spends one if there is one left.
    package func spend(_ spent: inout Spent, now: MonotonicTime) -> Bool {
        let start = max(spent.paidAt, now)
        guard start - now <= interval * (burst - 1) else { return false }
        spent.paidAt = start + interval
        return true
    }

    /// Gives one back.
    package func refund(_ spent: inout Spent) {
        let interval = UInt64(clamping: interval.nanoseconds)
        spent.paidAt = MonotonicTime(nanoseconds: spent.paidAt.nanoseconds - min(interval, spent.paidAt.nanoseconds))
    }
}

/// Bounds the look-ups of keys that nobody has, for each client address, so that a flood from one delays no other.
///
/// Each look-up spends, and gets it back when the key is there: callers with good keys behind one address are not
/// bounded by their number. Addresses are kept in bounded memory; one that is forgotten begins anew.
package struct MissLimit {
    /// Of one loop of a worker.
    package static let perAddress = RefillingLimit(burst: 20, interval: .milliseconds(500))
    private static let capacity = 20_000

    private let limit: RefillingLimit
    private var spenders: GenerationCache<Network, RefillingLimit.Spent>

    package init(_ limit: RefillingLimit = MissLimit.perAddress, capacity: Int = MissLimit.capacity) {
        self.limit = limit
        spenders = GenerationCache(capacity: capacity)
    }

    /// - Parameter address: 16 bytes, IPv4 mapped.
    package mutating func spend(_ address: [UInt8], now: MonotonicTime) -> Bool {
        let network = Network(address)
        var spent = spenders.value(for: network) ?? RefillingLimit.Spent()
        let isAllowed = limit.spend(&spent, now: now)
        if isAllowed { spenders.insert(spent, for: network) }
        return isAllowed
    }

    package mutating func refund(_ address: [UInt8]) {
        let network = Network(address)
        guard var spent = spenders.value(for: network) else { return }
        limit.refund(&spent)
        spenders.insert(spent, for: network)
    }

    package var count: Int { spenders.count }

    /// An IPv4 address, or the /64 of an IPv6 one: whoever has one address of it has all of them.
    private struct Network: Hashable {
        private let high: UInt64
        private let low: UInt64

        init(_ address: [UInt8]) {
            func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
            high = number(address.prefix(8))
            let isIPv4 = address.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
            low = isIPv4 ? number(address.dropFirst(8).prefix(8)) : 0
        }
    }
}
