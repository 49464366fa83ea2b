package import Decisions
package import Formats
package import Postgres
import Reactor

/// How people sign in (setting `security`).
package struct LoginPolicy: Hashable, Sendable {
    package static let sessionHours: ClosedRange<Int64> = 1...8760
    package static let defaultSessionHours: Int64 = 12
    package static let attempts: ClosedRange<Int64> = 1...1000
    package static let defaultAttempts: Int64 = 10

    package var sessionLifetime: Duration
    /// Attempts at once for an e-mail address; one more every 6 seconds.
    package var attemptsAtOnce: Int64

    /// - Parameter setting: what is stored; what is missing or out of bounds has its default.
    package init(_ setting: JSON?) {
        func number(_ name: String, _ range: ClosedRange<Int64>, _ fallback: Int64) -> Int64 {
            setting?[name]?.int64.flatMap { range.contains($0) ? $0 : nil } ?? fallback
        }
        sessionLifetime = .seconds(3600 * number("session_hours", Self.sessionHours, Self.defaultSessionHours))
        attemptsAtOnce = number("login_attempts", Self.attempts, Self.defaultAttempts)
    }
}

/// Whose word the admin API takes for where a call comes from (setting `security`), never older than a second.
package final class ProxyTrust {
    private static let lifetime = Duration.seconds(1)

    private let pool: PostgresPool
    private var ranges: [AddressRange] = []
    private var readAt: MonotonicTime?

    package init(_ pool: PostgresPool) { self.pool = pool }

    /// The trusted proxies; the last known ones while the database cannot be asked.
    package func current() async -> [AddressRange] {
        if let readAt, readAt.elapsed < Self.lifetime { return ranges }
        readAt = .now
        do {
            let setting = try await pool.withConnection { try await SettingsStore.find("security", on: $0) }
            ranges = (setting?["trusted_proxies"]?.array ?? []).compactMap { $0.string.flatMap { AddressRange($0) } }
        } catch {
            return ranges
        }
        return ranges
    }
}
