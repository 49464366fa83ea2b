import Reactor

/// Allows a peer a number of events that cost work and bring nothing, at once and over time.
struct FloodBudget {
    private let capacity: Int64
    private let perSecond: Int64
    private var used: Int64 = 0
    private var since: MonotonicTime

    init(capacity: Int64, perSecond: Int64, now: MonotonicTime) {
        self.capacity = capacity
        self.perSecond = perSecond
        since = now
    }

    /// Something came that was wanted: a few more are allowed, since what is useful brings some overhead with it.
    mutating func earn() { used = max(0, used - 4) }

    /// Counts one event; false when the peer has overdone it.
    mutating func spend(now: MonotonicTime) -> Bool {
        used += 1
        guard used > capacity else { return true }
        let (earned, overflow) = ((now - since).nanoseconds / 1_000_000).multipliedReportingOverflow(by: perSecond)
        used = max(1, used - (overflow ? used : earned / 1000))
        since = now
        return used <= capacity
    }
}
