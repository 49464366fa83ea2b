import Decisions
package import Domain
package import Postgres
import Snapshots

package enum SubscriptionStatus: String, Sendable, CaseIterable { case active, suspended }

/// What an admin sets of a subscription.
package struct SubscriptionDraft: Hashable, Sendable {
    package var user: Int64 = 0
    package var group: Int64 = 0
    /// Nil: the moment of saving.
    package var startsAt: Timestamp?
    package var expiresAt = Timestamp(microseconds: 0)
    package var status = SubscriptionStatus.active

    package init() {}
}

package struct SubscriptionRecord: Hashable, Sendable {
    /// What has been used in the window that begins then, in milliseconds since 1970.
    package struct Use: Hashable, Sendable {
        package var start: Int64
        package var used: NanoUSD
    }
    package let id: SubscriptionID
    package var fields: SubscriptionDraft
    package var day: Use
    package var week: Use
    package var month: Use
    package var sequence: Int64
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    /// The database's time when it was read.
    package var readAt: Timestamp

    private var anchor: Timestamp { fields.startsAt ?? Timestamp(microseconds: 0) }

    private var kinds: [(CounterNames.SubscriptionWindow, WindowPeriod, Use)] {
        [(.day, .day, day), (.week, .week, week), (.month, .month, month)]
    }

    /// What has been used in the window that runs: one that has ended reads as unused.
    package func used(_ use: Use, _ period: WindowPeriod) -> NanoUSD {
        use.start >= LimitWindows(period, anchor: anchor).window(at: readAt).start.milliseconds ? use.used : .zero
    }

    func counters() -> [CounterNumber] {
        kinds.map { kind, period, use in counter(kind, period, use) }
    }

    /// Of the windows that run at a time, without those of `counters`.
    func laterCounters(at now: Timestamp) -> [CounterNumber] {
        kinds.compactMap { kind, period, use in
            let start = LimitWindows(period, anchor: anchor).window(at: now).start.milliseconds
            return start > use.start ? counter(kind, period, Use(start: start, used: .zero)) : nil
        }
    }

    private func counter(_ kind: CounterNames.SubscriptionWindow, _ period: WindowPeriod, _ use: Use) -> CounterNumber {
        let window = LimitWindows(period, anchor: anchor).window(at: Timestamp(microseconds: use.start &* 1000))
        return CounterNumber(
            name: CounterNames.subscription(id, kind, start: use.start, Partition(of: UserID(fields.user))),
            number: use.used.raw,
            sequence: sequence,
            expiry: CounterStore.expiry(of: window)
        )
    }
}

/// Users' rights to call through groups that take subscriptions.
package enum SubscriptionStore {
    static let columns = """
        s.id, s.user_id, s.group_id, s.status, s.day_start_ms, s.day_used, s.week_start_ms, s.week_used, \
        s.month_start_ms, s.month_used, s.money_seq, \(SQL.microseconds("s.starts_at", as: "starts_at")), \
        \(SQL.microseconds("s.expires_at", as: "expires_at")), \(SQL.microseconds("s.created_at", as: "created_at")), \
        \(SQL.microseconds("s.updated_at", as: "updated_at")), \(SQL.microseconds("now()", as: "read_at"))
        """

    static func record(_ row: PostgresRow) throws -> SubscriptionRecord {
        var fields = SubscriptionDraft()
        fields.user = try row.int("user_id")
        fields.group = try row.int("group_id")
        fields.startsAt = try row.time("starts_at")
        fields.expiresAt = try row.time("expires_at")
        fields.status = try row.choice("status")
        func use(_ kind: String) throws -> SubscriptionRecord.Use {
            .init(start: try row.int("\(kind)_start_ms"), used: try row.money("\(kind)_used"))
        }
        return SubscriptionRecord(
            id: SubscriptionID(try row.int("id")),
            fields: fields,
            day: try use("day"),
            week: try use("week"),
            month: try use("month"),
            sequence: try row.int("money_seq"),
            createdAt: try row.time("created_at"),
            updatedAt: try row.time("updated_at"),
            readAt: try row.time("read_at")
        )
    }

    package static func find(
        _ id: SubscriptionID,
        on connection: PostgresConnection,
        forUpdate: Bool = false
    ) async throws -> SubscriptionRecord? {
        try await connection.query(
            """
            select \(columns) from subscriptions s where s.id = $1 and s.deleted_at is null\
            \(forUpdate ? " for update" : "")
            """,
            [.integer(id.raw)]
        ).first.map { try record($0) }
    }

    package static func insert(
        _ draft: SubscriptionDraft,
        now: Timestamp,
        on connection: PostgresConnection
    ) async throws -> SubscriptionID {
        let start = wholeMilliseconds(draft.startsAt ?? now)
        let windows = starts(start, now)
        let rows = try await connection.query(
            """
            insert into subscriptions (user_id, group_id, starts_at, expires_at, status, day_start_ms, week_start_ms,
                month_start_ms)
            values ($1, $2, \(SQL.time("$3")), \(SQL.time("$4")), $5, $6, $7, $8) returning id
            """,
            [
                .integer(draft.user), .integer(draft.group), .integer(start.microseconds),
                .integer(wholeMilliseconds(draft.expiresAt).microseconds), .text(draft.status.rawValue),
                .integer(windows[0]), .integer(windows[1]), .integer(windows[2]),
            ]
        )
        guard let row = rows.first else { throw PostgresError.decoding(column: "id") }
        return SubscriptionID(try row.int("id"))
    }

    /// Another beginning starts all windows anew at 0.
    package static func update(
        _ old: SubscriptionRecord,
        to draft: SubscriptionDraft,
        now: Timestamp,
        on connection: PostgresConnection
    ) async throws {
        let start = wholeMilliseconds(draft.startsAt ?? now)
        let windows = starts(start, now)
        try await connection.execute(
            """
            update subscriptions set starts_at = \(SQL.time("$2")), expires_at = \(SQL.time("$3")), status = $4,
                day_start_ms = case when $5 then $6 else day_start_ms end,
                day_used = case when $5 then 0 else day_used end,
                week_start_ms = case when $5 then $7 else week_start_ms end,
                week_used = case when $5 then 0 else week_used end,
                month_start_ms = case when $5 then $8 else month_start_ms end,
                month_used = case when $5 then 0 else month_used end,
                money_seq = money_seq + 1, revision = nextval('revision_seq'), updated_at = now()
            where id = $1
            """,
            [
                .integer(old.id.raw), .integer(start.microseconds),
                .integer(wholeMilliseconds(draft.expiresAt).microseconds), .text(draft.status.rawValue),
                .bool(start != old.fields.startsAt), .integer(windows[0]), .integer(windows[1]),
                .integer(windows[2]),
            ]
        )
    }

    package static func delete(_ id: SubscriptionID, on connection: PostgresConnection) async throws {
        try await connection.execute(
            """
            update subscriptions set deleted_at = now(), status = 'suspended', revision = nextval('revision_seq'),
                updated_at = now()
            where id = $1
            """,
            [.integer(id.raw)]
        )
    }

    private static func wholeMilliseconds(_ time: Timestamp) -> Timestamp {
        Timestamp(microseconds: time.milliseconds * 1000)
    }

    private static func starts(_ anchor: Timestamp, _ now: Timestamp) -> [Int64] {
        [WindowPeriod.day, .week, .month].map {
            LimitWindows($0, anchor: anchor).window(at: max(now, anchor)).start.milliseconds
        }
    }
}
