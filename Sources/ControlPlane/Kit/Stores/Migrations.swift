import Crypto
package import Postgres

/// One step of the schema.
package struct Migration: Sendable {
    package let version: Int64
    package let name: String
    package let script: String
    var checksum: String { SHA256.hex(script) }

    package init(version: Int64, name: String, script: String) {
        self.version = version
        self.name = name
        self.script = script
    }
}

package enum MigrationError: Error, Equatable, CustomStringConvertible {
    /// The database was migrated by a newer program, whose schema this one does not know.
    case databaseIsNewer(version: Int64)
    /// A step that was applied has been changed since.
    case changed(version: Int64)

    package var description: String {
        switch self {
        case .databaseIsNewer(let version):
            "the database has schema version \(version), which this program does not know"
        case .changed(let version): "the script of schema version \(version) is not the one that was applied"
        }
    }
}

/// Brings a database's schema up to date.
package enum Migrations {
    /// The steps, in order. A released one is never changed: a new one follows it.
    package static let all = [
        Migration(version: 1, name: "foundation", script: text(PackageResources._001_foundation_sql)),
        Migration(version: 2, name: "token_classes", script: text(PackageResources._002_token_classes_sql)),
        Migration(version: 3, name: "account_flags", script: text(PackageResources._003_account_flags_sql)),
        Migration(version: 4, name: "sign_in", script: text(PackageResources._004_sign_in_sql)),
        Migration(version: 5, name: "account_usage", script: text(PackageResources._005_account_usage_sql)),
        Migration(version: 6, name: "money", script: text(PackageResources._006_money_sql)),
        Migration(version: 7, name: "quotas_and_prices", script: text(PackageResources._007_quotas_and_prices_sql)),
        Migration(version: 8, name: "settling", script: text(PackageResources._008_settling_sql)),
    ]

    /// Applies what is missing, each step in a transaction of its own; replicas that start together wait for one another.
    ///
    /// - Throws: `MigrationError`, `PostgresError`.
    package static func run(_ steps: [Migration] = all, in pool: PostgresPool) async throws {
        try await pool.withConnection { connection in
            // A step takes as long as the tables are large, and so does waiting for a replica that is at it.
            try await connection.setStatementTimeout(.zero)
            // A session lock, because the steps are transactions of their own; it ends with the connection as well.
            try await connection.execute("select pg_advisory_lock($1)", [.integer(AdvisoryLock.migrations)])
            let result: Result<Void, any Error>
            do {
                try await apply(steps, on: connection)
                result = .success(())
            } catch {
                result = .failure(error)
            }
            try await connection.execute("select pg_advisory_unlock($1)", [.integer(AdvisoryLock.migrations)])
            try result.get()
        }
    }

    private static func apply(_ steps: [Migration], on connection: PostgresConnection) async throws {
        try await connection.runScript(
            """
            create table if not exists schema_migrations (
                version bigint primary key, name text not null, checksum text not null,
                applied_at timestamptz not null default now()
            )
            """
        )
        let rows = try await connection.query("select version, checksum from schema_migrations order by version")
        let applied = Dictionary(
            uniqueKeysWithValues: try rows.map { (try $0.int("version"), try $0.text("checksum")) }
        )
        if let unknown = applied.keys.sorted().first(where: { version in !steps.contains { $0.version == version } }) {
            throw MigrationError.databaseIsNewer(version: unknown)
        }
        for step in steps {
            if let checksum = applied[step.version] {
                guard checksum == step.checksum else { throw MigrationError.changed(version: step.version) }
                continue
            }
            try await connection.transaction { connection in
                try await connection.runScript(step.script)
                try await connection.execute(
                    "insert into schema_migrations (version, name, checksum) values ($1, $2, $3)",
                    [.integer(step.version), .text(step.name), .text(step.checksum)]
                )
            }
        }
    }

    /// Embedded resources are named by their file, whose first digit an identifier cannot start with: `0001_x.sql` is
    /// `_001_x_sql`.
    static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
