import Glibc

/// A Redis server of a test: loopback only, a port and a folder of its own.
///
/// `kill` and `restart` keep the port and the data folder, so a client can meet the server again.
package final class PrivateRedis: Sendable {
    package struct Options: Sendable {
        package var password: String?
        /// Keeps data over a restart: `appendonly yes`. What was answered is with the system, which outlives a server that
        /// is killed; `appendfsync no` spares the tests a slow disk.
        package var isPersistent = false
        /// Serves TLS alone, with this certificate and key (files in PEM).
        package var certificate: (file: String, keyFile: String)?
        /// Further lines of `redis.conf`, such as `user worker on >secret ~* +@all`.
        package var lines: [String] = []

        package init() {}
    }

    package let port: UInt16
    package let options: Options
    private let process: ServerProcess
    private let folder: TemporaryFolder

    /// For `.enabled(if: PrivateRedis.isAvailable, PrivateRedis.requirement)`.
    package static let isAvailable = isInstalled("redis-server") && isInstalled("setpriv")
    package static let requirement = "needs the program redis-server"

    package static func start(_ options: Options = Options()) async throws -> PrivateRedis {
        try await offMainThread {
            // Another program may take the port between our look and Redis'.
            if let redis = try? PrivateRedis(options) { return redis }
            return try PrivateRedis(options)
        }
    }

    private init(_ options: Options) throws {
        self.options = options
        port = try freePort()
        folder = try TemporaryFolder("redis")
        var lines = [
            "bind 127.0.0.1", "dir \(folder.path)", "save \"\"", "daemonize no", "appendfsync no",
            "appendonly \(options.isPersistent ? "yes" : "no")",
            options.certificate == nil ? "port \(port)" : "port 0",
        ]
        if let certificate = options.certificate {
            lines += [
                "tls-port \(port)", "tls-cert-file \(certificate.file)", "tls-key-file \(certificate.keyFile)",
                "tls-auth-clients no",
            ]
        }
        if let password = options.password { lines.append("requirepass \(password)") }
        try folder.write((lines + options.lines).joined(separator: "\n") + "\n", to: "redis.conf")
        process = ServerProcess(
            ["redis-server", folder.path + "/redis.conf"],
            folder: folder.path,
            lastSignal: .kill,
            readyText: "Ready to accept connections"
        )
        try process.start()
    }

    /// `redis://…`, or `rediss://localhost…`, with the password if there is one.
    package var url: String {
        let place = options.certificate == nil ? ("redis", "127.0.0.1") : ("rediss", "localhost")
        return "\(place.0)://\(options.password.map { ":\($0)@" } ?? "")\(place.1):\(port)"
    }

    package var pid: Int32 { process.pid }
    package var log: String { process.log }

    /// Ends the server as a crash would.
    package func kill() async throws { try await offMainThread { [process] in process.end(SIGKILL) } }

    /// Ends the server in order.
    package func stop() async throws { try await offMainThread { [process] in process.end(SIGTERM) } }

    /// Starts the server again on its port and data, after a crash when it still runs.
    package func restart() async throws {
        try await offMainThread { [process] in
            process.end(SIGKILL)
            try process.start()
        }
    }

    /// Cuts the log of a server that was killed behind the last place where this text stands, as a loss of power may.
    package func cutLog(behind text: String) throws {
        let logs = folder.path + "/appendonlydir/"
        let names = readText(logs + "appendonly.aof.manifest").split(separator: "\n")
            .filter { $0.hasSuffix("type i") }.map { $0.split(separator: " ")[1] }
        guard let name = names.last, let end = end(of: text, in: readBytes(logs + name)),
            truncate(logs + name, end) == 0
        else { throw ServerLaunchError(description: "the log has no \(text)") }
    }

    private func end(of text: String, in log: [UInt8]) -> Int? {
        let wanted = Array(text.utf8)
        return stride(from: log.count, through: wanted.count, by: -1)
            .first { log[($0 - wanted.count)..<$0].elementsEqual(wanted) }
    }

    /// Stops the server where it stands (SIGSTOP): it keeps its connections and answers nothing.
    package func freeze() { process.signal(SIGSTOP) }
    package func thaw() { process.signal(SIGCONT) }
}
