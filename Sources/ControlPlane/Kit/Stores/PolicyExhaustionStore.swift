import Decisions
package import Domain
package import Postgres
package import Snapshots

/// When policies are exhausted, and when they recover.
extension KeyPolicyStore {
    /// Notes that a policy is exhausted, as a worker found it; once for each window. Another quota than it found is another
    /// question, which the next call asks.
    ///
    /// To be called when what stood in the stream before the word is in the books: they hold then all that Redis counted
    /// truly. It may have counted more for a moment (a record that was sent twice, a final one beside its swept one), and
    /// what a policy that waits for its reset is said to have used would last.
    ///
    /// - Returns: false when the books do not bear it out.
    package static func exhausted(_ event: PolicyExhaustion, on connection: PostgresConnection) async throws -> Bool {
        let row = try await connection.query(
            """
            select \(used(in: "$2")) as used_then, \(columns) from key_policies p where p.key_id = $1 for update
            """,
            [.integer(event.key.raw), .integer(event.window)]
        ).first
        guard let row else { return true }
        let policy = try record(row)
        guard policy.version == event.version, policy.resetEpoch == event.resetEpoch,
            event.quota ?? policy.fields.quota == policy.fields.quota
        else { return true }
        if let wanted = event.wanted, let used = try row.optionalInt("used_then"), used < policy.fields.quota.raw,
            wanted.raw <= policy.fields.quota.raw - used
        {
            return false
        }
        try await note(policy, of: event.user, exhaustedIn: event.window, on: connection)
        return true
    }

    /// Notes the policies that the staged calls have exhausted, whoever settled these: what a dead worker's calls, a
    /// journal's and those that were brought here have cost has passed no script that watches. To be called when they
    /// are in the books, in the same transaction; what it notes is published from the outbox.
    static func noteExhausted(on connection: PostgresConnection) async throws {
        let rows = try await connection.query(
            """
            with calls as (
                select distinct key_id, policy_version, policy_epoch, policy_window from settlement_staging
                where factor <= $1 and policy_window is not null
            )
            select c.policy_window, k.user_id, \(columns)
            from calls c
            join key_policies p on p.key_id = c.key_id and p.version = c.policy_version
                and p.reset_epoch = c.policy_epoch
            join api_keys k on k.id = p.key_id
            where (p.exhausted_window_ms is null or p.exhausted_window_ms < c.policy_window)
                and \(used(in: "c.policy_window")) >= p.quota
            order by p.key_id, c.policy_window
            """,
            [1]
        )
        var users: Set<UserID> = []
        for row in rows {
            let user = UserID(try row.int("user_id"))
            let isNew = try await note(
                try record(row),
                of: user,
                exhaustedIn: try row.int("policy_window"),
                on: connection
            )
            if isNew { users.insert(user) }
        }
        try await SettlementStore.noteSpending(of: users, connection)
    }

    /// What has been used of a policy in one of its windows, as SQL; null of a window that is over and of no consequence.
    ///
    /// Only the latest window has a sum. Of an earlier one the rows are added up, where an exhaustion outlasts its window;
    /// and only if the sums of its days leave it open whether the quota is used up, for there may be many rows.
    private static func used(in window: String) -> String {
        let time = "(timestamptz 'epoch' + \(window)::bigint * interval '1 millisecond' - interval '1 day')"
        let days = """
            (select coalesce(sum(d.cost), 0) from key_usage_daily d
            where d.key_id = p.key_id and d.day >= (\(time) at time zone 'UTC')::date)
            """
        return """
            case when p.window_start_ms = \(window) then p.used
                when p.window_start_ms < \(window) then 0
                when p.auto_resume then null
                when \(days) < p.quota then \(days)
                else (
                    select coalesce(sum(r.cost), 0) from usage_records r
                    where r.key_id = p.key_id and r.created_at >= \(time) and r.policy_version = p.version
                        and r.policy_epoch = p.reset_epoch and r.policy_window = \(window)
                ) end
            """
    }

    /// - Returns: false when it is known already, or over and noted so.
    @discardableResult
    private static func note(
        _ policy: PolicyRecord,
        of user: UserID,
        exhaustedIn window: Int64,
        on connection: PostgresConnection
    ) async throws -> Bool {
        guard policy.exhaustedWindow.map({ $0 < window }) ?? true else { return false }
        let last = try await connection.query(
            "select kind from policy_events where key_id = $1 and window_start_ms = $2 order by id desc limit 1",
            [.integer(policy.key.raw), .integer(window)]
        ).first
        guard try last?.text("kind") != "recovered" else { return false }
        let end = policy.windows.window(at: Timestamp(microseconds: window &* 1000)).end.milliseconds
        try await connection.execute(
            "update key_policies set exhausted_window_ms = $2, exhausted_until_ms = $3::bigint where key_id = $1",
            [.integer(policy.key.raw), .integer(window), .optional(policy.fields.resumesByItself ? end : nil)]
        )
        try await connection.execute(
            "insert into policy_events (key_id, user_id, kind, window_start_ms) values ($1, $2, 'exhausted', $3)",
            [.integer(policy.key.raw), .integer(user.raw), .integer(window)]
        )
        return true
    }

    /// Ends exhaustions whose window is over. Workers need no word of it: they count in the new window.
    package static func recover(now: Timestamp, in pool: PostgresPool) async throws {
        try await pool.execute(
            """
            with due as (
                select key_id, exhausted_window_ms as window_ms from key_policies where exhausted_until_ms <= $1
                order by key_id limit 1000 for update skip locked
            ), over as (
                update key_policies p set exhausted_window_ms = null, exhausted_until_ms = null
                from due where p.key_id = due.key_id
            )
            insert into policy_events (key_id, user_id, kind, window_start_ms)
            select due.key_id, k.user_id, 'recovered', due.window_ms from due join api_keys k on k.id = due.key_id
            """,
            [.integer(now.milliseconds)]
        )
    }
}
