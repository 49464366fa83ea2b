import CGatewayShims
package import Domain

/// The time of day. Decide-code never calls this: it takes the time as an argument.
package enum WallClock {
    /// Microseconds since 1970-01-01 UTC.
    package static var microseconds: Int64 { tg_wall_microseconds() }
    package static var milliseconds: Int64 { tg_wall_microseconds() / 1000 }
}

extension Timestamp {
    package static var now: Timestamp { Timestamp(microseconds: WallClock.microseconds) }
}
