import Crypto
import Domain
import GatewayKit
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

/// A feed beside a stand, and what it has said.
private final class Watch {
    let feed: SnapshotFeed
    let redis: RedisClient
    let credentials: CredentialStore
    private(set) var configs: [GatewayConfig] = []
    private(set) var keys: [String] = []
    private(set) var watermarks: [(Partition, String, StreamID)] = []
    /// Accounts without credentials when a configuration that names them was handed over.
    private(set) var bare: [AccountID] = []

    init(_ stand: Stand) throws {
        let configuration = try #require(RedisConfiguration(patientURL: stand.server.url))
        redis = RedisClient(stand.loop, configuration)
        credentials = CredentialStore(stand.ring)
        let box = Box()
        feed = SnapshotFeed(
            stand.loop,
            redis,
            configuration,
            codec: stand.codec,
            credentials: credentials,
            log: stand.log,
            handlers: SnapshotFeed.Handlers(
                onConfig: { box.watch?.took($0) },
                onKeyChanged: { box.watch?.keys.append($0) },
                onWatermark: { box.watch?.watermarks.append(($0, $1, $2)) }
            )
        )
        box.watch = self
        redis.start()
        feed.start()
    }

    private final class Box { weak var watch: Watch? }

    private func took(_ config: GatewayConfig) {
        configs.append(config)
        bare += config.snapshot.accounts.map(\.id).filter { credentials.version(of: $0) == nil }
    }

    func stop() {
        feed.stop()
        redis.close()
    }
}

@Suite("The snapshot feed", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct FeedTests {
    @Test(
        "the configuration comes with the credentials of all its accounts, announced or only polled",
        arguments: [
            true, false,
        ]
    )
    func follows(isAnnounced: Bool) async throws {
        try await standing { (stand) async throws in
            let watch = try Watch(stand)
            await stand.loop.wait { watch.configs.count == 1 }
            #expect(watch.configs.first?.version == stand.config.version)
            stand.changeConfig {
                var account = $0.accounts[0]
                account.id = AccountID(7)
                $0.accounts.append(account)
            }
            try await stand.publish()
            if isAnnounced {
                await stand.loop.wait { watch.feed.checkedAt != nil }
                try await stand.run(
                    "PUBLISH",
                    RedisNames.announcements,
                    Announcement.config(stand.config.version).text
                )
            }
            await stand.loop.wait { watch.configs.count == 2 }
            #expect(watch.configs.last?.version == stand.config.version && watch.bare.isEmpty)
            #expect(watch.credentials.secret("api_key", of: AccountID(7))?.reveal() == "sk-upstream-7")
            watch.stop()
        }
    }

    @Test(
        "an older, forged or unreadable configuration leaves the last good one; a repaired one is taken",
        arguments: [
            "older", "forged", "cut", "empty",
        ]
    )
    func refuses(what: String) async throws {
        try await standing { (stand) async throws in
            let watch = try Watch(stand)
            await stand.loop.wait { watch.configs.count == 1 }
            var next = stand.config
            next.version.revision += what == "older" ? -1 : 1
            var text = stand.string(stand.codec.encode(next))
            switch what {
            case "forged": text = String(text.dropLast()) + " }"
            case "cut": text = String(text.dropLast(20))
            case "empty": text = ""
            default: break
            }
            try await stand.run("SET", RedisNames.config, text)
            for _ in 0..<3 { try await stand.run("PUBLISH", RedisNames.announcements, "config 9.9") }
            try await stand.run("PUBLISH", RedisNames.announcements, "key seen")
            await stand.loop.wait { watch.keys == ["seen"] }
            #expect(watch.configs.count == 1)
            next.version.revision = 50
            try await stand.run("SET", RedisNames.config, stand.string(stand.codec.encode(next)))
            await stand.loop.wait { watch.configs.count == 2 }
            #expect(watch.feed.current?.version == next.version)
            watch.stop()
        }
    }

    @Test(
        "announcements that mean nothing do nothing",
        arguments: [
            "", "config", "config x", "key", "key a b", "credentials 1", "credentials x y", "watermark 64 e 1-1",
            "watermark -1 e 1-1", "watermark 1 e x", "watermark 1 e 1-", "\u{0}",
            "watermark 99999999999999999999 e 1-1",
        ]
    )
    func nonsense(text: String) async throws {
        try await standing { (stand) async throws in
            let watch = try Watch(stand)
            await stand.loop.wait { watch.configs.count == 1 }
            try await stand.run("PUBLISH", RedisNames.announcements, text)
            try await stand.run("PUBLISH", RedisNames.announcements, "watermark 3 epoch 5-6")
            await stand.loop.wait { watch.watermarks.count == 1 }
            #expect(watch.watermarks.first?.2 == StreamID("5-6") && watch.watermarks.first?.1 == "epoch")
            #expect(watch.keys.isEmpty && watch.configs.count == 1)
            watch.stop()
        }
    }

    @Test("credentials follow announcements; an older or foreign entry never replaces a newer one")
    func credentials() async throws {
        try await standing { (stand) async throws in
            let watch = try Watch(stand)
            let account = AccountID(1)
            await stand.loop.wait { watch.configs.count == 1 }
            try await stand.publishCredentials(account, version: 5, key: "new")
            try await stand.run("PUBLISH", RedisNames.announcements, "credentials 1 5")
            await stand.loop.wait { watch.credentials.version(of: account) == 5 }
            #expect(watch.credentials.secret("api_key", of: account)?.reveal() == "new-1")
            func offer(_ text: [UInt8]) async throws {
                try await stand.run("SET", RedisNames.credentials(of: account), stand.string(text))
                try await stand.run("PUBLISH", RedisNames.announcements, "credentials 1 9")
            }
            try await offer(stand.codec.encode(stand.sealed(account, version: 4, key: "old")))
            try await offer(stand.codec.encode(stand.sealed(AccountID(2), version: 9, key: "foreign")))
            // Sealed for another account, signed for this one.
            var swapped = stand.sealed(AccountID(2), version: 9, key: "swapped")
            swapped.account = account
            try await offer(stand.codec.encode(swapped))
            try await offer(Array("nonsense".utf8))
            try await stand.run("PUBLISH", RedisNames.announcements, "key seen")
            await stand.loop.wait { watch.keys == ["seen"] }
            await stand.loop.wait { watch.redis.inFlight == 0 }
            #expect(watch.credentials.version(of: account) == 5)
            #expect(watch.credentials.secret("api_key", of: account)?.reveal() == "new-1")
            watch.stop()
        }
    }

    @Test("a rotation that nobody heard of is found when the subscription stands again")
    func missedRotation() async throws {
        var options = Stand.Options()
        options.isPersistent = true
        try await standing(options) { (stand) async throws in
            let watch = try Watch(stand)
            await stand.loop.wait { watch.configs.count == 1 }
            await stand.loop.wait { watch.credentials.version(of: AccountID(1)) == 1 }
            try await stand.publishCredentials(AccountID(1), version: 6, key: "rotated")
            try await stand.server.restart()
            await stand.loop.wait { watch.credentials.version(of: AccountID(1)) == 6 }
            #expect(watch.credentials.secret("api_key", of: AccountID(1))?.reveal() == "rotated-1")
            watch.stop()
        }
    }

    @Test("secrets of accounts that are gone are forgotten")
    func retained() async throws {
        try await standing { (stand) async throws in
            let watch = try Watch(stand)
            await stand.loop.wait { watch.credentials.version(of: AccountID(1)) == 1 && watch.configs.count == 1 }
            stand.changeConfig { $0.accounts = [] }
            try await stand.publish()
            try await stand.run("PUBLISH", RedisNames.announcements, "config 1.11")
            await stand.loop.wait { watch.configs.count == 2 }
            #expect(watch.credentials.version(of: AccountID(1)) == nil)
            watch.stop()
        }
    }
}
