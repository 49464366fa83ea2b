import Decisions
import Domain
import Formats
import HTTPMessages
import HTTPServing
import Providers
import Snapshots

/// Lists of models: what the key's group can really serve, in the shape that path and headers ask for.
enum ModelLists {
    private enum Shape { case anthropic, openai, gemini }

    static func answer(
        _ route: ModelListRoute,
        _ exchange: ServerExchange,
        _ standing: Standing,
        now: Timestamp,
        requestID: String
    ) throws {
        let models = served(by: standing.group, standing.config, now: now)
        var json = JSONWriter(capacity: 128 * (models.count + 1))
        let shape: Shape =
            route.isGemini || isGemini(exchange.request.headers)
            ? .gemini : isAnthropic(exchange.request.headers) ? .anthropic : .openai
        if let name = route.name {
            guard models.contains(name) else { throw GatewayError(.notFound, "There is no such model: \(name)") }
            write(name, shape, standing.group, to: &json)
        } else {
            write(models, shape, standing.group, to: &json)
        }
        let headers: HeaderFields = ["content-type": "application/json", "x-request-id": requestID]
        exchange.respond(HTTPResponseHead(status: 200, headers: headers), body: json.bytes)
    }

    /// Mapped names where an account maps, and where it serves others as well the priced models behind whose upstream names
    /// its provider has one; within the group's allowlist, and none that would be refused for want of a price.
    static func served(by group: ServingGroup, _ config: GatewayConfig, now: Timestamp) -> [String] {
        let allowlist = group.snapshot.modelAllowlist
        let priced = config.prices.models
        var models: Set<String> = []
        for account in group.accounts where account.isUsable(now: now) {
            models.formUnion(account.mapping.names)
            guard account.mapping.servesUnnamed else { continue }
            // Of those that the group names itself the price can be their family's.
            for model in priced + allowlist where !models.contains(model) {
                guard let name = account.mapping.upstreamModel(for: model) else { continue }
                if account.provider.offers(name) || account.mapping.isFixed(name) { models.insert(model) }
            }
        }
        if !allowlist.isEmpty { models.formIntersection(allowlist) }
        if !config.settings.allowsUnpricedModels { models = models.filter { config.prices.price(of: $0) != nil } }
        return models.sorted()
    }

    static func isAnthropic(_ headers: HeaderFields) -> Bool {
        headers.contains("anthropic-version") || headers.contains("x-api-key")
    }

    /// Google's packages present their key in a header of their own.
    static func isGemini(_ headers: HeaderFields) -> Bool { headers.contains("x-goog-api-key") }

    private static func write(_ models: [String], _ shape: Shape, _ group: ServingGroup, to json: inout JSONWriter) {
        json.object { list in
            if shape == .openai { list.member("object", "list") }
            list.key(shape == .gemini ? "models" : "data")
            list.array { data in
                for model in models { write(model, shape, group, to: &data) }
            }
            if shape == .anthropic {
                list.member("has_more", false)
                list.member("first_id", models.first)
                list.member("last_id", models.last)
            }
        }
    }

    private static func write(_ model: String, _ shape: Shape, _ group: ServingGroup, to json: inout JSONWriter) {
        json.object { entry in
            switch shape {
            case .anthropic:
                entry.member("id", model)
                entry.member("type", "model")
                entry.member("display_name", model)
                entry.member("created_at", "1970-01-01T00:00:00Z")
            case .openai:
                entry.member("id", model)
                entry.member("object", "model")
                entry.member("created", 0)
                entry.member("owned_by", group.snapshot.platform.rawValue)
            case .gemini:
                entry.member("name", "models/" + model)
                entry.member("displayName", model)
                entry.key("supportedGenerationMethods")
                entry.array { methods in
                    for method in ["generateContent", "streamGenerateContent", "countTokens"] { methods.string(method) }
                }
            }
        }
    }
}
