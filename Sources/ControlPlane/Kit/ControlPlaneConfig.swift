package import Crypto
import Formats
package import Reactor
package import Redis
package import Service
package import Telemetry

/// The control plane's settings.
package struct ControlPlaneConfig: Sendable {
    package struct TLSFiles: Sendable {
        package var certificate: String
        package var key: String
    }

    /// `TOLLGATE_ADMIN_LISTEN`: the REST API. Default 127.0.0.1:8081.
    package var adminListen: SocketAddress?
    /// `TOLLGATE_INTERNAL_LISTEN`: what workers ask. Default 127.0.0.1:8082.
    package var internalListen: SocketAddress?
    /// `TOLLGATE_OPS_LISTEN`: probes and metrics only. Default 127.0.0.1:8084.
    package var opsListen: SocketAddress?
    /// `TOLLGATE_ADMIN_TLS_CERT` and `TOLLGATE_ADMIN_TLS_KEY` (PEM files): the admin listener speaks TLS.
    package var adminTLS: TLSFiles?
    /// `TOLLGATE_INTERNAL_TLS_CERT` and `TOLLGATE_INTERNAL_TLS_KEY` (PEM files): the internal listener speaks TLS.
    package var internalTLS: TLSFiles?
    /// `TOLLGATE_DATABASE_URL`
    package var databaseURL = Secret("")
    /// `TOLLGATE_DATABASE_CONNECTIONS`: most of them at once. Default 8.
    package var databaseConnections: Int
    /// `TOLLGATE_REDIS_URL`
    package var redis: RedisConfiguration?
    /// `TOLLGATE_MASTER_KEYS`: `id:base64` of 32 bytes, several with commas; the first one seals.
    package var masterKeys: MasterKeyRing?
    /// `TOLLGATE_SNAPSHOT_KEY`: base64 of at least 32 bytes, the same on both planes.
    package var snapshotKey: [UInt8] = []
    /// `TOLLGATE_INTERNAL_TOKEN`: what workers show; two with a comma while it is being changed.
    package var internalTokens: [Secret] = []
    /// `TOLLGATE_ADMIN_EMAIL` and `TOLLGATE_ADMIN_PASSWORD`: the first admin, needed on an empty database only.
    package var firstAdmin: (email: String, password: Secret)?
    /// `TOLLGATE_USAGE_MONTHS`: for how many whole months before this one the usage log is kept. Default 24.
    package var usageMonths: Int
    /// `TOLLGATE_SHUTDOWN_SECONDS`: how long calls under way may take once the process is told to end. Default 30.
    package var shutdownDrain: Duration
    /// `TOLLGATE_OAUTH_…`
    package var oauth = OAuthClients()
    /// `TOLLGATE_UPSTREAM_CA`: further trust anchors for upstreams and proxies, in PEM.
    package var upstreamAuthorities: String?
    /// `TOLLGATE_LOG_LEVEL`: debug, info, warning or error.
    package var logLevel = LogLevel.info

    package init(_ reader: inout ConfigReader) {
        adminListen = reader.address("TOLLGATE_ADMIN_LISTEN", default: "127.0.0.1:8081")
        internalListen = reader.address("TOLLGATE_INTERNAL_LISTEN", default: "127.0.0.1:8082")
        opsListen = reader.address("TOLLGATE_OPS_LISTEN", default: "127.0.0.1:8084")
        databaseURL = Secret(reader.secret("TOLLGATE_DATABASE_URL", "postgres://user:password@host:port/database"))
        databaseConnections = reader.integer("TOLLGATE_DATABASE_CONNECTIONS", default: 8, in: 2...200)
        usageMonths = reader.integer("TOLLGATE_USAGE_MONTHS", default: 24, in: 3...1200)
        shutdownDrain = .seconds(reader.integer("TOLLGATE_SHUTDOWN_SECONDS", default: 30, in: 0...3600))
        oauth = OAuthClients(&reader)
        upstreamAuthorities = reader.optional("TOLLGATE_UPSTREAM_CA")
        adminTLS = Self.tls("TOLLGATE_ADMIN_TLS", &reader)
        let faults = reader.faults.count
        internalTLS = Self.tls("TOLLGATE_INTERNAL_TLS", &reader)
        if internalTLS == nil, reader.faults.count == faults, internalListen.map({ !$0.isLoopback }) ?? false {
            reader.fault(
                "TOLLGATE_INTERNAL_TLS_CERT",
                "is required with its key, because TOLLGATE_INTERNAL_LISTEN is not a loopback address"
            )
        }
        readRedis(&reader)
        readKeys(&reader)
        readTokens(&reader)
        readFirstAdmin(&reader)
        if let level = LogLevel(rawValue: reader.text("TOLLGATE_LOG_LEVEL", default: "info")) {
            logLevel = level
        } else {
            reader.fault("TOLLGATE_LOG_LEVEL", "must be debug, info, warning or error")
        }
    }

    private static func tls(_ prefix: String, _ reader: inout ConfigReader) -> TLSFiles? {
        let certificate = reader.optional(prefix + "_CERT")
        let key = reader.optional(prefix + "_KEY")
        if certificate == nil && key == nil { return nil }
        guard let certificate, let key else {
            reader.fault(prefix + (certificate == nil ? "_CERT" : "_KEY"), "is required, because its partner is set")
            return nil
        }
        return TLSFiles(certificate: certificate, key: key)
    }

    private mutating func readRedis(_ reader: inout ConfigReader) {
        let before = reader.faults.count
        let url = reader.secret("TOLLGATE_REDIS_URL", "redis://[user:password@]host:port/db")
        guard reader.faults.count == before else { return }
        redis = RedisConfiguration(url: url)
        if redis == nil { reader.fault("TOLLGATE_REDIS_URL", "must be redis://[user:password@]host:port/db") }
    }

    private mutating func readKeys(_ reader: inout ConfigReader) {
        var before = reader.faults.count
        let snapshotText = reader.secret("TOLLGATE_SNAPSHOT_KEY", "base64 of at least 32 bytes")
        if reader.faults.count == before {
            if let key = Base64.decode(snapshotText), key.count >= 32 {
                snapshotKey = key
            } else {
                reader.fault("TOLLGATE_SNAPSHOT_KEY", "must be base64 of at least 32 bytes")
            }
        }
        before = reader.faults.count
        let masterText = reader.secret("TOLLGATE_MASTER_KEYS", "id:base64 of 32 bytes, the current one first")
        guard reader.faults.count == before else { return }
        do {
            masterKeys = try MasterKeyRing(masterText)
        } catch {
            reader.fault("TOLLGATE_MASTER_KEYS", "\(error)")
        }
    }

    private mutating func readTokens(_ reader: inout ConfigReader) {
        let before = reader.faults.count
        let text = reader.secret("TOLLGATE_INTERNAL_TOKEN", "at least 16 characters; two with a comma during a change")
        guard reader.faults.count == before else { return }
        let tokens = text.split(separator: ",").map { String($0).trimmed }
        if (1...2).contains(tokens.count), tokens.allSatisfy({ $0.utf8.count >= 16 }) {
            internalTokens = tokens.map { Secret($0) }
        } else {
            reader.fault("TOLLGATE_INTERNAL_TOKEN", "must be one or two tokens of at least 16 characters")
        }
    }

    private mutating func readFirstAdmin(_ reader: inout ConfigReader) {
        let email = reader.optional("TOLLGATE_ADMIN_EMAIL")
        let password = reader.optionalSecret("TOLLGATE_ADMIN_PASSWORD")
        if email == nil && password == nil { return }
        if let email, (try? ValueKind<String>.email.read(.string(email))) == nil {
            reader.fault("TOLLGATE_ADMIN_EMAIL", "must be an e-mail address")
        }
        if let password, (try? ValueKind<String>.secret(UserForm.passwordLength).read(.string(password))) == nil {
            reader.fault(
                "TOLLGATE_ADMIN_PASSWORD",
                "must have \(UserForm.passwordLength.lowerBound) to \(UserForm.passwordLength.upperBound) characters"
            )
        }
        guard let email, let password else {
            reader.fault(
                email == nil ? "TOLLGATE_ADMIN_EMAIL" : "TOLLGATE_ADMIN_PASSWORD",
                "is required, because its partner is set"
            )
            return
        }
        firstAdmin = (email, Secret(password))
    }
}
