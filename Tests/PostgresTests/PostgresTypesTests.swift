import Postgres
import Reactor
import TestSupport
import Testing

@Suite(
    "Postgres values",
    .enabled(if: PrivatePostgres.isAvailable, "\(PrivatePostgres.requirement)")
)
struct PostgresTypesTests {
    @Test("integers, text, booleans, bytes and nulls come back as they went")
    func roundTrip() async throws {
        let url = try await PrivatePostgres.shared().newDatabase()
        try await onLoop { loop in
            let pool = PostgresPool(loop, url: url)
            defer { pool.close() }
            try await pool.withConnection { connection in
                try await connection.runScript(
                    """
                    CREATE TABLE sample (
                        id bigint PRIMARY KEY, name text, flag boolean, raw bytea, at timestamptz, note text
                    );
                    """
                )
                let name = "Zürich 東京 🚆 \\ ' \" \t\n"
                let raw = [UInt8](0...255)
                let touched = try await connection.execute(
                    "INSERT INTO sample VALUES ($1, $2, $3, $4, $5, $6)",
                    [.integer(.min), .text(name), true, .bytes(raw), "2026-11-21T04:05:06.789+02:00", nil]
                )
                #expect(touched == 1)
                let rows = try await connection.query("SELECT * FROM sample WHERE id = $1", [.integer(.min)])
                let row = try #require(rows.first)
                #expect(try row.int("id") == .min)
                #expect(try row.text("name") == name)
                #expect(try row.bool("flag"))
                #expect(try row.bytes("raw") == raw)
                #expect(try row.text("at") == "2026-11-21 02:05:06.789+00")
                #expect(try row.optionalText("note") == nil)
                #expect(try row.isNull("note"))
            }
        }
    }
}
