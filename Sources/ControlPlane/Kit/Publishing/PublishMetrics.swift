package import Reactor
package import Telemetry

/// What is measured of publishing.
package struct PublishMetrics {
    package let failures: Counter
    package let revision: Gauge
    private let registry: MetricsRegistry

    package init(_ registry: MetricsRegistry) {
        self.registry = registry
        failures = registry.counter("tollgate_publish_failures_total", "Publications that failed and are tried again")
        revision = registry.gauge("tollgate_snapshot_revision", "Revision of the configuration published last")
    }

    /// - Parameter kind: one of a few constants.
    package func published(_ kind: String, _ count: Int, since started: MonotonicTime) {
        registry.counter("tollgate_published_total", "Entries published into Redis", ["kind": kind]).add(count)
        registry.histogram("tollgate_publish_seconds", "Time from reading a batch to its announcement", ["kind": kind])
            .record(microseconds: Int(started.elapsed.nanoseconds / 1000))
    }
}
