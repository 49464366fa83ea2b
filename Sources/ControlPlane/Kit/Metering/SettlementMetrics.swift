package import Telemetry

/// What is measured of settlement.
package struct SettlementMetrics: Sendable {
    package let settled: Counter
    package let repeated: Counter
    package let deadLetters: Counter
    package let failures: Counter
    package let batchSeconds: Histogram
    /// What each settler of this process does.
    package let shares: [Share]

    package struct Share: Sendable {
        package let partitions = Gauge()
        /// When the oldest record was written that is not settled, in milliseconds since 1970; 0 when there is none.
        package let oldest = Gauge()
    }

    package init(_ registry: MetricsRegistry, settlers: Int = 1) {
        settled = registry.counter("tollgate_usage_settled_total", "Calls whose usage was written into Postgres")
        repeated = registry.counter("tollgate_usage_repeated_total", "Usage records of calls that were settled already")
        deadLetters = registry.counter("tollgate_usage_dead_letters_total", "Usage records that could not be settled")
        failures = registry.counter("tollgate_settle_failures_total", "Settlements that failed and are tried again")
        batchSeconds = registry.histogram("tollgate_settle_batch_seconds", "Time to settle one batch of records")
        let shares = (0..<max(1, settlers)).map { _ in Share() }
        self.shares = shares
        registry.computed("tollgate_settle_partitions", "Partitions that this process settles") {
            Double(shares.reduce(0) { $0 + $1.partitions.value })
        }
        registry.computed("tollgate_settle_lag_seconds", "Age of the oldest usage record that is not settled") {
            let since = shares.map(\.oldest.value).filter { $0 != 0 }.min() ?? 0
            return since == 0 ? 0 : max(0, Double(WallClock.milliseconds - Int64(since)) / 1000)
        }
    }
}
