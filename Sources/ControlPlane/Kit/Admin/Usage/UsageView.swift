package import Domain
package import Formats

/// A settled call in answers (SPEC's usage log).
package enum UsageView {
    /// - Parameter forAdmin: admins see the caller's address and the account; users do not.
    package static func view(forAdmin: Bool) -> View<UsageRecord> {
        var fields: [View<UsageRecord>.Field] = [
            .init("request_id", Schema.text) { .string($0.requestID) },
            .init("created_at", Schema.time) { .time($0.createdAt) },
            .init("user_id", Schema.id) { .int($0.user.raw) },
            .init("key_id", Schema.id) { .int($0.key.raw) },
            .init("group_id", Schema.id) { .int($0.group.raw) },
            .init("model", Schema.text) { .string($0.model) },
            .init("dialect", Schema.choice(Dialect.allCases.map(\.rawValue))) { .string($0.dialect.rawValue) },
            .init("stream", Schema.flag) { .bool($0.isStream) },
            .init("input_tokens", Schema.integer) { .int($0.usage.input) },
            .init("output_tokens", Schema.integer) { .int($0.usage.output) },
            .init("cache_creation_5m_tokens", Schema.integer) { .int($0.usage.cacheWrite5m) },
            .init("cache_creation_1h_tokens", Schema.integer) { .int($0.usage.cacheWrite1h) },
            .init("cache_read_tokens", Schema.integer) { .int($0.usage.cacheRead) },
            .init("image_input_tokens", Schema.integer) { .int($0.usage.inputMedia.image) },
            .init("audio_input_tokens", Schema.integer) { .int($0.usage.inputMedia.audio) },
            .init("image_output_tokens", Schema.integer) { .int($0.usage.outputMedia.image) },
            .init("audio_output_tokens", Schema.integer) { .int($0.usage.outputMedia.audio) },
            .init("web_searches", Schema.integer) { .int($0.usage.webSearches) },
            .init("cost", Schema.money) { .money($0.cost) },
            .init("multiplier", Schema.multiplier) { .string($0.multiplier.description) },
            .init("duration_ms", Schema.integer) { .int($0.durationMilliseconds) },
            .init("first_token_ms", Schema.integer.nullable) { $0.firstTokenMilliseconds.map { .int($0) } ?? .null },
            .init("status", Schema.integer) { .int(Int64($0.status)) },
            .init("user_agent", Schema.text) { .string($0.userAgent) },
            .init("usage_estimated", Schema.flag) { .bool($0.isEstimated) },
            .init("cache_ttl_overridden", Schema.flag) { .bool($0.isCacheTTLOverridden) },
            .init("end", Schema.choice(UsageEnd.allCases.map(\.rawValue))) { .string($0.end.rawValue) },
        ]
        if forAdmin {
            fields += [
                .init("account_id", Schema.id) { .int($0.account.raw) },
                .init("account_multiplier", Schema.multiplier) { .string($0.accountMultiplier.description) },
                .init("account_cost", Schema.money) { .money($0.accountCost) },
                .init("price_version", Schema.integer) { .int($0.priceVersion) },
                .init("ip", Schema.text) { .string($0.ip) },
            ]
        }
        return View(fields)
    }

    /// The upstream's name for the model is left out when it is the same; users never see it.
    package static func json(_ record: UsageRecord, forAdmin: Bool) -> JSON {
        var json = view(forAdmin: forAdmin).json(record)
        if forAdmin, record.upstreamModel != record.model { json["upstream_model"] = .string(record.upstreamModel) }
        return json
    }
}
