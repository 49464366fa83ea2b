package import Formats
package import Postgres

/// Settings by name: a JSON object each. A setting never written has its defaults.
package enum SettingsStore {
    package static func find(_ name: String, on connection: PostgresConnection) async throws -> JSON? {
        try await connection.query("select value from settings where name = $1", [.text(name)]).first
            .map { try $0.json("value") }
    }

    package static func put(_ name: String, _ value: JSON, on connection: PostgresConnection) async throws {
        try await connection.execute(
            """
            insert into settings (name, value) values ($1, $2::jsonb)
            on conflict (name) do update
            set value = excluded.value, revision = nextval('revision_seq'), updated_at = now()
            """,
            [.text(name), .json(value)]
        )
    }
}
