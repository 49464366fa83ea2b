package import Domain
package import Postgres

/// Who is signed in, as one call sees it.
package struct Session: Sendable {
    package let user: UserRecord
    package let csrfToken: String
    package let expiresAt: Timestamp
    package let tokenHash: String
}

/// Sessions by the SHA-256 of their token: whoever reads the table cannot sign in with it.
package enum SessionStore {
    package static func insert(
        tokenHash: String,
        csrfToken: String,
        user: UserID,
        expiresAt: Timestamp,
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            """
            insert into sessions (token_hash, user_id, csrf_token, expires_at)
            values ($1, $2, $3, \(SQL.time("$4")))
            """,
            [.text(tokenHash), .integer(user.raw), .text(csrfToken), .integer(expiresAt.microseconds)]
        )
    }

    /// The session with that token, if it has not ended and its user may still sign in.
    package static func find(tokenHash: String, now: Timestamp, in pool: PostgresPool) async throws -> Session? {
        let rows = try await pool.query(
            """
            select \(UserStore.columns), s.csrf_token, \(SQL.microseconds("s.expires_at", as: "expires_at"))
            from sessions s join users u on u.id = s.user_id
            where s.token_hash = $1 and s.expires_at > \(SQL.time("$2")) and u.status = 'active'
                and u.deleted_at is null
            """,
            [.text(tokenHash), .integer(now.microseconds)]
        )
        return try rows.first.map { row in
            Session(
                user: try UserStore.record(row),
                csrfToken: try row.text("csrf_token"),
                expiresAt: try row.time("expires_at"),
                tokenHash: tokenHash
            )
        }
    }

    package static func end(tokenHash: String, in pool: PostgresPool) async throws {
        _ = try await pool.query("delete from sessions where token_hash = $1", [.text(tokenHash)])
    }

    /// - Parameter kept: the session that stays, where a user changes the password from it.
    package static func endAll(
        of user: UserID,
        except kept: String? = nil,
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            "delete from sessions where user_id = $1 and token_hash is distinct from $2",
            [.integer(user.raw), .optional(kept)]
        )
    }

    package static func deleteExpired(now: Timestamp, on connection: PostgresConnection) async throws {
        try await connection.execute(
            "delete from sessions where expires_at <= \(SQL.time("$1"))",
            [.integer(now.microseconds)]
        )
    }
}
