package import Domain
import Formats
import Postgres

/// What a test call does to its account.
package struct AccountHealth {
    private let changes: ChangeNotifier

    package init(_ changes: ChangeNotifier) { self.changes = changes }

    /// Ends the account's error: a call has succeeded. An account that an admin has taken out stays out.
    ///
    /// - Returns: whether there was one.
    package func recover(_ account: AccountID, by author: ChangeAuthor) async throws -> Bool {
        try await changes.commit(by: author) { change in
            let count = try await change.connection.execute(
                """
                update accounts set status = 'active', error_message = null, revision = nextval('revision_seq'),
                    updated_at = now()
                where id = $1 and status = 'error' and deleted_at is null
                """,
                [.integer(account.raw)]
            )
            change.audit("test", "account", account.raw, ["success": true, "recovered": .bool(count == 1)])
            guard count == 1 else { return false }
            change.publish(.config)
            return true
        }
    }

    /// Puts the account in error: its credentials were refused, and they are still those that were tried.
    ///
    /// - Returns: whether it is in error now because of it.
    package func markRefused(
        _ account: AccountRecord,
        _ message: String,
        by author: ChangeAuthor
    ) async throws -> Bool {
        try await changes.commit(by: author) { change in
            let count = try await change.connection.execute(
                """
                update accounts set status = 'error', error_message = $2, revision = nextval('revision_seq'),
                    updated_at = now()
                where id = $1 and status <> 'inactive' and credentials_version = $3 and deleted_at is null
                """,
                [.integer(account.id.raw), .text(message), .integer(account.credentials.version)]
            )
            change.audit("test", "account", account.id.raw, ["success": false, "error": .string(message)])
            guard count == 1 else { return false }
            change.publish(.config)
            return true
        }
    }
}
