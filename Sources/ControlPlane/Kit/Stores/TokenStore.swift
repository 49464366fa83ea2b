import Crypto
package import Domain
import Formats
package import Postgres
package import Providers

/// Writes what a renewal or a sign-in changes of an account, and nothing else.
package enum TokenStore {
    /// Puts new tokens in the place of old ones, if the account still has the credentials that they were made from.
    ///
    /// The row's revision stays: the configuration that workers have does not change by it, unless `isSeenByWorkers`.
    ///
    /// - Returns: false when somebody else has written meanwhile; then nothing has changed.
    package static func replace(
        of account: AccountRecord,
        with credentials: StoredCredentials,
        issuedAt: Timestamp,
        isSeenByWorkers: Bool,
        on connection: PostgresConnection
    ) async throws -> Bool {
        try await connection.execute(
            """
            update accounts set credentials_sealed = $3, credentials_plain = $4::jsonb,
                credentials_sealed_fields = $5::jsonb, credentials_version = credentials_version + 1,
                secrets_version = credentials_version + 1, token_issued_at = \(SQL.time("$6")), needs_sign_in = false,
                refresh_error = null, refresh_failures = 0, refresh_retry_at = null,
                revision = case when $7::boolean then nextval('revision_seq') else revision end
            where id = $1 and credentials_version = $2 and deleted_at is null
            """,
            [
                .integer(account.id.raw), .integer(account.credentials.version), .text(credentials.sealed),
                .json(credentials.plain), .json(credentials.sealedFields), .integer(issuedAt.microseconds),
                .bool(isSeenByWorkers),
            ]
        ) == 1
    }

    package static func noteIssued(_ id: AccountID, at time: Timestamp, on connection: PostgresConnection) async throws
    {
        try await connection.execute(
            "update accounts set token_issued_at = \(SQL.time("$2")) where id = $1",
            [.integer(id.raw), .integer(time.microseconds)]
        )
    }

    /// The account can do nothing more until somebody signs in again, or says that it is well (`trust`).
    package static func end(
        _ account: AccountRecord,
        message: String,
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            """
            update accounts set needs_sign_in = true, refresh_error = $2, refresh_retry_at = null,
                status = case when status = 'active' then 'error' else status end,
                error_message = case when status = 'active' then $2 else error_message end,
                revision = nextval('revision_seq'), updated_at = now()
            where id = $1
            """,
            [.integer(account.id.raw), .text(message)]
        )
    }

    /// Lets the account's tokens be renewed again, at once, whatever the provider said of them before: one that still refuses
    /// them puts the account into error anew.
    package static func trust(_ id: AccountID, on connection: PostgresConnection) async throws {
        try await connection.execute(
            "update accounts set needs_sign_in = false, refresh_failures = 0, refresh_retry_at = null where id = $1",
            [.integer(id.raw)]
        )
    }

    /// A renewal that failed for now; workers need not know.
    package static func noteFailure(
        of id: AccountID,
        _ message: String,
        retryAt: Timestamp,
        in pool: PostgresPool
    ) async throws {
        _ = try await pool.query(
            """
            update accounts set refresh_error = $2, refresh_failures = refresh_failures + 1,
                refresh_retry_at = \(SQL.time("$3"))
            where id = $1
            """,
            [.integer(id.raw), .text(message), .integer(retryAt.microseconds)]
        )
    }

    /// Accounts whose tokens can be renewed.
    ///
    /// - Returns: each with the version of the credentials since which it has its tokens.
    package static func candidates(_ connection: PostgresConnection) async throws -> [(
        candidate: RefreshPlanner.Candidate, version: Int64
    )] {
        try await connection.query(
            """
            select id, secrets_version, credentials_plain ->> 'expires_at' as expires_at,
                credentials_sealed_fields ? 'access_token' as has_access_token,
                platform = 'antigravity' and token_issued_at is null and not credentials_plain ? 'project_id'
                    as lacks_project,
                \(SQL.microseconds("token_issued_at", as: "token_issued_at")),
                \(SQL.microseconds("refresh_retry_at", as: "refresh_retry_at"))
            from accounts
            where deleted_at is null and type = 'oauth' and status = 'active' and not needs_sign_in
                and credentials_sealed_fields ? 'refresh_token'
            """
        ).map { row in
            let candidate = RefreshPlanner.Candidate(
                AccountID(try row.int("id")),
                expiresAt: try row.optionalText("expires_at").flatMap { Timestamp(rfc3339: $0) },
                issuedAt: try row.optionalTime("token_issued_at"),
                isComplete: try row.bool("has_access_token") && !row.bool("lacks_project"),
                retryAt: try row.optionalTime("refresh_retry_at")
            )
            return (candidate, try row.int("secrets_version"))
        }
    }

    /// Keeps other control planes from trying the same ones in the background for a while.
    package static func claim(
        _ accounts: [AccountID],
        until: Timestamp,
        on connection: PostgresConnection
    ) async throws {
        try await connection.execute(
            "update accounts set refresh_retry_at = \(SQL.time("$2")) where id = any($1::bigint[])",
            [.integers(accounts.map(\.raw)), .integer(until.microseconds)]
        )
    }
}

extension TokenSet {
    /// The credential fields that these tokens change, and no other.
    package func edit(of stored: StoredCredentials?) -> CredentialEdit {
        var edit = CredentialEdit(
            plain: stored?.plain ?? [:],
            sealedFields: stored?.sealedFields ?? [],
            newSecrets: ["access_token": accessToken.reveal()]
        )
        edit.newSecrets["refresh_token"] = refreshToken?.reveal()
        edit.sealedFields = Set(edit.sealedFields).union(edit.newSecrets.keys).sorted()
        edit.plain["expires_at"] = expiresAt.map { RFC3339.format($0.microseconds) }
        edit.plain.merge(fields) { $1 }
        return edit
    }
}
