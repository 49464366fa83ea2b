import Crypto
import GatewayKit
import Glibc
import Providers
import Reactor
import Service
import TestSupport
import Testing

@Suite("The worker's settings")
struct WorkerConfigTests {
    private static let key32 = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="
    private static let good = [
        "TOLLGATE_REDIS_URL": "redis://u:hidden-password@127.0.0.1:6379/0", "TOLLGATE_INTERNAL_TOKEN": "hidden-token",
        "TOLLGATE_SNAPSHOT_KEY": key32, "TOLLGATE_MASTER_KEYS": "m1:" + key32,
    ]

    private func read(_ environment: [String: String]) -> (WorkerConfig, [ConfigFault]) {
        var reader = ConfigReader(environment: environment)
        let config = WorkerConfig(&reader)
        return (config, reader.faults)
    }

    @Test("the secrets are all that is required")
    func minimum() {
        let (config, faults) = read(Self.good)
        #expect(faults.isEmpty)
        #expect(config.listen?.description == "127.0.0.1:8080" && config.opsListen?.description == "127.0.0.1:8083")
        #expect(config.redis != nil && config.masterKeys != nil && config.snapshotKey.count == 32)
        #expect(config.internalAPI?.port == 8082 && config.internalToken.reveal() == "hidden-token")
        #expect(config.loops >= 1 && config.tlsListen == nil)
    }

    @Test("each missing secret is one fault, and all are told at once")
    func missing() {
        let (_, faults) = read([:])
        #expect(
            faults.map(\.key).sorted() == [
                "TOLLGATE_INTERNAL_TOKEN", "TOLLGATE_MASTER_KEYS", "TOLLGATE_REDIS_URL", "TOLLGATE_SNAPSHOT_KEY",
            ]
        )
    }

    @Test("every fault is told at once, one for a key, and none shows a value")
    func all() {
        let bad = [
            "TOLLGATE_LISTEN": "hidden:80a", "TOLLGATE_OPS_LISTEN": "hidden", "TOLLGATE_LOOPS": "hidden",
            "TOLLGATE_REDIS_URL": "http://u:hidden@h", "TOLLGATE_INTERNAL_URL": "ftp://hidden",
            "TOLLGATE_INTERNAL_TOKEN": " , ,", "TOLLGATE_SNAPSHOT_KEY": "aGlkZGVu",
            "TOLLGATE_MASTER_KEYS": "m1:aGlkZGVu", "TOLLGATE_TLS_LISTEN": "hidden",
            "TOLLGATE_LOG_LEVEL": "hidden",
        ]
        let (_, faults) = read(bad)
        #expect(Set(faults.map(\.key)) == Set(bad.keys).union(["TOLLGATE_TLS_CERT", "TOLLGATE_TLS_KEY"]))
        #expect(faults.count == bad.count + 2)
        for fault in faults {
            #expect(!fault.description.contains("hidden") && !fault.description.contains("aGlkZGVu"), "\(fault)")
        }
    }

    @Test(
        "the control plane's token does not leave this machine in the clear",
        arguments: [
            ("http://127.0.0.1:8082", true), ("http://[::1]:8082", true), ("http://localhost:8082", true),
            ("https://control.example:8082", true), ("https://10.0.0.1", true), ("http://control.example", false),
            ("http://10.0.0.1:8082", false), ("http://[fd00::1]:8082", false), ("http://localhost.example", false),
        ]
    )
    func internalURL(url: String, isFine: Bool) {
        let (_, faults) = read(Self.good.merging(["TOLLGATE_INTERNAL_URL": url]) { $1 })
        #expect(faults.map(\.key) == (isFine ? [] : ["TOLLGATE_INTERNAL_URL"]))
    }

    @Test("secrets may stand in files, with a newline at their end")
    func files() throws {
        let folder = try TemporaryFolder("config")
        var environment: [String: String] = [:]
        for (key, value) in Self.good {
            try folder.write(value + "\n", to: key)
            environment[key + "_FILE"] = folder.path + "/" + key
        }
        let (config, faults) = read(environment)
        #expect(faults.isEmpty)
        #expect(config.internalToken.reveal() == "hidden-token" && config.masterKeys != nil)
    }

    @Test("a file that is not there is one fault that names the key of the file")
    func missingFiles() {
        let environment = Dictionary(uniqueKeysWithValues: Self.good.keys.map { ($0 + "_FILE", "/nowhere/hidden") })
        let (_, faults) = read(environment)
        #expect(Set(faults.map(\.key)) == Set(environment.keys) && faults.count == 4)
        for fault in faults { #expect(!fault.description.contains("hidden")) }
    }

    @Test("of a list of tokens the first is sent")
    func tokens() {
        var environment = Self.good
        environment["TOLLGATE_INTERNAL_TOKEN"] = " new , old"
        #expect(read(environment).0.internalToken.reveal() == "new")
    }

    @Test("a dump of the settings shows no secret")
    func dump() {
        let (config, _) = read(Self.good)
        for text in ["\(config.internalToken)", String(reflecting: config.internalToken)] {
            #expect(!text.contains("hidden"))
        }
    }
}
