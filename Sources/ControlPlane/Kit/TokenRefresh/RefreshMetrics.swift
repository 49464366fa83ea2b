package import Domain
package import Reactor
package import Telemetry

/// What is measured of renewals.
package struct RefreshMetrics {
    private let registry: MetricsRegistry

    package init(_ registry: MetricsRegistry) { self.registry = registry }

    /// - Parameter result: one of a few constants.
    package func asked(_ platform: Platform, _ result: String, since started: MonotonicTime) {
        registry.counter(
            "tollgate_token_refreshes_total",
            "Questions to token endpoints, by what came of them",
            ["platform": platform.rawValue, "result": result]
        ).add()
        registry.histogram("tollgate_token_refresh_seconds", "Time that token endpoints take", [:])
            .record(microseconds: Int(started.elapsed.nanoseconds / 1000))
    }

    /// Secrets that no present master key opens.
    package func cannotOpen() {
        registry.counter(
            "tollgate_credentials_unreadable_total",
            "Credentials that could not be opened with the present master keys",
            [:]
        ).add()
    }
}
