import HTTPMessages
package import HTTPServing
package import Postgres
package import Telemetry

/// `/health/live`, `/health/ready` and `/metrics` of the control plane.
package final class ControlPlaneProbes {
    package var isDraining = false
    private let pool: PostgresPool
    private let registry: MetricsRegistry
    /// Further things that the process cannot work without: a word for each that is missing.
    package var missing: () -> String? = { nil }

    package init(_ pool: PostgresPool, _ registry: MetricsRegistry) {
        self.pool = pool
        self.registry = registry
    }

    /// Whether the path is a probe's; then it has been answered.
    package func answer(_ exchange: ServerExchange) async -> Bool {
        switch exchange.request.path {
        case "/health/live": respond(exchange, 200, #"{"status":"live"}"#)
        case "/health/ready": await answerReady(exchange)
        case "/metrics":
            let headers: HeaderFields = ["content-type": "text/plain; version=0.0.4; charset=utf-8"]
            exchange.respond(HTTPResponseHead(status: 200, headers: headers), body: Array(registry.render().utf8))
        default: return false
        }
        return true
    }

    private func answerReady(_ exchange: ServerExchange) async {
        if isDraining { return respond(exchange, 503, #"{"status":"draining"}"#) }
        if let missing = missing() { return respond(exchange, 503, #"{"status":"down","reason":"\#(missing)"}"#) }
        do {
            _ = try await pool.query("select 1 as one")
            respond(exchange, 200, #"{"status":"ready"}"#)
        } catch {
            respond(exchange, 503, #"{"status":"down","reason":"database"}"#)
        }
    }

    private func respond(_ exchange: ServerExchange, _ status: Int, _ text: String) {
        let headers: HeaderFields = ["content-type": "application/json", "cache-control": "no-store"]
        exchange.respond(HTTPResponseHead(status: status, headers: headers), body: Array(text.utf8))
    }
}
