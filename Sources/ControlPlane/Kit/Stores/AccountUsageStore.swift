package import Domain
import Formats
package import Postgres
package import Snapshots

/// What is known of how much of an account is used.
package struct StoredUsage: Hashable, Sendable {
    /// Of answers' heads and probes.
    package var windows = AccountWindows()
    package var sampledAt: Timestamp?
    package var session: SessionWindow?
    /// Of the last probe that was answered.
    package var figures = AccountUsage()
    package var probedAt: Timestamp?

    package init() {}

    /// Takes in a sample.
    ///
    /// - Returns: false for one that is no news: nothing has changed then.
    package mutating func take(_ sample: WindowsSample) -> Bool {
        if let sampledAt, sample.at <= sampledAt { return false }
        // What came with no word of windows is worth keeping only for the window that it began.
        guard !sample.windows.isEmpty || sample.countsForSession else { return false }
        windows = windows.updated(with: sample.windows, now: sample.at)
        if sample.countsForSession || sample.windows.fiveHours?.endsAt != nil {
            session = SessionWindow.after(sample.windows, known: session, now: sample.at)
        }
        sampledAt = sample.at
        return true
    }
}

/// What every listing of accounts shows of it.
package struct KnownUsage: Hashable, Sendable {
    /// While it lasts.
    package var session: SessionWindow?
    /// The upstream's own name of the subscription.
    package var tier: String?

    package init() {}
}

package enum AccountUsageStore {
    /// `KnownUsage` of an account `a`, as one column.
    static let known = """
        (select json_build_object('tier', u.figures->>'tier', 'session_predicted', u.session_predicted, \
        'session_end', case when u.session_end > now() \
        then (extract(epoch from u.session_end) * 1000000)::bigint end) \
        from account_usage u where u.account_id = a.id)::text as known_usage
        """

    static func known(_ row: PostgresRow) throws -> KnownUsage {
        var known = KnownUsage()
        guard let text = try row.optionalText("known_usage"), let json = try? JSON(text: text) else { return known }
        known.tier = json["tier"]?.string
        known.session = json["session_end"]?.int64.map {
            SessionWindow(
                end: Timestamp(microseconds: $0),
                isPredicted: json["session_predicted"]?.bool ?? false
            )
        }
        return known
    }

    private static let columns = """
        u.account_id, u.windows::text as windows, u.session_predicted, u.figures::text as figures, \
        \(SQL.microseconds("u.sampled_at", as: "sampled_at")), \(SQL.microseconds("u.session_end", as: "session_end")), \
        \(SQL.microseconds("u.probed_at", as: "probed_at"))
        """

    private static func stored(_ row: PostgresRow) throws -> StoredUsage {
        var stored = StoredUsage()
        stored.windows = AccountWindows(try row.json("windows"))
        stored.sampledAt = try row.optionalTime("sampled_at")
        let isPredicted = try row.bool("session_predicted")
        stored.session = try row.optionalTime("session_end").map { SessionWindow(end: $0, isPredicted: isPredicted) }
        stored.figures = AccountUsage(try row.json("figures"))
        stored.probedAt = try row.optionalTime("probed_at")
        return stored
    }

    package static func find(_ account: AccountID, on connection: PostgresConnection) async throws -> StoredUsage? {
        try await connection.query(
            "select \(columns) from account_usage u where u.account_id = $1",
            [.integer(account.raw)]
        ).first.map { try stored($0) }
    }

    /// Applies samples in a transaction: never an older one over a newer one, and none of an account that is not there.
    /// The same samples again change nothing.
    ///
    /// - Returns: how many were news.
    @discardableResult
    package static func apply(_ samples: [WindowsSample], on connection: PostgresConnection) async throws -> Int {
        let accounts = Set(samples.map(\.account.raw)).sorted()
        guard !accounts.isEmpty else { return 0 }
        // In the order of their ids, so that two appliers never wait for one another.
        try await connection.execute(
            """
            insert into account_usage (account_id)
            select a.id from accounts a where a.id = any($1::bigint[]) order by a.id
            on conflict do nothing
            """,
            [.integers(accounts)]
        )
        let rows = try await connection.query(
            """
            select \(columns) from account_usage u where u.account_id = any($1::bigint[])
            order by u.account_id for update
            """,
            [.integers(accounts)]
        )
        var news = 0
        for row in rows {
            let id = try row.int("account_id")
            var usage = try stored(row)
            let taken = samples.filter { $0.account.raw == id }.sorted { $0.at < $1.at }.count { usage.take($0) }
            guard taken > 0 else { continue }
            news += taken
            try await write(usage, of: AccountID(id), on: connection)
        }
        return news
    }

    /// Keeps what a probe was answered: its windows count as a sample.
    package static func keep(
        _ figures: AccountUsage,
        of account: AccountID,
        at: Timestamp,
        on connection: PostgresConnection
    ) async throws {
        let sample = WindowsSample(account: account, at: at, windows: figures.windows, countsForSession: false)
        try await apply([sample], on: connection)
        try await connection.execute(
            """
            update account_usage set figures = $2::jsonb, probed_at = \(SQL.time("$3"))
            where account_id = $1 and (probed_at is null or probed_at < \(SQL.time("$3")))
            """,
            [.integer(account.raw), .json(figures.json), .integer(at.microseconds)]
        )
    }

    private static func write(
        _ usage: StoredUsage,
        of account: AccountID,
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            """
            update account_usage set windows = $2::jsonb, sampled_at = \(SQL.time("$3")),
                session_end = \(SQL.time("$4")), session_predicted = $5::boolean
            where account_id = $1
            """,
            [
                .integer(account.raw), .json(usage.windows.json), .optional(usage.sampledAt),
                .optional(usage.session?.end), .bool(usage.session?.isPredicted ?? false),
            ]
        )
    }
}
