import Postgres
import Reactor
import TestSupport
import Testing

@Suite(
    "Postgres statements",
    .enabled(if: PrivatePostgres.isAvailable, "\(PrivatePostgres.requirement)")
)
struct PostgresStatementTests {
    @Test("a refusal has its SQLSTATE, message and constraint, and the connection stays good")
    func refusals() async throws {
        let schema = """
            CREATE TABLE parent (id bigint PRIMARY KEY, name text NOT NULL CONSTRAINT short CHECK (length(name) < 5));
            CREATE TABLE child (parent_id bigint CONSTRAINT child_parent REFERENCES parent);
            INSERT INTO parent VALUES (1, 'a');
            """
        try await withPostgres(maximum: 1, schema: schema) { pool, _ in
            let cases: [(String, String, String?)] = [
                ("INSERT INTO parent VALUES (1, 'b')", "23505", "parent_pkey"),
                ("INSERT INTO parent VALUES (2, 'abcdef')", "23514", "short"),
                ("INSERT INTO parent VALUES (3, null)", "23502", nil),
                ("INSERT INTO child VALUES (9)", "23503", "child_parent"),
                ("SELEC 1", "42601", nil),
                ("SELECT * FROM nowhere", "42P01", nil),
                ("SELECT 1 / 0", "22012", nil),
                ("COPY parent FROM STDIN", "0A000", nil),
                ("COPY parent TO STDOUT", "0A000", nil),
            ]
            for (sql, state, constraint) in cases {
                do {
                    try await pool.execute(sql)
                    Issue.record("\(sql) passed")
                } catch let PostgresError.server(foundState, message, foundConstraint) {
                    #expect(foundState == state)
                    #expect(foundConstraint == constraint)
                    #expect(!message.isEmpty)
                }
            }
            let rows = try await pool.query("SELECT count(*) AS n FROM parent")
            #expect(try rows[0].int("n") == 1)
        }
    }

    @Test("wrong parameters are the caller's error: too few, too many, not of the type")
    func wrongParameters() async throws {
        try await withPostgres(maximum: 1) { pool, _ in
            let cases: [[PostgresParameter]] = [
                [], [1, 2], ["x"], .init(repeating: 1, count: 70_000),
            ]
            for parameters in cases {
                await #expect(throws: PostgresError.self) { try await pool.query("SELECT $1::bigint", parameters) }
            }
            let rows = try await pool.query("SELECT $1::bigint AS n", [5])
            #expect(try rows[0].int("n") == 5)
            #expect(pool.openConnections == 1)
        }
    }

    @Test("touched rows are counted; a script runs all its statements or none")
    func scripts() async throws {
        try await withPostgres(schema: "CREATE TABLE t (n bigint); INSERT INTO t SELECT generate_series(1, 10)") {
            pool,
            _ in
            let updated = try await pool.execute("UPDATE t SET n = n + 1 WHERE n > $1", [4])
            #expect(updated == 6)
            let deleted = try await pool.execute("DELETE FROM t WHERE n = 1")
            #expect(deleted == 1)
            await #expect(throws: PostgresError.self) {
                try await pool.withConnection { try await $0.runScript("DELETE FROM t; SELECT 1 / 0;") }
            }
            try await expectRows(9, pool, "SELECT * FROM t")
            try await expectRows(0, pool, "CREATE TABLE u (a bigint)")
        }
    }

    @Test("statements are prepared once a connection, and at most 256 are kept")
    func cache() async throws {
        try await withPostgres(maximum: 1) { pool, _ in
            let prepared = "SELECT count(*) AS n, max(name) AS last FROM pg_prepared_statements"
            for _ in 0..<5 { _ = try await pool.query("SELECT 1") }
            var rows = try await pool.query(prepared)
            #expect(try rows[0].int("n") == 2)
            for number in 0..<600 {
                let row = try #require(try await pool.query("SELECT \(number) AS n").first)
                #expect(try row.int("n") == Int64(number))
                // Used all the time, so never given up.
                _ = try await pool.query("SELECT 1")
            }
            rows = try await pool.query(prepared)
            #expect(try rows[0].int("n") == 256)
            rows = try await pool.query("SELECT count(*) AS n FROM pg_prepared_statements WHERE statement = 'SELECT 1'")
            #expect(try rows[0].int("n") == 1)
        }
    }

    @Test("a changed table or forgotten statements do not spoil a prepared statement")
    func stalePlans() async throws {
        try await withPostgres(maximum: 1, schema: "CREATE TABLE t (a bigint); INSERT INTO t VALUES (1)") { pool, _ in
            try await expectRows(1, pool, "SELECT * FROM t")
            try await pool.execute("ALTER TABLE t ADD COLUMN b text DEFAULT 'x'")
            let rows = try await pool.query("SELECT * FROM t")
            #expect(try rows[0].text("b") == "x")
            try await pool.withConnection { try await $0.runScript("DEALLOCATE ALL") }
            try await expectRows(1, pool, "SELECT * FROM t")
        }
    }

    // MARK: Many rows

    @Test("a batch is one round trip and reports each set's rows")
    func batch() async throws {
        try await withPostgres(maximum: 1, schema: "CREATE TABLE t (id bigint PRIMARY KEY, n bigint)") { pool, _ in
            try await pool.withConnection { connection in
                let sets: [[PostgresParameter]] = (0..<5_000).map { [.integer($0), .integer($0 % 3)] }
                #expect(
                    try await connection.executeBatch("INSERT INTO t VALUES ($1, $2)", sets)
                        == .init(repeating: 1, count: 5_000)
                )
                let touched = try await connection.executeBatch("DELETE FROM t WHERE n = $1", [[0], [9], [1]])
                #expect(touched == [1667, 0, 1667])
                #expect(try await connection.executeBatch("DELETE FROM t WHERE n = $1", []).isEmpty)
                #expect(try await connection.query("SELECT 1 FROM t").count == 1666)
            }
        }
    }

    @Test("one bad set fails the whole batch and is named; the connection goes on")
    func batchFailure() async throws {
        try await withPostgres(maximum: 1, schema: "CREATE TABLE t (id bigint PRIMARY KEY)") { pool, _ in
            var sets: [[PostgresParameter]] = (0..<1_000).map { [.integer($0)] }
            sets[700] = [5]
            sets[800] = ["not a number"]
            let bad = sets
            let error = await #expect(throws: PostgresBatchError.self) {
                try await pool.withConnection { try await $0.executeBatch("INSERT INTO t VALUES ($1)", bad) }
            }
            #expect(error?.index == 700)
            #expect(error?.error.state == "23505")
            try await expectRows(0, pool, "SELECT * FROM t")
            // In a transaction as well: the rollback takes what came before.
            await #expect(throws: PostgresBatchError.self) {
                try await pool.withTransaction { connection in
                    try await connection.execute("INSERT INTO t VALUES (-1)")
                    try await connection.executeBatch("INSERT INTO t VALUES ($1)", bad)
                }
            }
            try await expectRows(0, pool, "SELECT * FROM t")
            #expect(pool.openConnections == 1)
            let wrong = await #expect(throws: PostgresError.self) {
                try await pool.withConnection { try await $0.executeBatch("INSERT INTO nowhere VALUES ($1)", bad) }
            }
            #expect(wrong?.state == "42P01")
        }
    }

    @Test("COPY loads 50,000 rows with every odd character")
    func copy() async throws {
        let schema = """
            CREATE SCHEMA odd;
            CREATE TABLE odd."Big t" (id bigint, "a ""b" text, c bigint, d boolean, e timestamptz, f integer)
            """
        let columns = ["id", "a \"b", "c", "d", "e", "f"]
        try await withPostgres(schema: schema) { pool, _ in
            let odd = ["\\", "\\N", "\\.", "\t", "\n", "\r\n", "\u{b}", "é🚆", "", "a\\tb", "'\"", "\u{1}\u{7f}"]
            func text(_ number: Int) -> String { odd[number % odd.count] + "\(number)" + odd[number % 7] }
            func optional(_ number: Int) -> Int64? { number % 17 == 0 ? nil : Int64.min + Int64(number) }
            let count = 50_000
            // 1970, a second before it, and the year 2600.
            let times: [Int64] = [0, -1_000_000, 19_880_899_200_000_000]
            var rows = CopyRows(columns: columns.count, rows: count)
            for number in 0..<count {
                rows.beginRow()
                rows.add(Int64(number))
                rows.add(text(number))
                rows.add(optional(number))
                rows.add(number.isMultiple(of: 2))
                rows.add(time: times[number % 3])
                rows.add(int4: Int32(-number))
            }
            let all = rows
            try await pool.withConnection { connection in
                try await connection.copy(into: "odd.Big t", columns: columns, all)
                let loaded = try await connection.query(
                    "SELECT *, (extract(epoch FROM e) * 1000000)::bigint AS micros FROM odd.\"Big t\" ORDER BY id"
                )
                #expect(loaded.count == count)
                for (number, row) in loaded.enumerated() {
                    let isRight =
                        try row.int("id") == Int64(number) && row.text("a \"b") == text(number)
                        && row.optionalInt("c") == optional(number) && row.bool("d") == number.isMultiple(of: 2)
                        && row.int("micros") == times[number % 3] && row.int("f") == -Int64(number)
                    guard isRight else {
                        Issue.record("row \(number)")
                        return
                    }
                }
            }
        }
    }

    /// `count` numbers from 0 on, between what comes before and after.
    private static func numbers(
        _ count: Int64,
        columns: Int = 1,
        before: (inout CopyRows) -> Void = { _ in },
        after: (inout CopyRows) -> Void = { _ in }
    ) -> CopyRows {
        var rows = CopyRows(columns: columns, rows: Int(count))
        before(&rows)
        for number in 0..<count {
            rows.beginRow()
            for _ in 0..<columns { rows.add(number) }
        }
        after(&rows)
        return rows
    }

    @Test("a COPY with a bad row loads nothing, says why, and leaves a good connection")
    func copyFailure() async throws {
        try await withPostgres(maximum: 1, schema: "CREATE TABLE t (id bigint PRIMARY KEY)") { pool, _ in
            let repeated = Self.numbers(100_000) { rows in
                rows.beginRow()
                rows.add(Int64(5))
            }
            let ofAnotherType = Self.numbers(
                100_000,
                before: { rows in
                    rows.beginRow()
                    rows.add("not a number")
                }
            )
            let cases: [(String, CopyRows, String)] = [
                ("t", repeated, "23505"),
                ("t", ofAnotherType, "22P03"),
                ("t", Self.numbers(1, columns: 2), "22P04"),
                ("nowhere", Self.numbers(100_000), "42P01"),
            ]
            for (table, rows, state) in cases {
                let error = await #expect(throws: PostgresError.self) {
                    try await pool.withConnection { try await $0.copy(into: table, columns: ["id"], rows) }
                }
                #expect(error?.state == state)
            }
            try await expectRows(0, pool, "SELECT * FROM t")
            try await pool.withConnection { try await $0.copy(into: "t", columns: ["id"], Self.numbers(0)) }
            #expect(pool.openConnections == 1)
        }
    }
}
