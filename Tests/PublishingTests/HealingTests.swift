import ControlKit
import Domain
import Postgres
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

@Suite("Healing what Redis has lost", .enabled(if: canRun, requirement))
struct HealingTests {
    @Test("a flushed Redis is filled again")
    func flushHeals() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let account = try await world.addAccount(in: group)
            let user = try await world.addUser()
            let key = try await world.addKey("secret", of: user, in: group)
            let publisher = world.publisher()
            try await publisher.healNow()
            #expect(try await world.isComplete())
            let before = try #require(try await world.publishedKey("secret"))
            _ = try await world.redis.send(RedisCommand(["FLUSHALL"]))
            try await publisher.healNow()
            #expect(try await world.publishedKey("secret") == before)
            #expect(try await world.publishedConfig()?.accounts.map(\.id) == [account])
            #expect(try await world.publishedCredentials(account) != nil)
            #expect(try await world.revision("k\(key)", in: Partition(of: user)) == before.revision)
            #expect(try await world.revision("g\(group)", in: Partition(of: UserID(9))) != nil)
            #expect(try await world.isComplete())
        }
    }

    @Test("a running control plane heals a flushed Redis within seconds, by itself")
    func flushHealsByTimer() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            _ = try await world.addKey("secret", of: world.addUser(), in: group)
            let publisher = world.publisher()
            publisher.start()
            try await world.wait { try await world.isComplete() }
            _ = try await world.redis.send(RedisCommand(["FLUSHALL"]))
            try await world.wait {
                let isComplete = try await world.isComplete()
                let config = try await world.publishedConfig()
                let key = try await world.publishedKey("secret")
                return isComplete && config != nil && key != nil
            }
        }
    }

    @Test("a Redis that was restarted is filled again: it may have lost its last second")
    func restartHeals() async throws {
        var options = PrivateRedis.Options()
        options.isPersistent = true
        try await withWorld(options) { world in
            let group = try await world.addGroup()
            _ = try await world.addKey("old", of: world.addUser(), in: group)
            let publisher = world.publisher()
            world.redis.onConnect = { publisher.redisConnected() }
            try await publisher.healNow()
            _ = try await world.redis.send(RedisCommand(["DEL", RedisNames.key(hash: world.hash("old"))]))
            // Everything else came through the restart, the marker too.
            try await world.server.restart()
            try await world.wait { world.redis.isConnected }
            try await world.wait { try await world.publishedKey("old") != nil }
            try await world.wait { try await world.isComplete() }
        }
    }

    @Test("the marker is not set when Redis forgot while it was being filled")
    func flushWhileFilling() async throws {
        try await withWorld { world in
            let standing = StandingReader(world.redis, world.codec)
            let filling = try await standing.beginFilling()
            _ = try await world.redis.send(RedisCommand(["FLUSHALL"]))
            #expect(try await !standing.endFilling(filling, marker: "m"))
            #expect(try await !world.isComplete())
        }
    }

    @Test(
        "groups stand whole in every partition, also where Redis forgot between two configurations, or another published"
    )
    func groupsStandWhole() async throws {
        try await withWorld { world in
            let writers = [SnapshotWriter(world.redis, [world.codec]), SnapshotWriter(world.redis, [world.codec])]
            var groups: [GroupID: Int64] = [:]
            func publish(_ writer: Int, _ revision: Int64, changing changed: [Int64]) async throws {
                for group in changed { groups[GroupID(group)] = revision }
                let config = ConfigSnapshot(
                    version: SnapshotVersion(epoch: 0, revision: revision),
                    publishedAt: Timestamp(microseconds: 1)
                )
                let revisions = groups.map { (group: $0.key, revision: $0.value) }
                #expect(try await writers[writer].publish(config, groupRevisions: revisions))
                for partition in [Partition.all.first, Partition.all.last].compactMap({ $0 }) {
                    for (group, expected) in groups {
                        #expect(
                            try await world.revision("g\(group)", in: partition) == expected,
                            "g\(group) at \(revision)"
                        )
                    }
                }
            }
            try await publish(0, 1, changing: [1, 2, 3])
            try await publish(0, 2, changing: [2])
            try await publish(1, 3, changing: [3, 4])
            try await publish(0, 4, changing: [1])
            _ = try await world.redis.send(RedisCommand(["FLUSHALL"]))
            try await publish(0, 5, changing: [5])
            try await publish(0, 6, changing: [])
            _ = try await world.redis.send(
                RedisCommand(["DEL", RedisNames.revisions(Partition.all.first ?? Partition(of: UserID(0)))])
            )
            try await publish(0, 7, changing: [4])
        }
    }

    @Test("entries that somebody damaged or forged are replaced")
    func damage() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let account = try await world.addAccount(in: group)
            let publisher = world.publisher()
            try await publisher.healNow()
            let forger = SnapshotCodec(SnapshotSigner(key: Array("another key".utf8)))
            let forged = ConfigSnapshot(
                version: SnapshotVersion(epoch: 8000, revision: 1),
                publishedAt: Timestamp(microseconds: 1)
            )
            let names = [RedisNames.config, RedisNames.credentials(of: account)]
            let texts = [
                forger.encode(forged), forger.encode(CredentialEntry(account: account, version: 1 << 52, sealed: "x")),
            ]
            for (name, text) in zip(names, texts) {
                for text in [text, Array("nonsense".utf8), []] {
                    var command = RedisCommand(["SET", name])
                    command.add(text)
                    _ = try await world.redis.send(command)
                    try await publisher.healNow()
                    #expect(try await world.publishedConfig()?.accounts.map(\.id) == [account])
                    #expect(try await world.publishedCredentials(account)?.sealed == "v1.k.sealed")
                }
            }
        }
    }

    @Test("a new signing key republishes everything")
    func signingKeyRotation() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let account = try await world.addAccount(in: group)
            _ = try await world.addKey("secret", of: world.addUser(), in: group)
            try await world.publisher(SnapshotSigner(key: Array("the old key".utf8))).healNow()
            await #expect(throws: SnapshotError.badSignature) { try await world.publishedKey("secret") }
            try await world.publisher().healNow()
            #expect(try await world.publishedKey("secret") != nil)
            #expect(try await world.publishedConfig() != nil)
            #expect(try await world.publishedCredentials(account) != nil)
        }
    }

    @Test("a database restored from a backup wins once its epoch is raised")
    func restoredDatabase() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let user = try await world.addUser()
            let key = try await world.addKey("secret", of: user, in: group)
            let publisher = world.publisher()
            try await world.run("update api_keys set revision = 100000; ")
            try await world.run("update groups set revision = 100000")
            try await publisher.healNow()
            let before = try #require(try await world.publishedKey("secret"))
            // The backup knew lower revisions, and another status.
            try await world.run("update api_keys set revision = 5, status = 'disabled'")
            try await world.run("update groups set revision = 5")
            try await world.run("update database_epoch set epoch = epoch + 1")
            try await publisher.healNow()
            let after = try #require(try await world.publishedKey("secret"))
            #expect(!after.isActive)
            #expect(after.revision > before.revision)
            #expect(try await world.revision("k\(key)", in: Partition(of: user)) == after.revision)
            #expect(try await world.publishedConfig()?.version.epoch == 2)
        }
    }
}
