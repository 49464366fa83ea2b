import Postgres
import Reactor
import TestSupport
import Testing

@Suite(
    "Postgres faults",
    .enabled(if: PrivatePostgres.isAvailable, "\(PrivatePostgres.requirement)")
)
struct PostgresFaultTests {
    @Test("a statement over its timeout is ended by the server, and the connection goes on")
    func statementTimeout() async throws {
        var options = PostgresPool.Options.patient
        options.statementTimeout = .milliseconds(100)
        try await withPostgres(maximum: 1, options: options) { pool, _ in
            let start = MonotonicTime.now
            await #expect(throws: PostgresError.timedOut) { try await pool.query("SELECT pg_sleep(20)") }
            #expect(start.elapsed < .seconds(15))
            try await pool.withConnection { connection in
                try await connection.setStatementTimeout(.zero)
                _ = try await connection.query("SELECT pg_sleep(0.2)")
            }
            await #expect(throws: PostgresError.timedOut) { try await pool.query("SELECT pg_sleep(20)") }
            #expect(pool.openConnections == 1)
        }
    }

    @Test("a backend killed in mid-statement fails that statement alone; the pool goes on")
    func killedBackend() async throws {
        try await withPostgres(maximum: 2) { pool, loop in
            let sleeping = Promise<Int64>()
            let crew = Crew(loop)
            crew.add {
                try await pool.withConnection { connection in
                    sleeping.succeed(try await connection.query("SELECT pg_backend_pid() AS pid")[0].int("pid"))
                    await #expect(throws: PostgresError.connectionLost) {
                        try await connection.query("SELECT pg_sleep(20)")
                    }
                    await #expect(throws: PostgresError.connectionLost) { try await connection.query("SELECT 1") }
                }
            }
            let pid = try await sleeping.wait()
            _ = try await pool.query("SELECT pg_terminate_backend($1)", [.integer(pid)])
            try await crew.wait()
            for _ in 0..<10 { try await expectRows(1, pool, "SELECT 1") }
        }
    }

    @Test("a transaction whose backend is killed fails, is not kept, and leaves the pool whole")
    func killedTransaction() async throws {
        try await withPostgres(maximum: 2, schema: "CREATE TABLE t (n bigint)") { pool, _ in
            await #expect(throws: PostgresError.connectionLost) {
                try await pool.withTransaction { connection in
                    try await connection.execute("INSERT INTO t VALUES (1)")
                    let pid = try await connection.query("SELECT pg_backend_pid() AS pid")[0].int("pid")
                    _ = try await pool.query("SELECT pg_terminate_backend($1)", [.integer(pid)])
                    try await connection.execute("INSERT INTO t VALUES (2)")
                }
            }
            try await expectRows(0, pool, "SELECT * FROM t")
        }
    }

    @Test("an idle connection that the server ends is replaced before anybody gets it")
    func killedIdle() async throws {
        try await withPostgres(maximum: 2) { pool, loop in
            // Two connections, of which one ends the other and is back in the pool.
            try await pool.withConnection { first in
                let pid = try await pool.withConnection { second in
                    try await second.query("SELECT pg_backend_pid() AS pid")[0].int("pid")
                }
                #expect(pool.openConnections == 2)
                _ = try await first.query("SELECT pg_terminate_backend($1, 5000)", [.integer(pid)])
                await loop.sleep(.milliseconds(20))
                #expect(pool.openConnections == 1)
            }
            for _ in 0..<5 { try await expectRows(1, pool, "SELECT 1") }
        }
    }

    @Test("a server restarted under load: errors for what was in flight, then everything works again")
    func restart() async throws {
        let postgres = try await PrivatePostgres.start()
        let url = try await postgres.newDatabase()
        try await onLoop { loop in
            let pool = PostgresPool(loop, url: url, maximum: 4, options: .patient)
            defer { pool.close() }
            try await pool.withConnection { try await $0.runScript("CREATE TABLE t (id bigint PRIMARY KEY)") }
            let crew = Crew(loop)
            var isRunning = true
            var acknowledged: Set<Int64> = []
            var failures = 0
            var next: Int64 = 0
            for _ in 0..<8 {
                crew.add {
                    while isRunning {
                        next += 1
                        let id = next
                        do {
                            try await pool.execute("INSERT INTO t VALUES ($1)", [.integer(id)])
                            acknowledged.insert(id)
                        } catch is PostgresError {
                            failures += 1
                        }
                    }
                }
            }
            for round in 1...2 {
                let before = acknowledged.count
                while acknowledged.count < before + 100 { await loop.sleep(.milliseconds(2)) }
                if round == 2 { try await postgres.kill() }
                try await (round == 2 ? postgres.start() : postgres.restart())
            }
            let before = acknowledged.count
            while acknowledged.count < before + 100 { await loop.sleep(.milliseconds(2)) }
            isRunning = false
            try await crew.wait()
            #expect(failures > 0)
            let rows = try await pool.query("SELECT id FROM t")
            let kept = Set(try rows.map { try $0.int("id") })
            #expect(acknowledged.isSubset(of: kept))
        }
    }

    @Test("a frozen server: the statement ends with a timeout, its connection is given up, others follow")
    func frozen() async throws {
        let postgres = try await PrivatePostgres.start()
        let url = postgres.url()
        try await onLoop { loop in
            var options = PostgresPool.Options.patient
            options.statementTimeout = .seconds(2)
            let pool = PostgresPool(loop, url: url, options: options)
            defer { pool.close() }
            let pid = try await pool.query("SELECT pg_backend_pid() AS pid")[0].int("pid")
            postgres.freeze(backend: Int32(pid))
            defer { postgres.thaw(backend: Int32(pid)) }
            // 2 s for the server, 5 s of grace.
            await #expect(throws: PostgresError.timedOut) { try await pool.query("SELECT 1") }
            #expect(pool.openConnections == 0)
            try await expectRows(1, pool, "SELECT 1")
        }
    }
}
