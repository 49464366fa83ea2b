package import Domain
import Formats
package import Postgres

/// Reads the usage log.
package enum UsageStore {
    private static let columns = """
        r.request_id, r.user_id, r.key_id, r.account_id, r.group_id, r.model, r.upstream_model, r.dialect, r.stream, \
        r.input_tokens, r.output_tokens, r.cache_creation_5m_tokens, r.cache_creation_1h_tokens, r.cache_read_tokens, \
        r.web_searches, r.image_input_tokens, r.audio_input_tokens, r.image_output_tokens, r.audio_output_tokens, r.cost, r.account_cost, r.multiplier, r.account_multiplier, r.price_version, r.duration_ms, \
        r.first_token_ms, r.status, r.ip, r.user_agent, r.usage_estimated, r.cache_ttl_overridden, r."end", \
        \(SQL.microseconds("r.created_at", as: "created_at"))
        """

    /// Where a page of the log ended: the next one begins after it.
    package struct Cursor: Hashable, Sendable {
        package let createdAt: Timestamp
        package let requestID: String

        package init(createdAt: Timestamp, requestID: String) {
            self.createdAt = createdAt
            self.requestID = requestID
        }

        /// Opaque text for callers.
        package var text: String { Base64.encode(Array("\(createdAt.microseconds) \(requestID)".utf8), .url) }

        package init?(_ text: String) {
            guard let bytes = Base64.decode(text, .url) else { return nil }
            let parts = String(decoding: bytes, as: UTF8.self).split(separator: " ", maxSplits: 1)
            guard parts.count == 2, let time = Int64(parts[0]), !parts[1].utf8.contains(0),
                // What no timestamp of the database can be would be an error there.
                abs(time) < 8_000_000_000_000_000
            else { return nil }
            self.init(createdAt: Timestamp(microseconds: time), requestID: String(parts[1]))
        }
    }

    /// The newest rows first, those after the cursor. At most `limit`.
    package static func page(
        _ conditions: Conditions,
        after cursor: Cursor?,
        limit: Int64,
        in pool: PostgresPool
    ) async throws -> [UsageRecord] {
        var conditions = conditions
        if let cursor {
            let time = SQL.time(conditions.bind(.integer(cursor.createdAt.microseconds)))
            let id = conditions.bind(.text(cursor.requestID))
            conditions.add("(r.created_at, r.request_id) < (\(time), \(id))")
        }
        let count = conditions.bind(.integer(limit))
        return try await pool.query(
            """
            select \(columns) from usage_records r\(conditions.clause) \
            order by r.created_at desc, r.request_id desc limit \(count)::bigint
            """,
            conditions.parameters
        ).map { try record($0) }
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
            outputMedia: .init(image: try row.int("image_output_tokens"), audio: try row.int("audio_output_tokens"))
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
