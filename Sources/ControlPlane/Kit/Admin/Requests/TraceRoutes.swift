import Formats
import Redis
import Snapshots

/// `/admin/requests/{id}/trace`: why a call went where it went. Workers keep traces in Redis for a day, within a bound.
package struct TraceRoutes {
    private static let path = "/api/v1/admin/requests/{id}/trace"
    private static let longestID = 64

    private let context: AdminContext

    package init(_ context: AdminContext) { self.context = context }

    package var routes: [Route] {
        [
            Route(
                "GET",
                Self.path,
                .admin,
                "How a call went: candidates and why they were skipped, attempts, verdicts, waits, timings, money",
                answer: Self.schema,
                handler: trace
            )
        ]
    }

    private static var schema: JSON {
        func list(_ fields: JSON) -> JSON { ["type": "array", "items": ["type": "object", "properties": fields]] }
        return [
            "type": "object",
            "properties": [
                "request_id": Schema.text, "created_at": Schema.time, "user_id": Schema.id, "key_id": Schema.id,
                "group_id": Schema.id, "model": Schema.text, "dialect": Schema.text, "stream": Schema.flag,
                "candidates": list([
                    "account_id": Schema.id, "priority": Schema.integer, "in_flight": Schema.integer,
                    "skipped": Schema.text, "until": Schema.time,
                ]),
                "refusals": list([
                    "account_id": Schema.id, "at_ms": Schema.integer, "skipped": Schema.text, "until": Schema.time,
                ]),
                "attempts": list([
                    "account_id": Schema.id, "upstream_model": Schema.text, "entry": Schema.text,
                    "sticky": Schema.flag, "at_ms": Schema.integer, "duration_ms": Schema.integer,
                    "verdict": Schema.text, "status": Schema.integer,
                    "effects": ["type": "array", "items": Schema.object],
                ]),
                "waits": Schema.object, "timings": Schema.object, "outcome": Schema.object,
                "money": Schema.object.nullable,
            ],
        ]
    }

    private func trace(_ request: AdminRequest) async throws -> AdminAnswer {
        guard let id = request.parameters["id"], id.utf8.count <= Self.longestID, let redis = context.redis else {
            throw Problem.notFound("trace")
        }
        do {
            let now = try await redis.send(RedisCommand(["GET", RedisNames.traceGeneration]))
            let present = now.text.flatMap { Int64($0) } ?? 0
            let oldest = present - Int64(RedisNames.traceGenerations)
            let found = try await redis.sendAll(
                stride(from: present, to: oldest, by: -1).map {
                    RedisCommand(["HGET", RedisNames.traces($0), id])
                }
            )
            for case .string(let text) in found { return .ok(try JSON(text)) }
        } catch is RedisError {
            throw Problem(503, "redis_away", "Traces cannot be read now; try again.")
        }
        throw Problem.notFound("trace")
    }
}
