package import Decisions
package import Domain
import Formats
package import Postgres

/// What has been spent through an account, as the database has it.
package struct AccountQuotaStanding: Hashable, Sendable {
    package var account: AccountID
    package var spending: AccountSpending
    /// Grows with each change of the numbers.
    package var sequence: Int64
    /// Whether workers count against it.
    package var isLimited: Bool
}

/// Keeps what has been spent through accounts.
package enum AccountQuotaStore {
    /// A call's part in it.
    package struct Charge: Hashable, Sendable {
        /// When the call ended.
        package var time: Timestamp
        package var cost: NanoUSD
    }

    private static let kinds = AccountQuota.Kind.allCases

    private static let columns =
        kinds.map { "q.\($0)_used, q.\($0)_start_ms, q.\($0)_floor_ms" }.joined(separator: ", ") + """
            , q.account_id, q.seq, exists (select from accounts a where a.id = q.account_id and a.deleted_at is null \
            and greatest(a.quota_daily, a.quota_weekly, a.quota_total, 0) > 0) as limited
            """

    private static func standing(_ row: PostgresRow) throws -> AccountQuotaStanding {
        AccountQuotaStanding(
            account: AccountID(try row.int("account_id")),
            spending: try spending { kind, field in try row.optionalInt("\(kind)_\(field)") },
            sequence: try row.int("seq"),
            isLimited: try row.bool("limited")
        )
    }

    private static func spending(
        _ value: (AccountQuota.Kind, StaticString) throws -> Int64?
    ) rethrows -> AccountSpending {
        var spending = AccountSpending()
        for kind in kinds {
            spending[kind] = AccountSpending.Period(
                used: NanoUSD(try value(kind, "used") ?? 0),
                start: try value(kind, "start_ms"),
                floor: try value(kind, "floor_ms") ?? 0
            )
        }
        return spending
    }

    // MARK: In listings of accounts

    static let known = """
        (select to_json(q) from account_quotas q where q.account_id = a.id)::text as known_quota
        """

    static func known(_ row: PostgresRow) throws -> AccountSpending {
        guard let text = try row.optionalText("known_quota"), let json = try? JSON(text: text) else {
            return AccountSpending()
        }
        return spending { kind, field in json["\(kind)_\(field)"]?.int64 }
    }

    // MARK: Settlement

    /// Counts what calls have cost, in the transaction that settles them. Accounts are shared by all partitions: their
    /// rows are locked in one order, and last.
    ///
    /// - Parameter charges: by account; those without any are only read.
    package static func book(
        _ charges: [AccountID: [Charge]],
        _ connection: PostgresConnection
    ) async throws -> [AccountQuotaStanding] {
        guard !charges.isEmpty else { return [] }
        let ids = charges.keys.map(\.raw).sorted()
        var (standings, now) = try await lock(ids, connection)
        if standings.count < ids.count {
            try await connection.execute(
                "insert into account_quotas (account_id) select unnest($1::bigint[]) on conflict do nothing",
                [.integers(ids)]
            )
            (standings, now) = try await lock(ids, connection)
        }
        for place in standings.indices {
            guard let charges = charges[standings[place].account], !charges.isEmpty else { continue }
            // No clock of a worker can open a period that has not begun.
            standings[place].spending.add(charges.map { (min($0.time.milliseconds, now), $0.cost) })
            standings[place].sequence += 1
        }
        try await write(standings.filter { charges[$0.account]?.isEmpty == false }, connection)
        return standings
    }

    private static func lock(
        _ ids: [Int64],
        _ connection: PostgresConnection
    ) async throws -> ([AccountQuotaStanding], now: Int64) {
        let rows = try await connection.query(
            """
            select \(columns), (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms
            from account_quotas q where q.account_id = any($1::bigint[]) order by q.account_id for update of q
            """,
            [.integers(ids)]
        )
        return (try rows.map { try standing($0) }, try rows.first?.int("now_ms") ?? 0)
    }

    private static func write(_ standings: [AccountQuotaStanding], _ connection: PostgresConnection) async throws {
        let sets = kinds.flatMap { ["\($0)_used", "\($0)_start_ms", "\($0)_floor_ms"] }
        let assignments = sets.enumerated().map { "\($0.element) = $\($0.offset + 3)::bigint" }
        try await connection.executeBatch(
            "update account_quotas set seq = $2::bigint, \(assignments.joined(separator: ", ")) where account_id = $1",
            standings.map { standing in
                [.integer(standing.account.raw), .integer(standing.sequence)]
                    + kinds.flatMap { kind -> [PostgresParameter] in
                        let period = standing.spending[kind]
                        return [.integer(period.used.raw), .optional(period.start), .integer(period.floor)]
                    }
            }
        )
    }

    // MARK: Reset, and what is written into Redis

    /// Begins all three periods anew.
    package static func reset(_ id: AccountID, now: Timestamp, on connection: PostgresConnection) async throws {
        guard var standing = try await book([id: []], connection).first else { return }
        standing.spending.reset(at: now)
        standing.sequence += 1
        try await write([standing], connection)
    }

    /// - Parameter ids: nil for all accounts that have quotas.
    package static func standings(
        of ids: [AccountID]?,
        _ connection: PostgresConnection
    ) async throws -> [AccountQuotaStanding] {
        let limited = "x.deleted_at is null and greatest(x.quota_daily, x.quota_weekly, x.quota_total, 0) > 0"
        // An account of which nothing was ever used has no row.
        let periods = kinds.map { "q.\($0)_used, q.\($0)_start_ms, q.\($0)_floor_ms" }
        return try await connection.query(
            """
            select \(periods.joined(separator: ", ")), x.id as account_id, coalesce(q.seq, 0) as seq,
                \(limited) as limited
            from accounts x left join account_quotas q on q.account_id = x.id
            where \(ids == nil ? limited : "x.id = any($1::bigint[])") order by x.id
            """,
            ids.map { [.integers($0.map(\.raw))] } ?? []
        ).map { try standing($0) }
    }

    /// Which of these calls are in the books.
    package static func settled(
        among requestIDs: [String],
        _ connection: PostgresConnection
    ) async throws -> Set<String> {
        guard !requestIDs.isEmpty else { return [] }
        return Set(
            try await connection.query(
                "select request_id from settled where request_id = any($1::text[])",
                [.texts(requestIDs)]
            ).map { try $0.text("request_id") }
        )
    }
}
