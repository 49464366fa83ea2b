package import Crypto
import Formats
import Glibc
package import Providers
package import Reactor
package import Redis
package import Service
package import Telemetry

/// A worker's settings.
package struct WorkerConfig: Sendable {
    /// `TOLLGATE_LISTEN`: where callers come in, HTTP/1.1 and h2c. Default 127.0.0.1:8080.
    package var listen: SocketAddress?
    /// `TOLLGATE_TLS_LISTEN`, with `TOLLGATE_TLS_CERT` and `TOLLGATE_TLS_KEY` (PEM files): the same over TLS.
    package var tlsListen: SocketAddress?
    package var tlsCertificate = ""
    package var tlsKey = ""
    /// `TOLLGATE_OPS_LISTEN`: probes and metrics only. Default 127.0.0.1:8083.
    package var opsListen: SocketAddress?
    /// `TOLLGATE_REDIS_URL`
    package var redis: RedisConfiguration?
    /// `TOLLGATE_INTERNAL_URL`: the control plane's internal API.
    package var internalAPI: UpstreamTarget?
    /// `TOLLGATE_INTERNAL_TOKEN`; of a list the first is sent.
    package var internalToken = Secret("")
    /// `TOLLGATE_SNAPSHOT_KEY`: base64 of at least 32 bytes, the same on both planes.
    package var snapshotKey: [UInt8] = []
    /// `TOLLGATE_MASTER_KEYS`
    package var masterKeys: MasterKeyRing?
    /// `TOLLGATE_LOOPS`: threads that serve. Default: the number of cores.
    package var loops: Int
    /// `TOLLGATE_UPSTREAM_CA`: further trust anchors for upstreams, in PEM.
    package var upstreamAuthorities: String?
    /// `TOLLGATE_JOURNAL_DIR`: where usage records are kept while neither Redis nor the control plane can take them, a
    /// folder for each worker alone. Without it they are kept in memory.
    package var journalFolder: String?
    /// `TOLLGATE_BODY_MEMORY_MIB`: what the bodies of all requests may take together. Default 512.
    package var bodyBudget: ByteBudget
    /// `TOLLGATE_EVENT_MEMORY_MIB`: what upstreams' events that have not arrived whole may take together. Default 256.
    package var eventBudget: ByteBudget
    /// `TOLLGATE_LOG_LEVEL`: debug, info, warning or error.
    package var logLevel = LogLevel.info

    package init(_ reader: inout ConfigReader) {
        listen = reader.address("TOLLGATE_LISTEN", default: "127.0.0.1:8080")
        opsListen = reader.address("TOLLGATE_OPS_LISTEN", default: "127.0.0.1:8083")
        let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        loops = reader.integer("TOLLGATE_LOOPS", default: cores, in: 1...256)
        journalFolder = reader.optional("TOLLGATE_JOURNAL_DIR")
        bodyBudget = ByteBudget(
            limit: reader.integer("TOLLGATE_BODY_MEMORY_MIB", default: 512, in: 1...1_048_576) << 20
        )
        eventBudget = ByteBudget(
            limit: reader.integer("TOLLGATE_EVENT_MEMORY_MIB", default: 256, in: 1...1_048_576) << 20
        )
        upstreamAuthorities = reader.optional("TOLLGATE_UPSTREAM_CA")
        let form = "redis://[user:password@]host:port/db"
        if let url = Self.secret("TOLLGATE_REDIS_URL", form, &reader) {
            redis = RedisConfiguration(url: url)
            if redis == nil { reader.fault("TOLLGATE_REDIS_URL", "must be \(form)") }
        }
        internalAPI = UpstreamTarget(baseURL: reader.text("TOLLGATE_INTERNAL_URL", default: "http://127.0.0.1:8082"))
        switch internalAPI {
        case nil: reader.fault("TOLLGATE_INTERNAL_URL", "must be an http(s) URL")
        case let target? where !target.isTLS && !Self.isLoopback(target.host):
            reader.fault("TOLLGATE_INTERNAL_URL", "must be an https URL where it leads beyond this machine")
        case _?: break
        }
        if let tokens = Self.secret("TOLLGATE_INTERNAL_TOKEN", "the token of the control plane's internal API", &reader)
        {
            internalToken = Secret(tokens.split { $0 == "," || $0.isWhitespace }.first.map(String.init) ?? "")
            if internalToken.isEmpty { reader.fault("TOLLGATE_INTERNAL_TOKEN", "must be a token") }
        }
        readKeys(&reader)
        readTLS(&reader)
        if let level = LogLevel(rawValue: reader.text("TOLLGATE_LOG_LEVEL", default: "info")) {
            logLevel = level
        } else {
            reader.fault("TOLLGATE_LOG_LEVEL", "must be debug, info, warning or error")
        }
    }

    /// Nil when it is missing, which the reader has noted then.
    private static func secret(_ key: String, _ expected: String, _ reader: inout ConfigReader) -> String? {
        let before = reader.faults.count
        let text = reader.secret(key, expected)
        return reader.faults.count == before ? text : nil
    }

    private static func isLoopback(_ host: String) -> Bool {
        SocketAddress(ip: host, port: 0)?.isLoopback ?? (host.lowercased() == "localhost")
    }

    private mutating func readKeys(_ reader: inout ConfigReader) {
        if let text = Self.secret("TOLLGATE_SNAPSHOT_KEY", "base64 of at least 32 bytes", &reader) {
            if let key = Base64.decode(text, .standard), key.count >= 32 {
                snapshotKey = key
            } else {
                reader.fault("TOLLGATE_SNAPSHOT_KEY", "must be base64 of at least 32 bytes")
            }
        }
        let form = "id:base64 of 32 bytes, the current one first"
        guard let text = Self.secret("TOLLGATE_MASTER_KEYS", form, &reader) else { return }
        do {
            masterKeys = try MasterKeyRing(text)
        } catch {
            reader.fault("TOLLGATE_MASTER_KEYS", "\(error)")
        }
    }

    private mutating func readTLS(_ reader: inout ConfigReader) {
        guard reader.optional("TOLLGATE_TLS_LISTEN") != nil else { return }
        tlsListen = reader.address("TOLLGATE_TLS_LISTEN", default: "")
        tlsCertificate = reader.required("TOLLGATE_TLS_CERT", "a PEM file with the certificate chain")
        tlsKey = reader.required("TOLLGATE_TLS_KEY", "a PEM file with the private key")
    }
}
