import HTTPMessages
package import HTTPServing
package import Snapshots
import Synchronization
package import Telemetry

/// How the worker stands, as the probes tell it. Written by the worker's main loop, read by all.
package final class WorkerHealth: Sendable {
    package struct State: Sendable {
        package var isRedisUp = false
        package var isControlPlaneUp = false
        package var isDraining = false
        /// Whether callers are let in on every address.
        package var isListening = false
        package var version: SnapshotVersion?
        /// Since the configuration was last compared with Redis.
        package var snapshotAgeSeconds: Int?
        package init() {}
    }
    private let state = Mutex(State())

    package init() {}
    package var current: State { state.withLock { $0 } }
    package func update(_ body: (inout State) -> Void) { state.withLock { body(&$0) } }
}

/// `/health/live`, `/health/ready` and `/metrics`.
package final class Probes: Sendable {
    /// A snapshot older than this makes the worker degraded.
    private static let freshSeconds = 600
    private let health: WorkerHealth
    private let registry: MetricsRegistry

    package init(_ health: WorkerHealth, _ registry: MetricsRegistry) {
        self.health = health
        self.registry = registry
    }

    package func answer(_ operation: Operation, _ exchange: ServerExchange) {
        switch operation {
        case .metrics:
            let headers: HeaderFields = ["content-type": "text/plain; version=0.0.4; charset=utf-8"]
            exchange.respond(HTTPResponseHead(status: 200, headers: headers), body: Array(registry.render().utf8))
        case .ready:
            let (status, text) = Self.readiness(health.current)
            respond(exchange, status, text)
        default:
            respond(exchange, 200, #"{"status":"live"}"#)
        }
    }

    /// 503 when calls cannot be served: no Redis, no configuration, or draining. Without the control plane the worker
    /// serves on and says so.
    package static func readiness(_ state: WorkerHealth.State) -> (status: Int, text: String) {
        guard !state.isDraining else { return (503, #"{"status":"draining"}"#) }
        guard state.isRedisUp else { return (503, #"{"status":"down","reason":"redis"}"#) }
        guard let version = state.version else { return (503, #"{"status":"down","reason":"no configuration"}"#) }
        guard state.isListening else { return (503, #"{"status":"down","reason":"not listening"}"#) }
        let age = state.snapshotAgeSeconds ?? 0
        let isDegraded = !state.isControlPlaneUp || age > freshSeconds
        return (
            200,
            #"{"status":"\#(isDegraded ? "degraded" : "ready")","snapshot":"\#(version)","snapshot_age_seconds":\#(age)}"#
        )
    }

    private func respond(_ exchange: ServerExchange, _ status: Int, _ text: String) {
        let headers: HeaderFields = ["content-type": "application/json", "cache-control": "no-store"]
        exchange.respond(HTTPResponseHead(status: status, headers: headers), body: Array(text.utf8))
    }
}
