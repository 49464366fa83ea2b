/// A point in time: microseconds since 1970-01-01 UTC.
package struct Timestamp: Hashable, Comparable, Sendable {
    package var microseconds: Int64

    package init(microseconds: Int64) { self.microseconds = microseconds }

    package static let distantFuture = Timestamp(microseconds: .max)

    package var milliseconds: Int64 { microseconds / 1000 }

    package static func < (left: Self, right: Self) -> Bool { left.microseconds < right.microseconds }

    package static func + (left: Self, right: Duration) -> Self {
        let (seconds, attoseconds) = right.components
        return Timestamp(microseconds: left.microseconds &+ seconds &* 1_000_000 &+ attoseconds / 1_000_000_000_000)
    }

    package static func - (left: Self, right: Self) -> Duration {
        .microseconds(left.microseconds &- right.microseconds)
    }
}
