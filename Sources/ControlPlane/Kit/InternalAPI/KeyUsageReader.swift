package import Domain
package import Postgres
package import Redis
import Snapshots

/// Reads a key's usage so that it is exact while calls are being settled.
///
/// The stream is read first, then the database in one snapshot: a record that stood in the stream is either settled in
/// that snapshot, by its request id, and so in its sums, or it is added to them. Nothing can slip through between the
/// two, as a record leaves the stream only after the commit that settles it.
package final class KeyUsageReader {
    private let pool: PostgresPool
    private let waiting: WaitingRecords

    package init(_ pool: PostgresPool, _ redis: RedisClient) {
        self.pool = pool
        waiting = WaitingRecords(redis)
    }

    /// - Returns: nil when there is no such key.
    /// - Throws: `RedisError`, `PostgresError`.
    package func read(_ key: KeyID) async throws -> KeyUsage? {
        let owner = try await pool.query(
            "select user_id from api_keys where id = $1 and deleted_at is null",
            [.integer(key.raw)]
        ).first
        guard let user = try owner.map({ UserID(try $0.int("user_id")) }) else { return nil }
        let waiting = try await waiting.read(of: [user])
        return try await pool.withTransaction { connection in
            try await connection.execute("set transaction isolation level repeatable read, read only")
            guard var usage = try await Self.sums(of: key, connection) else { return nil }
            let settled = try await WaitingRecords.settled(waiting, connection)
            for record in waiting.map(\.record) {
                if let phase = settled[record.requestID] {
                    guard SettlementRules.replaces(record.phase, phase) else { continue }
                    for old in try await Self.booked(record.requestID, connection) { usage.add(old, factor: -1) }
                }
                usage.add(UsageFacts(record))
            }
            return usage
        }
    }

    private static func sums(of key: KeyID, _ connection: PostgresConnection) async throws -> KeyUsage? {
        let owner = try await connection.query(
            """
            select k.quota, k.quota_used, u.balance, \(SQL.microseconds("k.expires_at", as: "expires_at")),
                \(SQL.microseconds("now()", as: "now"))
                , \(KeyPolicyStore.columns)
            from api_keys k join users u on u.id = k.user_id left join key_policies p on p.key_id = k.id
            where k.id = $1
            """,
            [.integer(key.raw)]
        ).first
        guard let owner else { return nil }
        var usage = KeyUsage(key: key, now: try owner.time("now"))
        usage.quota = try owner.optionalMoney("quota")
        usage.quotaUsed = try owner.money("quota_used")
        usage.expiresAt = try owner.optionalTime("expires_at")
        usage.balance = try owner.money("balance")
        usage.policy = try KeyPolicyStore.optionalRecord(owner)
        usage.policyUsed = usage.policy?.used(at: usage.now) ?? .zero
        for row in try await connection.query(
            """
            select day = (now() at time zone 'UTC')::date as today, sum(requests)::bigint as requests,
                sum(input_tokens)::bigint as input, sum(output_tokens)::bigint as output,
                sum(cache_creation_tokens)::bigint as cache_creation, sum(cache_read_tokens)::bigint as cache_read,
                sum(cost)::bigint as cost
            from key_usage_daily where key_id = $1 group by 1
            """,
            [.integer(key.raw)]
        ) {
            var sums = UsageSums()
            sums.requests = try row.int("requests")
            sums.input = try row.int("input")
            sums.output = try row.int("output")
            sums.cacheCreation = try row.int("cache_creation")
            sums.cacheRead = try row.int("cache_read")
            sums.cost = try row.money("cost")
            if try row.bool("today") { usage.today = sums }
            usage.total = usage.total + sums
        }
        let minute = try await connection.query(
            """
            select count(*) as requests, coalesce(sum(input_tokens + output_tokens + cache_creation_5m_tokens
                + cache_creation_1h_tokens + cache_read_tokens), 0)::bigint as tokens
            from usage_records where key_id = $1 and created_at > now() - interval '60 seconds'
            """,
            [.integer(key.raw)]
        ).first
        usage.rpm = try minute?.int("requests") ?? 0
        usage.tpm = try minute?.int("tokens") ?? 0
        return usage
    }

    /// What a swept record has booked.
    private static func booked(_ requestID: String, _ connection: PostgresConnection) async throws -> [UsageFacts] {
        try await connection.query(
            """
            select key_id, input_tokens, output_tokens, cache_creation_5m_tokens, cache_creation_1h_tokens,
                cache_read_tokens, cost, policy_version, policy_epoch, policy_window, subscription_id, \(SQL.microseconds("created_at", as: "created_at"))
            from usage_records where request_id = $1
            """,
            [.text(requestID)]
        ).map { row in
            UsageFacts(
                key: KeyID(try row.int("key_id")),
                createdAt: try row.time("created_at"),
                usage: TokenUsage(
                    input: try row.int("input_tokens"),
                    output: try row.int("output_tokens"),
                    cacheWrite5m: try row.int("cache_creation_5m_tokens"),
                    cacheWrite1h: try row.int("cache_creation_1h_tokens"),
                    cacheRead: try row.int("cache_read_tokens")
                ),
                cost: try row.money("cost"),
                limits: try limits(row)
            )
        }
    }

    private static func limits(_ row: PostgresRow) throws -> FrozenLimits {
        var limits = FrozenLimits()
        if let window = try row.optionalInt("policy_window") {
            limits.policy = .init(
                version: try row.int("policy_version"),
                resetEpoch: try row.int("policy_epoch"),
                window: window
            )
        }
        if let id = try row.optionalInt("subscription_id") {
            limits.subscription = .init(id: SubscriptionID(id), day: 0, week: 0, month: 0)
        }
        return limits
    }
}
