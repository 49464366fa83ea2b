import Glibc
import Synchronization

/// A Postgres server of a test: loopback and a Unix socket, a port and a folder of its own, run by the account
/// `postgres` when the tests run as root.
package final class PrivatePostgres: Sendable {
    package let port: UInt16
    private let process: ServerProcess
    private let folder: TemporaryFolder
    private let databases = Mutex(0)

    private static let programs = "/usr/lib/postgresql/15/bin"
    private static let account = "postgres"
    private static let sharedServer = Task { try await start() }

    /// For `.enabled(if: PrivatePostgres.isAvailable, …)`.
    package static let isAvailable = isInstalled(programs + "/postgres") && isInstalled("setpriv")
    package static let requirement = "needs PostgreSQL 15 in \(programs)"

    /// The test process' common server, started on first use: making one takes seconds. Whoever stops or restarts a
    /// server starts one of their own.
    package static func shared() async throws -> PrivatePostgres { try await sharedServer.value }

    /// - Parameter certificate: offers TLS with this certificate and key (files in PEM).
    package static func start(
        settings: [String] = [],
        certificate: (file: String, keyFile: String)? = nil
    ) async throws -> PrivatePostgres {
        try await offMainThread {
            // Another program may take the port between our look and Postgres'.
            if let postgres = try? PrivatePostgres(settings, certificate) { return postgres }
            return try PrivatePostgres(settings, certificate)
        }
    }

    private init(_ settings: [String], _ certificate: (file: String, keyFile: String)?) throws {
        port = try freePort()
        folder = try TemporaryFolder("postgres", owner: Self.account)
        let data = folder.path + "/data"
        try runProgram(
            asAccount(Self.account) + [
                Self.programs + "/initdb", "--pgdata", data, "--username", "tollgate", "--auth", "trust",
                "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync",
            ]
        )
        var settings =
            [
                "listen_addresses=127.0.0.1", "port=\(port)", "unix_socket_directories=\(folder.path)",
                "fsync=off", "full_page_writes=off", "max_connections=1000", "shared_buffers=32MB",
            ] + settings
        if let certificate {
            // Postgres insists that the key is its own and nobody else's.
            let ownership = getuid() == 0 ? ["-o", Self.account] : []
            for (from, name) in [(certificate.file, "server.pem"), (certificate.keyFile, "server.key")] {
                try runProgram(["install", "-m", "600"] + ownership + [from, "\(folder.path)/\(name)"])
            }
            settings += [
                "ssl=on", "ssl_cert_file=\(folder.path)/server.pem", "ssl_key_file=\(folder.path)/server.key",
            ]
        }
        process = ServerProcess(
            [Self.programs + "/postgres", "-D", data] + settings.flatMap { ["-c", $0] },
            folder: folder.path,
            asUser: Self.account,
            lastSignal: .quit,
            readyText: "database system is ready to accept connections"
        )
        try process.start()
    }

    /// The URL of a database over TCP.
    package func url(_ database: String = "postgres") -> String {
        "postgres://tollgate@127.0.0.1:\(port)/\(database)"
    }

    /// The URL over the server's Unix socket.
    package func socketURL(_ database: String = "postgres") -> String {
        "postgres://tollgate@/\(database)?host=\(folder.path)&port=\(port)"
    }

    /// Makes an empty database and returns its URL.
    package func newDatabase() async throws -> String {
        let number = databases.withLock { count in
            count += 1
            return count
        }
        let name = "test_\(number)"
        let address = ["--host", "127.0.0.1", "--port", "\(port)", "--username", "tollgate"]
        try await offMainThread { try runProgram([Self.programs + "/createdb"] + address + [name]) }
        return url(name)
    }

    package var pid: Int32 { process.pid }
    package var log: String { process.log }

    /// Ends the server in order, and its clients' sessions with it (`fast` shutdown).
    package func stop() async throws { try await offMainThread { [process] in process.end(SIGINT) } }

    /// Ends the server as a crash would, all of its processes (`immediate` shutdown).
    package func kill() async throws { try await offMainThread { [process] in process.end(SIGQUIT) } }

    /// Starts the server after `stop` or `kill`.
    package func start() async throws { try await offMainThread { [process] in try process.start() } }

    /// Stops one backend where it stands (SIGSTOP): it keeps its connection and answers nothing. A server cannot end
    /// before it is thawed.
    package func freeze(backend pid: Int32) { Glibc.kill(pid, SIGSTOP) }
    package func thaw(backend pid: Int32) { Glibc.kill(pid, SIGCONT) }

    /// Starts the server again on its port and data.
    package func restart() async throws {
        try await offMainThread { [process] in
            process.end(SIGINT)
            try process.start()
        }
    }
}
