import CGatewayShims

/// A point on this machine's monotonic clock, in nanoseconds. Meaningless on another machine or after a restart.
package struct MonotonicTime: Hashable, Comparable, Sendable {
    package var nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    package static var now: MonotonicTime { MonotonicTime(nanoseconds: tg_monotonic_nanoseconds()) }

    package static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    package static func - (left: Self, right: Self) -> Duration {
        .nanoseconds(Int64(clamping: left.nanoseconds) - Int64(clamping: right.nanoseconds))
    }

    package static func + (left: Self, right: Duration) -> Self {
        Self(nanoseconds: left.nanoseconds &+ UInt64(bitPattern: right.nanoseconds))
    }

    /// Time passed since this point.
    package var elapsed: Duration { Self.now - self }
}

extension Duration {
    /// Whole nanoseconds, saturating at ±292 years.
    package var nanoseconds: Int64 {
        let attoseconds = attoseconds
        // Up to 9 seconds one word holds them, and division is cheap.
        if let word = Int64(exactly: attoseconds) { return word / 1_000_000_000 }
        return Int64(clamping: attoseconds / 1_000_000_000)
    }

    /// Whole milliseconds, rounded up and never negative, as libuv counts timeouts.
    package var timeoutMilliseconds: UInt64 {
        let nanoseconds = nanoseconds
        return nanoseconds <= 0 ? 0 : UInt64((nanoseconds &+ 999_999) / 1_000_000)
    }
}
