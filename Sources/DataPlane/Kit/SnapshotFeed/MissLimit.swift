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

    /// Whether there is one left.
    package func allows(_ spent: Spent, now: MonotonicTime) -> Bool {
        max(spent.paidAt, now) - now <= interval * (burst - 1)
    }

    /// Spends one if there is one left.
    package func spend(_ spent: inout Spent, now: MonotonicTime) -> Bool {
        guard allows(spent, now: now) else { return false }
        charge(&spent, now: now)
        return true
    }

    /// Spends one, also where none is left: what was allowed together is paid for together, up to a second burst.
    package func charge(_ spent: inout Spent, now: MonotonicTime) {
        spent.paidAt = min(max(spent.paidAt, now) + interval, now + interval * (2 * burst))
    }

    /// Gives one back.
    package func refund(_ spent: inout Spent) {
        let interval = UInt64(clamping: interval.nanoseconds)
        spent.paidAt = MonotonicTime(nanoseconds: spent.paidAt.nanoseconds - min(interval, spent.paidAt.nanoseconds))
    }
}

/// Bounds the look-ups of keys that nobody has, for each client address, so that a flood from one delays no other.
///
/// Only a look-up that finds nobody's key is charged: however many callers with good keys come from one address at once,
/// to a worker that knows none of them yet, they do not get into each other's way. Addresses are kept in bounded memory;
/// one that is forgotten begins anew.
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

    /// Whether a key from this address may be looked up.
    ///
    /// - Parameter address: 16 bytes, IPv4 mapped.
    package mutating func allows(_ address: [UInt8], now: MonotonicTime) -> Bool {
        spenders.value(for: Network(address)).map { limit.allows($0, now: now) } ?? true
    }

    /// A key from this address was nobody's.
    package mutating func charge(_ address: [UInt8], now: MonotonicTime) {
        let network = Network(address)
        var spent = spenders.value(for: network) ?? RefillingLimit.Spent()
        limit.charge(&spent, now: now)
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
