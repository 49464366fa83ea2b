import CPQ
import Glibc
import Reactor

/// What libpq is told about a connection, with host names already resolved: libpq itself would block on DNS.
struct PostgresAddress {
    private var options: [String: String]

    /// - Throws: `PostgresError.unavailable`; its text does not quote the URL, which holds a password.
    init(url: String) throws(PostgresError) {
        var message: UnsafeMutablePointer<CChar>?
        let parsed = PQconninfoParse(url, &message)
        PQfreemem(message)
        guard let parsed else { throw .unavailable(detail: "the database URL is invalid") }
        defer { PQconninfoFree(parsed) }
        options = [
            "application_name": "tollgate",
            // Without it libpq would look for Kerberos credentials first.
            "gssencmode": "disable",
            "keepalives_idle": "30",
            "keepalives_interval": "10",
        ]
        var next = parsed
        while let keyword = next.pointee.keyword {
            if let value = next.pointee.val { options[String(cString: keyword)] = String(cString: value) }
            next += 1
        }
        options["client_encoding"] = "UTF8"
    }

    /// The same with `hostaddr` filled in: libpq tries the addresses in order, and still checks certificates against
    /// the names.
    func resolved(on loop: EventLoop, timeout: Duration) async throws(PostgresError) -> PostgresAddress {
        guard let host = options["host"], options["hostaddr"] == nil else { return self }
        let names = host.split(separator: ",", omittingEmptySubsequences: false)
        let ports = (options["port"] ?? "5432").split(separator: ",", omittingEmptySubsequences: false)
        guard ports.count == 1 || ports.count == names.count else { return self }
        var hosts: [Substring] = []
        var addresses: [String] = []
        var portList: [Substring] = []
        for (index, name) in names.enumerated() {
            let port = ports[ports.count == 1 ? 0 : index]
            // A path is a Unix socket's folder.
            if name.isEmpty || name.hasPrefix("/") || name.hasPrefix("@") {
                hosts.append(name)
                addresses.append("")
                portList.append(port)
                continue
            }
            guard let found = try? await loop.resolve(String(name), port: 0, timeout: timeout) else { continue }
            for address in found {
                hosts.append(name)
                addresses.append(address.ip)
                portList.append(port)
            }
        }
        guard !hosts.isEmpty else { throw .unavailable(detail: "the database host has no address") }
        var resolved = self
        resolved.options["host"] = hosts.joined(separator: ",")
        resolved.options["hostaddr"] = addresses.joined(separator: ",")
        resolved.options["port"] = portList.joined(separator: ",")
        return resolved
    }

    /// Begins to connect.
    ///
    /// - Returns: a `PGconn` for the caller to finish; nil without memory.
    func startConnecting() -> OpaquePointer? {
        let keywords = options.keys.map { strdup($0) }
        let values = options.keys.map { strdup(options[$0] ?? "") }
        defer { for text in keywords + values { free(text) } }
        let keywordList = keywords.map { UnsafePointer($0) } + [nil]
        let valueList = values.map { UnsafePointer($0) } + [nil]
        return PQconnectStartParams(keywordList, valueList, 0)
    }
}
