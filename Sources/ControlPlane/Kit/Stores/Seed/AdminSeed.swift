import Domain
import Formats
package import Postgres

/// The first admin of an empty database.
package enum AdminSeed {
    /// Makes the admin when there has never been a user; replicas that start together make one.
    ///
    /// - Returns: whether it was made.
    package static func plant(
        email: String,
        password: String,
        with changes: ChangeNotifier,
        _ passwords: PasswordHasher,
        in pool: PostgresPool
    ) async throws -> Bool {
        guard try await isEmpty(pool) else { return false }
        var draft = UserDraft()
        draft.email = email
        draft.role = .admin
        let admin = draft
        let hash = try await passwords.make(password)
        return try await changes.commit(by: .system) { change in
            guard try await change.connection.query("select 1 as one from users limit 1").isEmpty else { return false }
            let id = try await UserStore.insert(admin, passwordHash: hash, on: change.connection)
            change.publish(.user(id))
            change.audit("seed", "user", id.raw, ["email": .string(email)])
            return true
        }
    }

    package static func isEmpty(_ pool: PostgresPool) async throws -> Bool {
        try await pool.query("select 1 as one from users limit 1").isEmpty
    }
}
