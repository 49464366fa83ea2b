package import Domain
package import Postgres
package import Reactor
package import Telemetry

/// What the database needs from time to time: partitions ahead of time, and an end to what has expired.
package final class Housekeeping {
    private static let interval = Duration.seconds(600)
    private static let batch = 5000

    private let loop: EventLoop
    private let pool: PostgresPool
    private let usageMonths: Int
    private let log: Log
    private var task: PeriodicTask?

    /// - Parameter usageMonths: for how many whole months before the present one the usage log is kept.
    package init(_ loop: EventLoop, _ pool: PostgresPool, usageMonths: Int = 24, log: Log) {
        self.loop = loop
        self.pool = pool
        self.usageMonths = usageMonths
        self.log = log
    }

    package func start() {
        task = PeriodicTask(
            loop,
            every: Self.interval,
            first: .zero,
            log: log,
            failure: "housekeeping failed, will be tried again"
        ) { [weak self] in await self?.run(now: Timestamp.now) }
    }

    package func stop() { task = nil }

    /// One after another, so that one that fails leaves the others their turn.
    ///
    /// - Parameter now: by this machine's clock. What is dropped cannot be had back: it must be over by the database's
    ///   clock, too.
    package func run(now: Timestamp) async {
        await attempt { try await UsagePartitions.ensure(now: try await UsagePartitions.now(in: pool), in: pool) }
        await attempt {
            let now = min(now, try await UsagePartitions.now(in: pool))
            try await UsagePartitions.drop(now: now, keeping: usageMonths, in: pool)
        }
        await attempt {
            try await removeAll("sessions", key: "token_hash", where: "expires_at < now()")
        }
        await attempt {
            let age = "interval '\(SettlementRules.daysKept) days'"
            try await removeAll("settled", key: "request_id", where: "settled_at < now() - \(age)")
        }
    }

    /// In batches, so that no lock is held for long.
    private func removeAll(_ table: String, key: String, where condition: String) async throws {
        var removed = Self.batch
        while removed == Self.batch {
            removed = try await pool.execute(
                """
                delete from \(table) where \(key) in (
                    select \(key) from \(table) where \(condition) limit \(Self.batch) for update skip locked
                )
                """
            )
        }
    }

    private func attempt(_ body: () async throws -> Void) async {
        do { try await body() } catch { log.warning("housekeeping failed, will be tried again", ["error": "\(error)"]) }
    }
}
