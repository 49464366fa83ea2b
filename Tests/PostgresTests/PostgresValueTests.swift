import Postgres
import Reactor
import TestSupport
import Testing

@Suite(
    "Postgres values",
    .enabled(if: PrivatePostgres.isAvailable, "\(PrivatePostgres.requirement)")
)
struct PostgresValueTests {
    @Test("integers, text, booleans, bytes and nulls come back as they went")
    func roundTrip() async throws {
        let schema = """
            CREATE TABLE sample (
                id bigint PRIMARY KEY, name text, flag boolean, raw bytea, at timestamptz, note text
            );
            """
        try await withPostgres(schema: schema) { pool, _ in
            let name = "Zürich 東京 🚆 \\ ' \" \t\r\n"
            let raw = [UInt8](0...255)
            let cases: [(Int64, Bool)] = [(.min, true), (.max, false), (0, true)]
            for (id, flag) in cases {
                let touched = try await pool.execute(
                    "INSERT INTO sample VALUES ($1, $2, $3, $4, $5, $6)",
                    [.integer(id), .text(name), .bool(flag), .bytes(raw), "2026-11-21T04:05:06.789+02:00", nil]
                )
                #expect(touched == 1)
                let rows = try await pool.query("SELECT * FROM sample WHERE id = $1", [.integer(id)])
                let row = try #require(rows.first)
                #expect(try row.int("id") == id)
                #expect(try row.text("name") == name)
                #expect(try row.bool("flag") == flag)
                #expect(try row.bytes("raw") == raw)
                #expect(try row.text("at") == "2026-11-21 02:05:06.789+00")
                #expect(try row.optionalText("note") == nil)
                #expect(try row.isNull("note"))
                #expect(try !row.isNull("name"))
            }
        }
    }

    @Test("empty text, empty bytes and null are three things")
    func empties() async throws {
        try await withPostgres(schema: "CREATE TABLE t (a text, b bytea, c bigint)") { pool, _ in
            try await pool.execute("INSERT INTO t VALUES ($1, $2, $3)", ["", .bytes([]), nil])
            try await pool.execute("INSERT INTO t VALUES ($1, $2, $3)", [nil, nil, 7])
            let rows = try await pool.query("SELECT * FROM t ORDER BY c NULLS FIRST")
            #expect(try rows[0].optionalText("a") == "")
            #expect(try rows[0].optionalBytes("b") == [])
            #expect(try rows[0].optionalInt("c") == nil)
            #expect(try rows[1].optionalText("a") == nil)
            #expect(try rows[1].optionalBytes("b") == nil)
            #expect(try rows[1].optionalInt("c") == 7)
        }
    }

    @Test("10 MB of text and of bytes fit in one value")
    func large() async throws {
        try await withPostgres { pool, _ in
            let text = String(repeating: "0123456789abcdé", count: 650_000)
            let bytes = [UInt8](repeating: 0xa5, count: 10 << 20)
            let rows = try await pool.query(
                "SELECT $1::text AS text, $2::bytea AS bytes",
                [.text(text), .bytes(bytes)]
            )
            #expect(try rows[0].text("text") == text)
            #expect(try rows[0].bytes("bytes") == bytes)
        }
    }

    @Test("text with a NUL is refused, not cut")
    func nul() async throws {
        try await withPostgres(schema: "CREATE TABLE t (a text)") { pool, _ in
            var rows = CopyRows(columns: 1, rows: 1)
            rows.beginRow()
            rows.add("a\0b")
            let copied = rows
            try await pool.withConnection { connection in
                for attempt in 0..<3 {
                    let error = await #expect(throws: PostgresError.self) {
                        switch attempt {
                        case 0: try await connection.execute("INSERT INTO t VALUES ($1)", ["a\0b"])
                        case 1: try await connection.copy(into: "t", columns: ["a"], copied)
                        default: try await connection.runScript("SELECT 1;\0")
                        }
                    }
                    #expect(error?.state == "22021")
                }
                let batch = await #expect(throws: PostgresBatchError.self) {
                    try await connection.executeBatch("INSERT INTO t VALUES ($1)", [["a"], ["a\0b"]])
                }
                #expect(batch?.index == 1)
                let rows = try await connection.query("SELECT count(*) FROM t")
                #expect(try rows[0].int("count") == 0)
            }
        }
    }

    @Test("a column that is missing, null or of another type is a decoding error that names it")
    func decoding() async throws {
        try await withPostgres { pool, _ in
            let sql = "SELECT 'x'::text AS t, null::bigint AS n, 99999999999999999999::numeric AS huge, 1 AS a, 2 AS a"
            let rows = try await pool.query(sql)
            let row = try #require(rows.first)
            #expect(throws: PostgresError.decoding(column: "none")) { try row.text("none") }
            #expect(throws: PostgresError.decoding(column: "t")) { try row.int("t") }
            #expect(throws: PostgresError.decoding(column: "t")) { try row.bool("t") }
            #expect(throws: PostgresError.decoding(column: "t")) { try row.bytes("t") }
            #expect(throws: PostgresError.decoding(column: "n")) { try row.int("n") }
            #expect(throws: PostgresError.decoding(column: "n")) { try row.text("n") }
            #expect(throws: PostgresError.decoding(column: "huge")) { try row.int("huge") }
            #expect(try row.int("a") == 1)
        }
    }
}
