import Domain
package import Postgres
package import Redis
package import Snapshots
package import Telemetry

/// Writes flags that still last back to a Redis that has forgotten them.
package struct MarkRestorer {
    private static let mark = RedisScript(name: "mark", source: AccountMarkScripts.mark)

    private let pool: PostgresPool
    private let redis: RedisClient
    private let restored: Counter

    package init(_ pool: PostgresPool, _ redis: RedisClient, _ metrics: MetricsRegistry) {
        self.pool = pool
        self.redis = redis
        restored = metrics.counter("tollgate_account_flags_restored_total", "Accounts whose flags Redis had lost")
    }

    /// An account with any mark in Redis is left alone: what was ended there, or cleared by an admin, leaves some for
    /// longer than its news take to Postgres.
    ///
    /// - Returns: how many accounts Redis had forgotten.
    /// - Throws: `PostgresError`, `RedisError`.
    package func restore() async throws -> Int {
        let rows = try await pool.query(
            "select id, flags from accounts where flags <> '{}' and deleted_at is null and status = 'active'"
        )
        let now = Timestamp.now
        let flagged = try rows.compactMap { row -> (id: AccountID, flags: [AccountFlag])? in
            let live = try AccountStandingStore.flags(row).filter { $0.isLive(now) }
            return live.isEmpty ? nil : (AccountID(try row.int("id")), live)
        }
        let known = try await redis.sendAll(flagged.map { RedisCommand(["EXISTS", RedisNames.marks(of: $0.id)]) })
        let lost = zip(flagged, known).filter { $0.1.integer == 0 }.map(\.0)
        _ = try await redis.runAll(
            lost.map { account in
                RedisScriptCall(
                    Self.mark,
                    keys: [RedisNames.marks(of: account.id)],
                    arguments: ["0"]
                        + account.flags.flatMap { flag in
                            ["flag", flag.kind.field, String(flag.until?.microseconds ?? 0), flag.valueTail]
                        }
                )
            }
        )
        restored.add(lost.count)
        return lost.count
    }

    /// Errors that keep calls from accounts, and that the database knows nothing of: their news got lost between two
    /// commands of a worker that died.
    ///
    /// - Throws: `PostgresError`, `RedisError`.
    package func untoldErrors() async throws -> [AccountEvent] {
        let rows = try await pool.query("select id from accounts where status = 'active' and deleted_at is null")
        let accounts = try rows.map { AccountID(try $0.int("id")) }
        let field = AccountFlag.Kind.error.field
        let marks = try await redis.sendAll(accounts.map { RedisCommand(["HGET", RedisNames.marks(of: $0), field]) })
        return zip(accounts, marks).compactMap { account, mark in
            guard let flag = mark.text.flatMap({ AccountFlag(field: field, value: $0) }) else { return nil }
            let error = AccountError(flag.reason, ForbiddenType(rawValue: flag.cause), validationURL: flag.url)
            return AccountEvent(account, at: flag.setAt, .effect(.error(error)))
        }
    }
}
