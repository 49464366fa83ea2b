import Decisions
import Domain
package import Formats
import Snapshots

/// An entry of the usage log in answers.
///
/// Events have the same fields as calls, so that a reader needs to know nothing of them: counts and costs are 0, and
/// what only a call has is null.
package enum UsageView {
    private typealias Field = View<UsageEntry>.Field

    /// - Parameter forAdmin: admins see the caller's address, the account and the prices; users do not.
    package static func view(forAdmin: Bool) -> View<UsageEntry> {
        View(identity + counts + money + ending + (forAdmin ? insight : []))
    }

    private static func ofCall(
        _ name: String,
        _ schema: JSON,
        _ value: @escaping (UsageRecord) -> JSON
    ) -> Field {
        Field(name, schema.nullable) { $0.isCall ? value($0.record) : .null }
    }

    private static func count(_ name: String, _ path: KeyPath<TokenUsage, Int64>) -> Field {
        Field(name, Schema.integer) { .int($0.record.usage[keyPath: path]) }
    }

    private static var identity: [Field] {
        [
            Field("kind", Schema.choice(UsageEntry.Kind.allCases.map(\.rawValue))) { .string($0.kind.rawValue) },
            Field("request_id", Schema.text) { .string($0.record.requestID) },
            Field("created_at", Schema.time) { .time($0.record.createdAt) },
            Field("user_id", Schema.id) { .int($0.record.user.raw) },
            Field("key_id", Schema.id) { .int($0.record.key.raw) },
            ofCall("group_id", Schema.id) { .int($0.group.raw) },
            ofCall("model", Schema.text) { .string($0.model) },
            ofCall("dialect", Schema.choice(Dialect.allCases.map(\.rawValue))) { .string($0.dialect.rawValue) },
            ofCall("stream", Schema.flag) { .bool($0.isStream) },
            ofCall("service_tier", Schema.choice(ServiceTier.allCases.map(\.rawValue))) {
                .string($0.usage.tier.rawValue)
            },
        ]
    }

    private static var counts: [Field] {
        [
            count("input_tokens", \.input),
            count("output_tokens", \.output),
            count("cache_creation_5m_tokens", \.cacheWrite5m),
            count("cache_creation_1h_tokens", \.cacheWrite1h),
            count("cache_read_tokens", \.cacheRead),
            count("image_input_tokens", \.inputMedia.image),
            count("audio_input_tokens", \.inputMedia.audio),
            count("image_output_tokens", \.outputMedia.image),
            count("audio_output_tokens", \.outputMedia.audio),
            count("web_searches", \.webSearches),
        ]
    }

    private static var money: [Field] {
        [
            Field("cost", Schema.money) { .money($0.record.cost) },
            ofCall("multiplier", Schema.multiplier) { .string($0.multiplier.description) },
        ]
    }

    private static var ending: [Field] {
        [
            ofCall("duration_ms", Schema.integer) { .int($0.durationMilliseconds) },
            ofCall("first_token_ms", Schema.integer) { $0.firstTokenMilliseconds.map { .int($0) } ?? .null },
            ofCall("status", Schema.integer) { .int(Int64($0.status)) },
            ofCall("user_agent", Schema.text) { .string($0.userAgent) },
            ofCall("usage_estimated", Schema.flag) { .bool($0.isEstimated) },
            ofCall("cache_ttl_overridden", Schema.flag) { .bool($0.isCacheTTLOverridden) },
            ofCall("end", Schema.choice(UsageEnd.allCases.map(\.rawValue))) { .string($0.end.rawValue) },
            Field("window_start", Schema.time.nullable) { .time($0.windowStart) },
        ]
    }

    private static var insight: [Field] {
        [
            ofCall("account_id", Schema.id) { .int($0.account.raw) },
            ofCall("account_multiplier", Schema.multiplier) { .string($0.accountMultiplier.description) },
            Field("account_cost", Schema.money) { .money($0.record.accountCost) },
            ofCall("price_version", Schema.integer) { .int($0.priceVersion) },
            Field("price_model", Schema.text.nullable) { $0.price.map { .string($0.model) } ?? .null },
            Field("price_match", Schema.choice(["exact", "prefix"]).nullable) {
                $0.price.map { .string($0.match.rawValue) } ?? .null
            },
            ofCall("ip", Schema.text) { .string($0.ip) },
            Field("actor_id", Schema.id.nullable) { $0.actor.map { .int($0.raw) } ?? .null },
        ]
    }

    /// The upstream's name for the model is left out when it is the same; users never see it, nor the prices.
    package static func json(_ entry: UsageEntry, forAdmin: Bool) -> JSON {
        var json = view(forAdmin: forAdmin).json(entry)
        guard forAdmin, entry.isCall else { return json }
        if entry.record.upstreamModel != entry.record.model {
            json["upstream_model"] = .string(entry.record.upstreamModel)
        }
        json["prices"] = entry.price.map { prices($0.rates) } ?? .null
        return json
    }

    /// USD per million tokens; `web_search` and `request` by the call.
    private static func prices(_ price: ModelPrice) -> JSON {
        var json: JSON = [
            "input": .string(price.input.description), "output": .string(price.output.description),
            "cache_write_5m": .string(price.cacheWrite5m.description),
            "cache_write_1h": .string(price.cacheWrite1h.description),
            "cache_read": .string(price.cacheRead.description),
        ]
        let media = [
            ("image_input", price.inputMedia.image), ("audio_input", price.inputMedia.audio),
            ("image_output", price.outputMedia.image), ("audio_output", price.outputMedia.audio),
        ]
        for case (let name, let rate?) in media { json[name] = .string(rate.description) }
        if price.webSearch != .zero { json["web_search"] = .string(price.webSearch.description) }
        if price.request != .zero { json["request"] = .string(price.request.description) }
        return json
    }
}
