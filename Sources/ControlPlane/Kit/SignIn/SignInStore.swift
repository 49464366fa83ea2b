package import Crypto
package import Domain
package import Postgres

/// A sign-in that waits for its code.
package struct PendingSignIn: Hashable, Sendable {
    package let id: Int64
    package let platform: Platform
    /// The account to be signed in again; nil for a new one.
    package let account: AccountID?
    package let proxy: ProxyID?
    package let sealedVerifier: String
    package let redirectURL: String
}

/// Keeps them: for ten minutes, for one session, for one use.
package enum SignInStore {
    package static let lifetime = Duration.seconds(600)

    package static func nextID(on connection: PostgresConnection) async throws -> Int64 {
        let rows = try await connection.query("select nextval(pg_get_serial_sequence('sign_ins', 'id')) as id")
        guard let row = rows.first else { throw PostgresError.decoding(column: "id") }
        return try row.int("id")
    }

    /// Notes a sign-in, and forgets those that have expired.
    package static func insert(
        _ signIn: PendingSignIn,
        state: String,
        session: String,
        expiresAt: Timestamp,
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute("delete from sign_ins where expires_at < now()")
        try await connection.execute(
            """
            insert into sign_ins (id, state_hash, session_hash, platform, account_id, proxy_id, verifier_sealed,
                redirect_url, expires_at)
            overriding system value
            values ($1, $2, $3, $4, $5::bigint, $6::bigint, $7, $8, \(SQL.time("$9")))
            """,
            [
                .integer(signIn.id), .text(SHA256.hex(state)), .text(session), .text(signIn.platform.rawValue),
                .optional(signIn.account?.raw), .optional(signIn.proxy?.raw), .text(signIn.sealedVerifier),
                .text(signIn.redirectURL), .integer(expiresAt.microseconds),
            ]
        )
    }

    /// The sign-in of that state, if it is this session's and not too old.
    package static func find(
        state: String,
        session: String,
        now: Timestamp,
        on connection: PostgresConnection
    ) async throws -> PendingSignIn? {
        try await connection.query(
            """
            select id, platform, account_id, proxy_id, verifier_sealed, redirect_url from sign_ins
            where state_hash = $1 and session_hash = $2 and expires_at > \(SQL.time("$3"))
            """,
            [.text(SHA256.hex(state)), .text(session), .integer(now.microseconds)]
        ).first.map { row in
            PendingSignIn(
                id: try row.int("id"),
                platform: Platform(rawValue: try row.text("platform")),
                account: try row.optionalInt("account_id").map { AccountID($0) },
                proxy: try row.optionalInt("proxy_id").map { ProxyID($0) },
                sealedVerifier: try row.text("verifier_sealed"),
                redirectURL: try row.text("redirect_url")
            )
        }
    }

    /// Uses it up; false when somebody else has done so already.
    package static func take(_ signIn: PendingSignIn, on connection: PostgresConnection) async throws -> Bool {
        try await connection.execute("delete from sign_ins where id = $1", [.integer(signIn.id)]) == 1
    }

    package static func sealingContext(of id: Int64) -> SealingContext {
        SealingContext(kind: "sign_in", id: id, field: "verifier")
    }
}
