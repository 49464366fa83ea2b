import Decisions
import Domain
import Formats
import HTTPMessages
import HTTPServing
import Snapshots

/// `GET /v1/models`: what the key's group can really serve, in the shape that the caller's headers ask for.
enum ModelLists {
    static func answer(
        _ operation: Operation,
        _ exchange: ServerExchange,
        group: ServingGroup,
        config: GatewayConfig,
        now: Timestamp,
        requestID: String
    ) throws {
        let models = served(by: group, config, now: now)
        var json = JSONWriter(capacity: 128 * (models.count + 1))
        let isAnthropic = isAnthropic(exchange.request.headers)
        if case .model(let name) = operation {
            guard models.contains(name) else { throw GatewayError(.notFound, "There is no such model: \(name)") }
            write(name, isAnthropic, to: &json)
        } else {
            write(models, isAnthropic, to: &json)
        }
        let headers: HeaderFields = ["content-type": "application/json", "x-request-id": requestID]
        exchange.respond(HTTPResponseHead(status: 200, headers: headers), body: json.bytes)
    }

    /// Mapped names where an account maps, else the priced models of its platform; within the group's allowlist.
    static func served(by group: ServingGroup, _ config: GatewayConfig, now: Timestamp) -> [String] {
        var models: Set<String> = []
        for account in group.accounts where account.isUsable(now: now) {
            if account.mapping.names.isEmpty {
                models.formUnion(
                    config.prices.models.filter {
                        $0.hasPrefix(modelPrefix) && account.mapping.upstreamModel(for: $0) != nil
                    }
                )
            } else {
                models.formUnion(account.mapping.names)
            }
        }
        if !group.snapshot.modelAllowlist.isEmpty { models.formIntersection(group.snapshot.modelAllowlist) }
        return models.sorted()
    }

    /// Anthropic's models begin like this.
    private static let modelPrefix = "claude-"

    private static func isAnthropic(_ headers: HeaderFields) -> Bool {
        headers.contains("anthropic-version") || headers.contains("x-api-key")
    }

    private static func write(_ models: [String], _ isAnthropic: Bool, to json: inout JSONWriter) {
        json.object { list in
            if !isAnthropic { list.member("object", "list") }
            list.key("data")
            list.array { data in
                for model in models { write(model, isAnthropic, to: &data) }
            }
            if isAnthropic {
                list.member("has_more", false)
                list.member("first_id", models.first)
                list.member("last_id", models.last)
            }
        }
    }

    private static func write(_ model: String, _ isAnthropic: Bool, to json: inout JSONWriter) {
        json.object { entry in
            entry.member("id", model)
            if isAnthropic {
                entry.member("type", "model")
                entry.member("display_name", model)
                entry.member("created_at", "1970-01-01T00:00:00Z")
            } else {
                entry.member("object", "model")
                entry.member("created", 0)
                entry.member("owned_by", "anthropic")
            }
        }
    }
}
