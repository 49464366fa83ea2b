package import Domain
import Formats
import Postgres
import Telemetry

/// What a test call does to its account.
package struct AccountHealth {
    private let changes: ChangeNotifier

    package init(_ changes: ChangeNotifier) { self.changes = changes }

    /// Ends the account's error and its flags, here and for all workers: a call has succeeded. An account that an admin has
    /// taken out stays out.
    ///
    /// - Returns: whether there was anything to end.
    package func recover(_ account: AccountID, by author: ChangeAuthor) async throws -> Bool {
        try await changes.commit(by: author) { change in
            let now = Timestamp.now
            let before = try await AccountStandingStore.find(account, on: change.connection)
            let isEnded = before?.status == .error || before?.flags.values.contains { $0.isLive(now) } == true
            try await AccountFlagRoutes.recover(account, with: change)
            change.audit("test", "account", account.raw, ["success": true, "recovered": .bool(isEnded)])
            return isEnded
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
                update accounts set status = 'error', error_message = $2, forbidden_type = null,
                    validation_url = null, revision = nextval('revision_seq'),
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
