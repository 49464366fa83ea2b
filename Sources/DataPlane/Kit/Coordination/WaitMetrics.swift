package import Telemetry

/// Calls that wait for a slot, counted.
package final class WaitMetrics: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        /// For a call of the same user or key to end.
        case caller
        /// For any account.
        case account
        /// For the account of the session.
        case session
    }

    package enum End: String, Sendable, CaseIterable {
        case served, timeout, crowded
        /// The session's account was full for too long, and the call went on.
        case left
        /// The caller left, or something failed.
        case gone
    }

    private struct Cells: Sendable {
        let waiting: Gauge
        let duration: Histogram
        let ends: [End: Counter]
    }
    private let cells: [Kind: Cells]

    package init(_ registry: MetricsRegistry) {
        var cells: [Kind: Cells] = [:]
        for kind in Kind.allCases {
            var ends: [End: Counter] = [:]
            for end in End.allCases {
                ends[end] = registry.counter(
                    "tollgate_waits_total",
                    "Calls that have waited for a slot, by what became of it.",
                    ["for": kind.rawValue, "end": end.rawValue]
                )
            }
            cells[kind] = Cells(
                waiting: registry.gauge(
                    "tollgate_waiting_calls",
                    "Calls that wait for a slot.",
                    ["for": kind.rawValue]
                ),
                duration: registry.histogram(
                    "tollgate_wait_seconds",
                    "How long calls waited for a slot.",
                    ["for": kind.rawValue]
                ),
                ends: ends
            )
        }
        self.cells = cells
    }

    func began(_ kind: Kind) { cells[kind]?.waiting.add(1) }

    func ended(_ kind: Kind, _ end: End, after duration: Duration) {
        guard let cells = cells[kind] else { return }
        cells.waiting.add(-1)
        cells.duration.record(microseconds: duration.wholeMicroseconds)
        cells.ends[end]?.add()
    }

    package func waiting(_ kind: Kind) -> Int { cells[kind]?.waiting.value ?? 0 }
    package func count(_ kind: Kind, _ end: End) -> Int { cells[kind]?.ends[end]?.value ?? 0 }
}
