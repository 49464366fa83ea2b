import Reactor

/// How many frames that cost us work and the caller nothing one HTTP/2 connection may send in a stretch of time.
struct FloodBudget {
    enum Kind: Int, CaseIterable {
        /// Streams opened and reset, by the caller, or by us for the caller's fault (CVE-2023-44487).
        case reset
        /// SETTINGS, PING, PRIORITY, and frames that were refused.
        case control
        /// DATA without bytes that does not end its stream.
        case emptyData
    }
    private static let window = Duration.seconds(10)
    private static let limits = [500, 1000, 200]

    private var used = [Int](repeating: 0, count: Kind.allCases.count)
    private var windowEnd = MonotonicTime(nanoseconds: 0)

    /// Counts one frame; false when there have been too many.
    mutating func spend(_ kind: Kind, now: MonotonicTime) -> Bool {
        if now >= windowEnd {
            windowEnd = now + Self.window
            used = [Int](repeating: 0, count: Kind.allCases.count)
        }
        used[kind.rawValue] += 1
        return used[kind.rawValue] <= Self.limits[kind.rawValue]
    }
}
