import Decisions
package import Domain
import Formats
package import Postgres

/// Reads the usage log.
package enum UsageStore {
    private static let columns = """
        r.request_id, r.user_id, r.key_id, r.account_id, r.group_id, r.model, r.upstream_model, r.dialect, r.stream, \
        r.input_tokens, r.output_tokens, r.cache_creation_5m_tokens, r.cache_creation_1h_tokens, r.cache_read_tokens, \
        r.web_searches, r.image_input_tokens, r.audio_input_tokens, r.image_output_tokens, r.audio_output_tokens, \
        r.service_tier, r.cost, r.account_cost, r.multiplier, r.account_multiplier, r.price_version, r.duration_ms, \
        r.first_token_ms, r.status, r.ip, r.user_agent, r.usage_estimated, r.cache_ttl_overridden, r."end", \
        \(SQL.microseconds("r.created_at", as: "created_at"))
        """

    /// Where a page of the log ended: the next one begins after it. Of what happened in the same microsecond events come
    /// first.
    package struct Cursor: Hashable, Sendable {
        package let createdAt: Timestamp
        /// Of an event `policy-` and its number: no call has such an id, since they are the gateway's own.
        package let requestID: String

        package init(createdAt: Timestamp, requestID: String) {
            self.createdAt = createdAt
            self.requestID = requestID
        }

        package init(_ entry: UsageEntry) {
            self.init(createdAt: entry.record.createdAt, requestID: entry.record.requestID)
        }

        /// Opaque text for callers.
        package var text: String { Base64.encode(Array("\(createdAt.microseconds) \(requestID)".utf8), .url) }

        package init?(_ text: String) {
            guard let bytes = Base64.decode(text, .url) else { return nil }
            let parts = String(decoding: bytes, as: UTF8.self).split(separator: " ", maxSplits: 1)
            guard parts.count == 2, let time = Int64(parts[0]), !parts[1].utf8.contains(0),
                // What no timestamp of the database can be would be an error there.
                time.magnitude < 8_000_000_000_000_000
            else { return nil }
            self.init(createdAt: Timestamp(microseconds: time), requestID: String(parts[1]))
        }

        fileprivate var event: Int64? {
            requestID.hasPrefix(UsageStore.eventPrefix) ? Int64(requestID.dropFirst(UsageStore.eventPrefix.count)) : nil
        }
    }

    fileprivate static let eventPrefix = "policy-"

    /// The newest entries first, those after the cursor. At most `limit`.
    package static func page(
        _ conditions: Conditions,
        after cursor: Cursor?,
        limit: Int64,
        in pool: PostgresPool
    ) async throws -> [UsageEntry] {
        try await pool.withConnection { connection in
            let calls = try await calls(conditions, after: cursor, limit, connection)
            let events = try await events(conditions, after: cursor, limit, connection)
            return merged(calls, events, limit: Int(clamping: limit))
        }
    }

    /// Both are in order.
    static func merged(_ calls: [UsageEntry], _ events: [UsageEntry], limit: Int) -> [UsageEntry] {
        guard !events.isEmpty else { return Array(calls.prefix(limit)) }
        var page: [UsageEntry] = []
        page.reserveCapacity(min(limit, calls.count + events.count))
        var (calls, events) = (calls[...], events[...])
        while page.count < limit {
            guard let event = events.first else { return page + calls.prefix(limit - page.count) }
            if let call = calls.first, call.record.createdAt > event.record.createdAt {
                page.append(call)
                calls = calls.dropFirst()
            } else {
                page.append(event)
                events = events.dropFirst()
            }
        }
        return page
    }

    private static func calls(
        _ conditions: Conditions,
        after cursor: Cursor?,
        _ limit: Int64,
        _ connection: PostgresConnection
    ) async throws -> [UsageEntry] {
        var conditions = conditions
        if let cursor {
            let time = SQL.time(conditions.bind(.integer(cursor.createdAt.microseconds)))
            if cursor.event == nil {
                let id = conditions.bind(.text(cursor.requestID))
                conditions.add("(r.created_at, r.request_id) < (\(time), \(id))")
            } else {
                conditions.add("r.created_at <= \(time)")
            }
        }
        let count = conditions.bind(.integer(limit))
        return try await connection.query(
            """
            select \(columns), v.model as price_model, v.match as price_match, v.rates::text as price_rates
            from (
                select r.* from (select *, 'call' as kind from usage_records) r\(conditions.clause)
                order by r.created_at desc, r.request_id desc limit \(count)::bigint
            ) r left join price_versions v on v.version = r.price_version
            order by r.created_at desc, r.request_id desc
            """,
            conditions.parameters
        ).map { row in
            let record = try record(row)
            return UsageEntry(kind: .call, record: record, price: try price(row, of: record))
        }
    }

    private static func price(_ row: PostgresRow, of record: UsageRecord) throws -> UsageEntry.Price? {
        guard let model = try row.optionalText("price_model") else { return nil }
        var draft = PriceDraft()
        draft.rates = PriceStore.rates(try row.json("price_rates"))
        let listed = PriceRecord(
            id: 0,
            fields: draft,
            revision: record.priceVersion,
            createdAt: record.createdAt,
            updatedAt: record.createdAt
        )
        return UsageEntry.Price(
            model: model,
            match: try row.choice("price_match"),
            rates: listed.price.applied(input: record.usage.allInput, record.usage.tier)
        )
    }

    /// Events under the names that calls have, so that they can be filtered alike: what they have not is null.
    private static func events(
        _ conditions: Conditions,
        after cursor: Cursor?,
        _ limit: Int64,
        _ connection: PostgresConnection
    ) async throws -> [UsageEntry] {
        var conditions = conditions
        if let cursor {
            let time = SQL.time(conditions.bind(.integer(cursor.createdAt.microseconds)))
            if let event = cursor.event {
                conditions.add("(r.created_at, r.id) < (\(time), \(conditions.bind(.integer(event))))")
            } else {
                conditions.add("r.created_at < \(time)")
            }
        }
        let count = conditions.bind(.integer(limit))
        return try await connection.query(
            """
            select r.id, r.request_id, r.user_id, r.key_id, r.kind, r.window_start_ms, r.actor_id,
                \(SQL.microseconds("r.created_at", as: "created_at"))
            from (
                select id, '\(eventPrefix)' || id as request_id, created_at, user_id, key_id, 'policy_' || kind as kind,
                    window_start_ms, actor_id, null::bigint as account_id, null::bigint as group_id,
                    null::text as model, null::boolean as stream
                from policy_events
            ) r\(conditions.clause)
            order by r.created_at desc, r.id desc limit \(count)::bigint
            """,
            conditions.parameters
        ).map { row in
            UsageEntry(
                kind: try row.choice("kind"),
                record: UsageRecord(
                    requestID: try row.text("request_id"),
                    createdAt: try row.time("created_at"),
                    user: UserID(try row.int("user_id")),
                    key: KeyID(try row.int("key_id")),
                    group: GroupID(0),
                    account: AccountID(0),
                    model: "",
                    upstreamModel: "",
                    dialect: .anthropic,
                    isStream: false,
                    status: 0
                ),
                windowStart: Timestamp(microseconds: try row.int("window_start_ms") &* 1000),
                actor: try row.optionalInt("actor_id").map { UserID($0) }
            )
        }
    }

    static func record(_ row: PostgresRow) throws -> UsageRecord {
        var record = UsageRecord(
            requestID: try row.text("request_id"),
            createdAt: try row.time("created_at"),
            user: UserID(try row.int("user_id")),
            key: KeyID(try row.int("key_id")),
            group: GroupID(try row.int("group_id")),
            account: AccountID(try row.int("account_id")),
            model: try row.text("model"),
            upstreamModel: try row.text("upstream_model"),
            dialect: try row.choice("dialect"),
            isStream: try row.bool("stream"),
            status: Int(try row.int("status"))
        )
        record.usage = TokenUsage(
            input: try row.int("input_tokens"),
            output: try row.int("output_tokens"),
            cacheWrite5m: try row.int("cache_creation_5m_tokens"),
            cacheWrite1h: try row.int("cache_creation_1h_tokens"),
            cacheRead: try row.int("cache_read_tokens"),
            webSearches: try row.int("web_searches"),
            inputMedia: .init(image: try row.int("image_input_tokens"), audio: try row.int("audio_input_tokens")),
            outputMedia: .init(image: try row.int("image_output_tokens"), audio: try row.int("audio_output_tokens")),
            tier: ServiceTier(rawValue: try row.text("service_tier")) ?? .standard
        )
        record.cost = try row.money("cost")
        record.accountCost = try row.money("account_cost")
        record.multiplier = try row.multiplier("multiplier")
        record.accountMultiplier = try row.multiplier("account_multiplier")
        record.priceVersion = try row.int("price_version")
        record.durationMilliseconds = try row.int("duration_ms")
        record.firstTokenMilliseconds = try row.optionalInt("first_token_ms")
        record.ip = try row.text("ip")
        record.userAgent = try row.text("user_agent")
        record.isEstimated = try row.bool("usage_estimated")
        record.isCacheTTLOverridden = try row.bool("cache_ttl_overridden")
        record.end = try row.choice("end")
        return record
    }
}
