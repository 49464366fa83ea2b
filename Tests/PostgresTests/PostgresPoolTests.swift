import Postgres
import Reactor
import TestSupport
import Testing

@Suite(
    "Postgres pool",
    .enabled(if: PrivatePostgres.isAvailable, "\(PrivatePostgres.requirement)")
)
struct PostgresPoolTests {
    @Test("connections are opened when wanted, never more than allowed, and who waits is served in order")
    func fairness() async throws {
        try await withPostgres(maximum: 3) { pool, loop in
            #expect(pool.openConnections == 0)
            let crew = Crew(loop)
            var order: [Int] = []
            var most = 0
            var working = 0
            let allAtWork = (0..<3).map { _ in Promise<Void>() }
            for number in 0..<200 {
                crew.add {
                    try await pool.withConnection { connection in
                        order.append(number)
                        working += 1
                        most = max(most, working)
                        // The first are slow, so that each of them needs a connection of its own.
                        if working == 3 { for promise in allAtWork { promise.succeed(()) } }
                        if number < 3 { try await allAtWork[number].wait() }
                        _ = try await connection.query("SELECT 1")
                        working -= 1
                    }
                }
            }
            try await crew.wait()
            #expect(order == Array(0..<200))
            #expect(most == 3)
            #expect(pool.openConnections == 3)
        }
    }

    @Test("a borrower waits so long and no longer, and its place is passed over")
    func borrowTimeout() async throws {
        var options = PostgresPool.Options.patient
        options.borrowTimeout = .seconds(1)
        try await withPostgres(maximum: 1, options: options) { pool, loop in
            try await pool.withConnection { connection in
                let start = MonotonicTime.now
                let error = await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1") }
                guard case .unavailable = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
                #expect(start.elapsed >= .seconds(1))
                _ = try await connection.query("SELECT 1")
            }
            try await expectRows(1, pool, "SELECT 1")
        }
    }

    @Test("the session is ours: UTC, its name, the statement timeout")
    func session() async throws {
        try await withPostgres { pool, _ in
            let rows = try await pool.query(
                "SELECT current_setting('application_name') AS name, current_setting('timezone') AS zone, "
                    + "current_setting('statement_timeout') AS timeout"
            )
            #expect(try rows[0].text("name") == "tollgate")
            #expect(try rows[0].text("zone") == "UTC")
            #expect(try rows[0].text("timeout") == "30s")
        }
    }

    @Test("the Unix socket and a host name work as well; of several hosts the one that answers is taken")
    func addresses() async throws {
        let postgres = try await PrivatePostgres.shared()
        let port = postgres.port
        let urls = [
            postgres.socketURL(),
            "postgres://tollgate@localhost:\(port)/postgres?sslmode=disable",
            "postgres://tollgate@127.0.0.1:1,localhost:\(port)/postgres",
            "host=127.0.0.1 port=\(port) user=tollgate dbname=postgres",
        ]
        try await onLoop { loop in
            for url in urls {
                let pool = PostgresPool(loop, url: url, options: .patient)
                try await expectRows(1, pool, "SELECT 1")
                pool.close()
            }
        }
    }

    @Test("over TLS the server's name is checked, and large results arrive whole")
    func tls() async throws {
        let certificates = try TestCertificates.shared()
        let pair = certificates.server
        let postgres = try await PrivatePostgres.start(certificate: (file: pair.certificate, keyFile: pair.key))
        let trust = "sslmode=verify-full&sslrootcert="
        let good = "postgres://tollgate@localhost:\(postgres.port)/postgres?" + trust
        try await onLoop { loop in
            let pool = PostgresPool(loop, url: good + certificates.authority.certificate, options: .patient)
            defer { pool.close() }
            let rows = try await pool.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            #expect(try rows[0].bool("ssl"))
            for size in [8_000, 16_384, 100_000, 3_000_000] {
                let text = try await pool.query("SELECT repeat('x', \(size)) AS text")[0].text("text")
                #expect(text.utf8.count == size)
            }
            try await expectRows(100_000, pool, "SELECT generate_series(1, 100000)")

            let distrusting = PostgresPool(loop, url: good + certificates.stranger.certificate, options: .patient)
            defer { distrusting.close() }
            let error = await #expect(throws: PostgresError.self) { try await distrusting.query("SELECT 1") }
            #expect("\(String(describing: error))".contains("certificate verify failed"))
        }
    }

    @Test(
        "a pool that cannot connect says why, without the password",
        arguments: [
            "postgres://tollgate:hunter2@127.0.0.1:1/postgres", "postgres://u:hunter2%zz@h/db", "hunter2",
            "postgres://tollgate:hunter2@no-such-host.invalid/postgres",
        ]
    )
    func cannotConnect(url: String) async throws {
        try await onLoop { loop in
            let pool = PostgresPool(loop, url: url)
            defer { pool.close() }
            var reported: [PostgresError] = []
            pool.onFailure = { reported.append($0) }
            for _ in 0..<3 {
                let error = await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1") }
                guard case .unavailable(let detail) = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
                #expect(!detail.contains("hunter2"))
                #expect(!detail.isEmpty)
            }
            #expect(reported.count == 3)
        }
    }

    @Test("an unknown database is a reason, not a hang, and does not stop others")
    func unknownDatabase() async throws {
        let url = try await PrivatePostgres.shared().url("nowhere")
        try await onLoop { loop in
            let pool = PostgresPool(loop, url: url)
            defer { pool.close() }
            let error = await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1") }
            #expect("\(String(describing: error))".contains("does not exist"))
        }
    }

    @Test("a server that accepts and says nothing is given up after the connect timeout")
    func silentServer() async throws {
        try await onLoop { loop in
            let listener = try TCPListener(
                loop,
                on: #require(SocketAddress("127.0.0.1:0")),
                sharesPort: false
            ) { $0.setReading(true) }
            var options = PostgresPool.Options()
            options.connectTimeout = .milliseconds(100)
            let pool = PostgresPool(loop, url: "postgres://u@\(listener.address)/db", options: options)
            await #expect(throws: PostgresError.unavailable(detail: "connecting took too long")) {
                try await pool.query("SELECT 1")
            }
            pool.close()
            listener.close()
        }
    }

    @Test("a closed pool refuses, and connections on loan end when they come back")
    func closing() async throws {
        try await withPostgres { pool, _ in
            try await pool.withConnection { connection in
                pool.close()
                let rows = try await connection.query("SELECT 1")
                #expect(rows.count == 1)
            }
            #expect(pool.openConnections == 0)
            await #expect(throws: PostgresError.self) { try await pool.query("SELECT 1") }
        }
    }
}
