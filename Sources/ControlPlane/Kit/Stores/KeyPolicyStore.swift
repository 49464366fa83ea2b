package import Decisions
package import Domain
package import Postgres
import Snapshots

package enum PolicyPeriod: String, Sendable, CaseIterable {
    case fiveHours = "5h"
    case daily, weekly, monthly, custom
}

/// What an admin sets of a key's periodic limit.
package struct PolicyDraft: Hashable, Sendable {
    package var period = PolicyPeriod.daily
    /// Of `custom` alone.
    package var customMinutes: Int64?
    /// Nil: the moment of saving.
    package var anchor: Timestamp?
    package var quota = NanoUSD.zero
    package var boundary = KeyPolicy.Boundary.strict
    package var action = KeyPolicy.Action.reject
    package var resumesByItself = true

    package init() {}

    package var windowPeriod: WindowPeriod {
        switch period {
        case .fiveHours: .fiveHours
        case .daily: .day
        case .weekly: .week
        case .monthly: .month
        case .custom: .minutes(customMinutes ?? 1)
        }
    }
}

/// A key's periodic limit as the database has it.
package struct PolicyRecord: Hashable, Sendable {
    package var key: KeyID
    package var fields: PolicyDraft
    package var version: Int64
    package var resetEpoch: Int64
    /// The window that `stored` counts for, by its beginning in milliseconds since 1970.
    package var windowStart: Int64
    package var stored: NanoUSD
    package var sequence: Int64
    package var exhaustedWindow: Int64?
    package var exhaustedUntil: Int64?

    package var windows: LimitWindows {
        LimitWindows(fields.windowPeriod, anchor: fields.anchor ?? Timestamp(microseconds: 0))
    }

    /// As workers enforce it.
    package var rule: KeyPolicy {
        KeyPolicy(
            period: fields.windowPeriod,
            anchor: fields.anchor ?? Timestamp(microseconds: 0),
            quota: fields.quota,
            boundary: fields.boundary,
            action: fields.action,
            resumesByItself: fields.resumesByItself,
            version: version,
            resetEpoch: resetEpoch
        )
    }

    /// What has been used in the window that runs at a time: a window that has ended reads as unused.
    package func used(at now: Timestamp) -> NanoUSD {
        windowStart >= windows.window(at: now).start.milliseconds ? stored : .zero
    }

    /// Whether another quota ends an exhaustion: it is higher, and more than was used in the window that was exhausted. A
    /// strict policy may be exhausted with less used than its quota.
    fileprivate func hasRoom(under draft: PolicyDraft) -> Bool {
        let used = windowStart < (exhaustedWindow ?? windowStart) ? .zero : stored
        return draft.quota > fields.quota && draft.quota > used
    }

    /// Whether an exhaustion is over that nobody has noted yet.
    fileprivate func hasRecovered(at now: Timestamp) -> Bool { exhaustedUntil.map { $0 <= now.milliseconds } ?? false }

    /// The window that runs at a time, as calls admitted then are counted.
    package func window(at now: Timestamp) -> FrozenLimits.Policy {
        .init(version: version, resetEpoch: resetEpoch, window: windows.window(at: now).start.milliseconds)
    }

    package func counter(_ partition: Partition) -> CounterNumber {
        counter(stored.raw, ofWindow: windowStart, partition)
    }

    /// Of the window that runs at a time; nil when `counter` is that one.
    func laterCounter(at now: Timestamp, _ partition: Partition) -> CounterNumber? {
        let start = windows.window(at: now).start.milliseconds
        return start > windowStart ? counter(0, ofWindow: start, partition) : nil
    }

    private func counter(_ number: Int64, ofWindow start: Int64, _ partition: Partition) -> CounterNumber {
        let window = FrozenLimits.Policy(version: version, resetEpoch: resetEpoch, window: start)
        return CounterNumber(
            name: CounterNames.policy(of: key, window, partition),
            number: number,
            sequence: sequence,
            expiry: CounterStore.expiry(of: windows.window(at: Timestamp(microseconds: start &* 1000)))
        )
    }
}

/// Periodic limits of keys.
package enum KeyPolicyStore {
    static let columns = """
        p.key_id as policy_key_id, p.period, p.custom_minutes, p.quota as policy_quota, p.boundary, \
        p.exhausted_action, p.auto_resume, p.version as policy_version, p.reset_epoch, p.window_start_ms, \
        p.used as policy_used, p.money_seq as policy_seq, p.exhausted_window_ms, p.exhausted_until_ms, \
        \(SQL.microseconds("p.anchor_time", as: "anchor_time"))
        """

    static func record(_ row: PostgresRow) throws -> PolicyRecord {
        var fields = PolicyDraft()
        fields.period = try row.choice("period")
        fields.customMinutes = try row.optionalInt("custom_minutes")
        fields.anchor = try row.time("anchor_time")
        fields.quota = try row.money("policy_quota")
        fields.boundary = try row.choice("boundary")
        fields.action = try row.choice("exhausted_action")
        fields.resumesByItself = try row.bool("auto_resume")
        return PolicyRecord(
            key: KeyID(try row.int("policy_key_id")),
            fields: fields,
            version: try row.int("policy_version"),
            resetEpoch: try row.int("reset_epoch"),
            windowStart: try row.int("window_start_ms"),
            stored: try row.money("policy_used"),
            sequence: try row.int("policy_seq"),
            exhaustedWindow: try row.optionalInt("exhausted_window_ms"),
            exhaustedUntil: try row.optionalInt("exhausted_until_ms")
        )
    }

    /// The same where the row may have no policy.
    static func optionalRecord(_ row: PostgresRow) throws -> PolicyRecord? {
        try row.optionalInt("policy_key_id") == nil ? nil : record(row)
    }

    /// Brings the policy of a key to what a form says, in the key's own transaction.
    ///
    /// A changed quota keeps the window's use; another period or anchor begins a window at 0. An exhaustion is ended by
    /// either, by a higher quota where that leaves room for more than was used; and by nothing else.
    package static func save(
        _ draft: PolicyDraft?,
        of key: KeyID,
        replacing old: PolicyRecord?,
        now: Timestamp,
        on connection: PostgresConnection
    ) async throws {
        guard var draft else {
            try await connection.execute("delete from key_policies where key_id = $1", [.integer(key.raw)])
            return
        }
        guard draft != old?.fields else { return }
        draft.anchor = Timestamp(microseconds: (draft.anchor ?? now).milliseconds * 1000)
        let windows = LimitWindows(draft.windowPeriod, anchor: draft.anchor ?? now)
        let start = windows.window(at: now).start.milliseconds
        let isNewLine =
            old.map { $0.fields.windowPeriod != draft.windowPeriod || $0.fields.anchor != draft.anchor } ?? true
        let staysExhausted = !isNewLine && old.map { !$0.hasRecovered(at: now) && !$0.hasRoom(under: draft) } ?? false
        let end = windows.window(at: Timestamp(microseconds: (old?.exhaustedWindow ?? start) &* 1000)).end.milliseconds
        try await connection.execute(
            """
            insert into key_policies as p (key_id, period, custom_minutes, anchor_time, quota, boundary,
                exhausted_action, auto_resume, version, window_start_ms)
            values ($1, $2, $3::int, \(SQL.time("$4")), $5, $6, $7, $8, nextval('revision_seq'), $9)
            on conflict (key_id) do update set period = excluded.period, custom_minutes = excluded.custom_minutes,
                anchor_time = excluded.anchor_time, quota = excluded.quota, boundary = excluded.boundary,
                exhausted_action = excluded.exhausted_action, auto_resume = excluded.auto_resume,
                version = case when $10 then excluded.version else p.version end,
                window_start_ms = case when $10 then excluded.window_start_ms else p.window_start_ms end,
                used = case when $10 then 0 else p.used end,
                exhausted_window_ms = case when $11 then p.exhausted_window_ms end,
                exhausted_until_ms = case
                    when not $11 or not excluded.auto_resume or p.exhausted_window_ms is null then null
                    else coalesce(p.exhausted_until_ms, $12) end,
                money_seq = p.money_seq + 1
            """,
            [
                .integer(key.raw), .text(draft.period.rawValue), .optional(draft.customMinutes),
                .optional(draft.anchor), .integer(draft.quota.raw), .text(draft.boundary.rawValue),
                .text(draft.action.rawValue), .bool(draft.resumesByItself), .integer(start), .bool(isNewLine),
                .bool(staysExhausted), .integer(end),
            ]
        )
    }

    /// Begins the running window anew at 0.
    package static func reset(
        _ policy: PolicyRecord,
        of user: UserID,
        by author: UserID?,
        now: Timestamp,
        on connection: PostgresConnection
    ) async throws {
        let start = policy.windows.window(at: now).start.milliseconds
        try await connection.execute(
            """
            update key_policies set reset_epoch = reset_epoch + 1, window_start_ms = $2, used = 0,
                exhausted_window_ms = null, exhausted_until_ms = null, money_seq = money_seq + 1
            where key_id = $1
            """,
            [.integer(policy.key.raw), .integer(start)]
        )
        try await connection.execute(
            """
            insert into policy_events (key_id, user_id, kind, window_start_ms, actor_id)
            values ($1, $2, 'reset', $3, $4::bigint)
            """,
            [.integer(policy.key.raw), .integer(user.raw), .integer(start), .optional(author?.raw)]
        )
    }
}
