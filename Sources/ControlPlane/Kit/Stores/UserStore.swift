package import Domain
package import Postgres

package enum UserRole: String, Sendable, CaseIterable { case admin, user }
package enum UserStatus: String, Sendable, CaseIterable { case active, disabled }

/// What an admin sets of a user.
package struct UserDraft: Hashable, Sendable {
    package var email = ""
    /// Only when it is being set; a row knows its hash alone.
    package var password: String?
    package var role = UserRole.user
    package var status = UserStatus.active
    package var concurrency: Int64 = 0
    package var rpm: Int64 = 0
    /// On creation: money to start with. Later the ledger alone changes it.
    package var balance = NanoUSD.zero

    package init() {}
}

package struct UserRecord: Hashable, Sendable {
    package let id: UserID
    package var fields: UserDraft
    package var revision: Int64
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
}

package struct LedgerEntry: Hashable, Sendable {
    package let id: Int64
    package let kind: String
    package let amount: NanoUSD
    package let balanceAfter: NanoUSD
    package let requestID: String?
    package let note: String
    package let author: UserID?
    package let createdAt: Timestamp
}

/// Users and their wallets.
package enum UserStore {
    static let columns = """
        u.id, u.email, u.role, u.status, u.balance, u.concurrency, u.rpm, u.revision, \
        \(SQL.microseconds("u.created_at", as: "created_at")), \(SQL.microseconds("u.updated_at", as: "updated_at"))
        """

    static func record(_ row: PostgresRow) throws -> UserRecord {
        var fields = UserDraft()
        fields.email = try row.text("email")
        fields.role = try row.choice("role")
        fields.status = try row.choice("status")
        fields.balance = try row.money("balance")
        fields.concurrency = try row.int("concurrency")
        fields.rpm = try row.int("rpm")
        return UserRecord(
            id: UserID(try row.int("id")),
            fields: fields,
            revision: try row.int("revision"),
            createdAt: try row.time("created_at"),
            updatedAt: try row.time("updated_at")
        )
    }

    package static func find(
        _ id: UserID,
        on connection: PostgresConnection,
        forUpdate: Bool = false
    ) async throws -> UserRecord? {
        try await connection.query(
            "select \(columns) from users u where u.id = $1 and u.deleted_at is null\(forUpdate ? " for update" : "")",
            [.integer(id.raw)]
        ).first.map { try record($0) }
    }

    package static func insert(
        _ draft: UserDraft,
        passwordHash: String,
        on connection: PostgresConnection
    ) async throws -> UserID {
        let rows = try await connection.query(
            """
            insert into users (email, password_hash, role, status, concurrency, rpm)
            values ($1, $2, $3, $4, $5::int, $6::int) returning id
            """,
            [
                .text(draft.email), .text(passwordHash), .text(draft.role.rawValue), .text(draft.status.rawValue),
                .integer(draft.concurrency), .integer(draft.rpm),
            ]
        )
        guard let row = rows.first else { throw PostgresError.decoding(column: "id") }
        return UserID(try row.int("id"))
    }

    /// - Parameter passwordHash: nil keeps the password.
    package static func update(
        _ id: UserID,
        to draft: UserDraft,
        passwordHash: String?,
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            """
            update users set email = $2, password_hash = coalesce($3, password_hash), role = $4, status = $5,
                concurrency = $6::int, rpm = $7::int, revision = nextval('revision_seq'), updated_at = now()
            where id = $1
            """,
            [
                .integer(id.raw), .text(draft.email), .optional(passwordHash), .text(draft.role.rawValue),
                .text(draft.status.rawValue), .integer(draft.concurrency), .integer(draft.rpm),
            ]
        )
    }

    /// Marks a user and all the user's keys as deleted, and ends the user's sessions. Returns the keys.
    package static func delete(_ id: UserID, on connection: PostgresConnection) async throws -> [KeyID] {
        try await connection.execute(
            """
            update users set deleted_at = now(), status = 'disabled', revision = nextval('revision_seq'),
                updated_at = now()
            where id = $1
            """,
            [.integer(id.raw)]
        )
        let keys = try await connection.query(
            """
            update api_keys set deleted_at = now(), status = 'disabled', revision = nextval('revision_seq'),
                updated_at = now()
            where user_id = $1 and deleted_at is null returning id
            """,
            [.integer(id.raw)]
        )
        try await SessionStore.endAll(of: id, on: connection)
        return try keys.map { KeyID(try $0.int("id")) }
    }

    /// The number of admins who can sign in, without this one.
    package static func otherActiveAdmins(than id: UserID, on connection: PostgresConnection) async throws -> Int64 {
        let rows = try await connection.query(
            """
            select count(*) as count from users
            where role = 'admin' and status = 'active' and deleted_at is null and id <> $1
            """,
            [.integer(id.raw)]
        )
        return try rows.first?.int("count") ?? 0
    }

    // MARK: Wallet

    /// Adds an amount, which may be negative, to the balance and writes the ledger entry that says so.
    ///
    /// - Returns: nil when the balance would leave the range that every part of the system can count in.
    package static func addToBalance(
        _ id: UserID,
        _ amount: NanoUSD,
        note: String,
        by author: UserID?,
        on connection: PostgresConnection
    ) async throws -> LedgerEntry? {
        let rows = try await connection.query(
            """
            with changed as (
                update users set balance = balance + $2, money_seq = money_seq + 1, updated_at = now()
                where id = $1 and deleted_at is null and balance + $2 between $6 and $7 returning balance
            )
            insert into wallet_ledger (user_id, kind, amount, balance_after, note, actor_id)
            select $1, $3, $2, balance, $4, $5::bigint from changed
            returning id, kind, amount, balance_after, request_id, note, actor_id,
                \(SQL.microseconds("created_at", as: "created_at"))
            """,
            [
                .integer(id.raw), .integer(amount.raw), .text(amount.raw < 0 ? "adjustment" : "top_up"), .text(note),
                .optional(author?.raw), .integer(-NanoUSD.maximum.raw), .integer(NanoUSD.maximum.raw),
            ]
        )
        return try rows.first.map { try ledgerEntry($0) }
    }

    package static func ledger(
        of id: UserID,
        limit: Int64,
        offset: Int64,
        on connection: PostgresConnection
    ) async throws -> (entries: [LedgerEntry], total: Int64) {
        let total = try await connection.query(
            "select count(*) as total from wallet_ledger where user_id = $1",
            [.integer(id.raw)]
        )
        let rows = try await connection.query(
            """
            select id, kind, amount, balance_after, request_id, note, actor_id,
                \(SQL.microseconds("created_at", as: "created_at"))
            from wallet_ledger where user_id = $1 order by id desc limit $2 offset $3
            """,
            [.integer(id.raw), .integer(limit), .integer(offset)]
        )
        return (try rows.map { try ledgerEntry($0) }, try total.first?.int("total") ?? 0)
    }

    private static func ledgerEntry(_ row: PostgresRow) throws -> LedgerEntry {
        LedgerEntry(
            id: try row.int("id"),
            kind: try row.text("kind"),
            amount: try row.money("amount"),
            balanceAfter: try row.money("balance_after"),
            requestID: try row.optionalText("request_id"),
            note: try row.text("note"),
            author: try row.optionalInt("actor_id").map { UserID($0) },
            createdAt: try row.time("created_at")
        )
    }
}
