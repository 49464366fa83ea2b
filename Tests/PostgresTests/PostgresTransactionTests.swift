import Postgres
import Reactor
import TestSupport
import Testing

@Suite(
    "Postgres transactions",
    .enabled(if: PrivatePostgres.isAvailable, "\(PrivatePostgres.requirement)")
)
struct PostgresTransactionTests {
    struct Change: Error {}

    @Test("a transaction is kept when its body returns and undone when it throws")
    func commitAndRollback() async throws {
        try await withPostgres(maximum: 1, schema: "CREATE TABLE t (n bigint)") { pool, _ in
            let value = try await pool.withTransaction { connection in
                try await connection.execute("INSERT INTO t VALUES (1)")
                return 7
            }
            #expect(value == 7)
            await #expect(throws: Change.self) {
                try await pool.withTransaction { connection in
                    try await connection.execute("INSERT INTO t VALUES (2)")
                    throw Change()
                }
            }
            await #expect(throws: PostgresError.self) {
                try await pool.withTransaction { connection in
                    try await connection.execute("INSERT INTO t VALUES (3)")
                    try await connection.execute("SELECT 1 / 0")
                }
            }
            let rows = try await pool.query("SELECT n FROM t")
            #expect(try rows.map { try $0.int("n") } == [1])
            #expect(pool.openConnections == 1)
        }
    }

    @Test("a body that swallows a failed statement does not believe it has committed")
    func swallowedFailure() async throws {
        try await withPostgres(maximum: 1, schema: "CREATE TABLE t (n bigint)") { pool, _ in
            let error = await #expect(throws: PostgresError.self) {
                try await pool.withTransaction { connection in
                    try await connection.execute("INSERT INTO t VALUES (1)")
                    _ = try? await connection.execute("SELECT 1 / 0")
                }
            }
            #expect(error?.state == "25P02")
            try await expectRows(0, pool, "SELECT * FROM t")
        }
    }

    @Test("a constraint checked at COMMIT fails the transaction")
    func deferredConstraint() async throws {
        let schema = """
            CREATE TABLE p (id bigint PRIMARY KEY);
            CREATE TABLE c (id bigint CONSTRAINT late REFERENCES p DEFERRABLE INITIALLY DEFERRED);
            """
        try await withPostgres(maximum: 1, schema: schema) { pool, _ in
            let error = await #expect(throws: PostgresError.self) {
                try await pool.withTransaction { try await $0.execute("INSERT INTO c VALUES (1)") }
            }
            #expect(error?.state == "23503")
            try await expectRows(0, pool, "SELECT * FROM c")
        }
    }

    @Test("a transaction left open by a borrower does not reach the next one")
    func leftOpen() async throws {
        try await withPostgres(maximum: 1, schema: "CREATE TABLE t (n bigint)") { pool, _ in
            try await pool.withConnection { connection in
                try await connection.runScript("BEGIN; INSERT INTO t VALUES (1)")
                try await connection.setStatementTimeout(.seconds(99))
            }
            try await pool.withConnection { connection in
                #expect(try await connection.query("SELECT * FROM t").isEmpty)
                let rows = try await connection.query("SHOW statement_timeout")
                #expect(try rows[0].text("statement_timeout") == "30s")
            }
        }
    }

    @Test("of two deadlocked transactions the loser is run again when retries are allowed")
    func deadlock() async throws {
        let schema = "CREATE TABLE t (id bigint PRIMARY KEY, n bigint); INSERT INTO t VALUES (1, 0), (2, 0)"
        try await withPostgres(schema: schema) { pool, loop in
            let crew = Crew(loop)
            let bothHold = Promise<Void>()
            var holding = 0
            var runs = 0
            for (first, second) in [(1, 2), (2, 1)] as [(Int64, Int64)] {
                crew.add {
                    try await pool.withTransaction(retries: 3) { connection in
                        runs += 1
                        let sql = "UPDATE t SET n = n + 1 WHERE id = $1"
                        try await connection.execute(sql, [.integer(first)])
                        holding += 1
                        if holding == 2 { bothHold.succeed(()) }
                        if holding == 1 { try await bothHold.wait() }
                        try await connection.execute(sql, [.integer(second)])
                    }
                }
            }
            try await crew.wait()
            #expect(runs == 3)
            let rows = try await pool.query("SELECT n FROM t ORDER BY id")
            #expect(try rows.map { try $0.int("n") } == [2, 2])
        }
    }

    @Test("a serialization failure without retries is the caller's, and says what it is")
    func serialization() async throws {
        try await withPostgres(schema: "CREATE TABLE t (n bigint); INSERT INTO t VALUES (0)") { pool, _ in
            let error = await #expect(throws: PostgresError.self) {
                try await pool.withTransaction { connection in
                    try await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    _ = try await connection.query("SELECT n FROM t")
                    try await pool.execute("UPDATE t SET n = 1")
                    try await connection.execute("UPDATE t SET n = 2")
                }
            }
            #expect(error?.isTransactionConflict == true)
        }
    }
}
