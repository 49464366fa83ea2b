import ControlKit
import Domain
import Formats
import Postgres
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

@Suite("Publishing", .enabled(if: canRun, requirement))
struct PublishingTests {
    @Test("a change stands in Redis, announced, when its author gets the answer")
    func publishedOnCommit() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let user = try await world.addUser()
            let partition = Partition(of: user)
            let ear = try await world.listen()
            let publisher = world.publisher()
            let notifier = world.notifier(publisher)
            let (key, account) = try await notifier.commit(by: .system) { change in
                let key = try await world.addKey("secret", of: user, in: group)
                let account = try await world.addAccount(in: group)
                change.publish(.key(key))
                change.publish(.account(account))
                change.publish(.config)
                return (key, account)
            }
            let snapshot = try #require(try await world.publishedKey("secret"))
            #expect(snapshot.id == key)
            #expect(snapshot.group == group)
            #expect(snapshot.ipWhitelist == ["10.0.0.0/8"])
            #expect(snapshot.isActive && snapshot.isUserActive)
            #expect(try await world.revision("k\(key)", in: partition) == snapshot.revision)
            #expect(try await world.revision("u\(user)", in: partition) == snapshot.userRevision)
            #expect(snapshot.revision == (try await world.revision(of: key.raw, in: "api_keys")))

            let config = try #require(try await world.publishedConfig())
            let published = try #require(config.accounts.first)
            #expect(published.id == account)
            #expect(published.groups == [group])
            #expect(published.plainCredentials == ["base_url": "http://127.0.0.1:9"])
            #expect(published.modelMapping == ["a*": "b"])
            for partition in Partition.all {
                #expect(try await world.revision("g\(group)", in: partition) == config.groups.first?.revision)
            }
            #expect(try await world.publishedCredentials(account)?.sealed == "v1.k.sealed")
            #expect(try await world.number("select count(*) as n from outbox") == 0)
            try await world.wait("announced") { ear.heard.count >= 3 }
            #expect(ear.heard.contains(.key(hash: world.hash("secret"))))
            #expect(ear.heard.contains(.config(config.version)))
            ear.close()
        }
    }

    @Test("what verdicts depend on is published: the account's own rules, and the cooldowns")
    func verdictSettings() async throws {
        try await withWorld { world in
            _ = try await world.addAccount(in: world.addGroup())
            try await world.run(
                """
                update accounts set pool_mode = true, pool_retry_count = 7, custom_error_codes = '[418, 503]',
                    temp_unschedulable_rules = '[{"status": 429, "keywords": ["zu viel"], "minutes": 5}]',
                    allow_overages = true returning id
                """
            )
            for (name, value) in [
                ("overload-cooldown", #"{"enabled": true, "cooldown_minutes": 33}"#),
                ("rate-limit-cooldown", #"{"enabled": false, "seconds": 9}"#),
                ("gateway", #"{"unauthorized_pause_minutes": 20}"#),
            ] {
                try await world.pool.withConnection { connection in
                    try await SettingsStore.put(name, JSON(text: value), on: connection)
                }
            }
            try await world.publisher().healNow()
            let config = try #require(try await world.publishedConfig())
            let account = try #require(config.accounts.first)
            let rule = PauseRule(status: 429, keywords: ["zu viel"], minutes: 5)
            #expect(
                account.rules
                    == AccountRules(
                        isPoolMode: true,
                        poolRetryCount: 7,
                        customErrorCodes: [418, 503],
                        pauseRules: [rule]
                    )
            )
            #expect(account.allowsOverages)
            let rest = CooldownSettings(overload: .seconds(33 * 60), rateLimit: nil, unauthorized: .seconds(1200))
            #expect(config.cooldowns == rest)
        }
    }

    @Test("a change whose control plane died after the commit is published by the next poll")
    func crashAfterCommit() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let user = try await world.addUser()
            let publisher = world.publisher()
            try await publisher.healNow()
            let ear = try await world.listen()
            publisher.start()
            let key = try await world.addKey("secret", of: user, in: group)
            let started = MonotonicTime.now
            try await world.outbox("key", key.raw)
            try await world.wait { try await world.publishedKey("secret") != nil }
            try await world.wait { ear.heard == [.key(hash: world.hash("secret"))] }
            #expect(started.elapsed < .seconds(1))
            ear.close()
        }
    }

    @Test("what was not published stays in the outbox")
    func outboxSurvivesFailure() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let key = try await world.addKey("secret", of: world.addUser(), in: group)
            try await world.outbox("key", key.raw)
            let publisher = world.publisher()
            world.server.freeze()
            await #expect(throws: (any Error).self) { try await publisher.publishCommitted() }
            #expect(try await world.number("select count(*) as n from outbox") == 1)
            world.server.thaw()
            #expect(await world.redis.waitUntilConnected(.seconds(10)))
            try await publisher.publishCommitted()
            #expect(try await world.publishedKey("secret") != nil)
            #expect(try await world.number("select count(*) as n from outbox") == 0)
        }
    }

    @Test("an answer waits for entries that another control plane is publishing just now")
    func waitsForOthers() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let key = try await world.addKey("secret", of: world.addUser(), in: group)
            try await world.outbox("key", key.raw)
            let publisher = world.publisher()
            var isPublished = false
            try await world.pool.withTransaction { other in
                _ = try await other.query("select id from outbox for update")
                world.loop.spawn {
                    try? await publisher.publishCommitted()
                    isPublished = true
                }
                // Long enough for the other one to have looked.
                try await world.wait {
                    try await world.number(
                        "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
                    ) == 1
                }
                #expect(!isPublished)
            }
            try await world.wait { isPublished }
            #expect(try await world.publishedKey("secret") != nil)
        }
    }

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
            let started = MonotonicTime.now
            try await world.wait {
                let isComplete = try await world.isComplete()
                let config = try await world.publishedConfig()
                let key = try await world.publishedKey("secret")
                return isComplete && config != nil && key != nil
            }
            #expect(started.elapsed < .seconds(7))
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

    @Test("an older snapshot never replaces a newer one")
    func olderNeverWins() async throws {
        try await withWorld { world in
            let writer = SnapshotWriter(world.redis, world.codec)
            func config(_ epoch: Int64, _ revision: Int64) -> ConfigSnapshot {
                ConfigSnapshot(
                    version: SnapshotVersion(epoch: epoch, revision: revision),
                    publishedAt: Timestamp(microseconds: 1)
                )
            }
            let versions: [(Int64, Int64, Bool)] = [
                (1, 9, true), (1, 10, true), (1, 9, false), (1, 10, true), (2, 3, true), (1, 999_999, false),
            ]
            for (epoch, revision, isTaken) in versions {
                let taken = try await writer.publish(config(epoch, revision), groupRevisions: [])
                #expect(taken == isTaken, "\(epoch).\(revision)")
            }
            #expect(try await world.publishedConfig()?.version == SnapshotVersion(epoch: 2, revision: 3))

            let account = AccountID(4)
            for (version, expected) in [(5, 5), (3, 5), (6, 6)] as [(Int64, Int64)] {
                try await writer.publish([CredentialEntry(account: account, version: version, sealed: "x")])
                #expect(try await world.publishedCredentials(account)?.version == expected)
            }

            var key = KeySnapshot(
                id: KeyID(1),
                hash: world.hash("s"),
                revision: 7,
                user: UserID(2),
                userRevision: 9,
                group: GroupID(3)
            )
            try await writer.publish([.init(key)], isAnnounced: true)
            for (revision, userRevision) in [(6, 9), (7, 8)] as [(Int64, Int64)] {
                var older = key
                older.revision = revision
                older.userRevision = userRevision
                older.isActive = false
                try await writer.publish([.init(older)], isAnnounced: true)
                #expect(try await world.publishedKey("s") == key)
                #expect(try await world.revision("k1", in: Partition(of: UserID(2))) == 7)
                #expect(try await world.revision("u2", in: Partition(of: UserID(2))) == 9)
            }
            key.userRevision = 10
            try await writer.publish([.init(key)], isAnnounced: true)
            #expect(try await world.publishedKey("s") == key)
        }
    }

    @Test(
        "groups stand whole in every partition, also where Redis forgot between two configurations, or another published"
    )
    func groupsStandWhole() async throws {
        try await withWorld { world in
            let writers = [SnapshotWriter(world.redis, world.codec), SnapshotWriter(world.redis, world.codec)]
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

    @Test("an older publication does not bring a deleted or rotated key back")
    func lateOlderPublication() async throws {
        try await withWorld { world in
            let writer = SnapshotWriter(world.redis, world.codec)
            let old = KeySnapshot(
                id: KeyID(1),
                hash: world.hash("old"),
                revision: 7,
                user: UserID(2),
                userRevision: 9,
                group: GroupID(3)
            )
            var rotated = old
            rotated.hash = world.hash("new")
            rotated.revision = 8
            try await writer.publish([.init(old)], isAnnounced: true)
            try await writer.publish([.init(rotated)], isAnnounced: true)
            #expect(try await world.publishedKey("old") == nil)
            #expect(try await world.publishedKey("new") == rotated)
            try await writer.publish([.init(old)], isAnnounced: true)
            #expect(try await world.publishedKey("old") == nil)
            #expect(try await world.publishedKey("new") == rotated)

            var deleted = rotated
            deleted.revision = 9
            try await writer.publish([.init(deleted, isDeleted: true)], isAnnounced: true)
            #expect(try await world.publishedKey("new") == nil)
            try await writer.publish([.init(rotated)], isAnnounced: true)
            #expect(try await world.publishedKey("new") == nil)
            #expect(try await world.revision("k1", in: Partition(of: UserID(2))) == 9)
        }
    }

    @Test("a rotated key's old entry goes, also when the publisher died before it was removed")
    func rotation() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let user = try await world.addUser()
            let key = try await world.addKey("old", of: user, in: group)
            let publisher = world.publisher()
            try await publisher.healNow()
            let ear = try await world.listen()
            try await world.run(
                "update api_keys set key_hash = $1, revision = nextval('revision_seq') where id = $2",
                [.text(world.hash("new")), .integer(key.raw)]
            )
            // The publisher that died had written the entry and raised the revision.
            let revision = try await world.revision(of: key.raw, in: "api_keys")
            _ = try await world.redis.run(
                PublishScripts.raiseKeys,
                keys: [RedisNames.revisions(Partition(of: user))],
                arguments: [key.description, String(revision), user.description, "1", world.hash("new")]
            )
            try await world.outbox("key", key.raw)
            try await publisher.publishCommitted()
            #expect(try await world.publishedKey("old") == nil)
            #expect(try await world.publishedKey("new")?.id == key)
            try await world.wait { ear.heard.contains(.key(hash: world.hash("old"))) }
            ear.close()
        }
    }

    @Test("a deleted key's entry goes, its revision rises, and workers are told")
    func deletedKey() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let user = try await world.addUser()
            let key = try await world.addKey("secret", of: user, in: group)
            let publisher = world.publisher()
            try await publisher.healNow()
            let before = try #require(try await world.publishedKey("secret"))
            let ear = try await world.listen()
            try await world.notifier(publisher).commit(by: .system) { change in
                try await APIKeyStore.delete(key, on: change.connection)
                change.publish(.key(key))
            }
            #expect(try await world.publishedKey("secret") == nil)
            let revision = try #require(try await world.revision("k\(key)", in: Partition(of: user)))
            #expect(revision > before.revision)
            try await world.wait { ear.heard == [.key(hash: world.hash("secret"))] }
            ear.close()
        }
    }

    @Test("a change of a user reaches all of that user's keys before the user's revision rises")
    func userChange() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let user = try await world.addUser()
            for number in 0..<2300 { _ = try await world.addKey("s\(number)", of: user, in: group) }
            let publisher = world.publisher()
            try await publisher.healNow()
            try await world.notifier(publisher).commit(by: .system) { change in
                try await change.connection.execute(
                    "update users set status = 'disabled', revision = nextval('revision_seq') where id = $1",
                    [.integer(user.raw)]
                )
                change.publish(.user(user))
            }
            let revision = try #require(try await world.revision("u\(user)", in: Partition(of: user)))
            for number in 0..<2300 {
                let key = try await world.publishedKey("s\(number)")
                #expect(key?.isUserActive == false)
                #expect(key?.userRevision == revision)
            }
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

    @Test("control planes that publish at the same time end in the newest state")
    func concurrentPublishers() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let user = try await world.addUser()
            let key = try await world.addKey("secret", of: user, in: group)
            let publishers = (0..<3).map { _ in world.publisher() }
            var running = 0
            for (number, publisher) in publishers.enumerated() {
                running += 1
                world.loop.spawn {
                    let notifier = world.notifier(publisher)
                    for round in 0..<20 {
                        try? await notifier.commit(by: .system) { change in
                            try await change.connection.execute(
                                "update api_keys set rpm = $1, revision = nextval('revision_seq') where id = $2",
                                [.integer(Int64(number * 100 + round)), .integer(key.raw)]
                            )
                            try await change.connection.execute(
                                "update groups set sort_order = $1, revision = nextval('revision_seq') where id = $2",
                                [.integer(Int64(round)), .integer(group.raw)]
                            )
                            change.publish(.key(key))
                            change.publish(.config)
                        }
                    }
                    running -= 1
                }
            }
            try await world.wait { running == 0 }
            let last = try await world.number("select rpm as n from api_keys where id = $1", [.integer(key.raw)])
            #expect(try await world.publishedKey("secret")?.rpm == Int(last))
            let revision = try await world.number("select max(revision) as n from groups")
            #expect(try await world.publishedConfig()?.version.revision == revision)
            #expect(
                try await world.revision("k\(key)", in: Partition(of: user))
                    == world.revision(of: key.raw, in: "api_keys")
            )
        }
    }

    @Test("an account whose proxy is gone is not published: it must not show the gateway's own address")
    func accountWithoutItsProxy() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let account = try await world.addAccount(in: group)
            let proxy = try await world.run(
                "insert into proxies (name, protocol, host, port) values ('p', 'socks5', 'h', 1) returning id"
            )
            try await world.run("update accounts set proxy_id = $1", [.integer(proxy)])
            let publisher = world.publisher()
            try await publisher.healNow()
            #expect(try await world.publishedConfig()?.accounts.first?.proxy?.host == "h")
            try await world.run(
                "update proxies set deleted_at = now(), revision = nextval('revision_seq') where id = $1",
                [.integer(proxy)]
            )
            try await publisher.healNow()
            #expect(try await world.publishedConfig()?.accounts == [])
            #expect(account.raw > 0)
        }
    }

    @Test(
        "settings of Redis that lose records are told",
        arguments: [
            ("noeviction", "yes", "everysec", 0), ("noeviction", "yes", "always", 0),
            ("allkeys-lru", "yes", "always", 1),
            ("noeviction", "no", "everysec", 1), ("noeviction", "yes", "no", 1), ("volatile-ttl", "no", "no", 2),
        ]
    )
    func redisSettings(policy: String, appendOnly: String, sync: String, count: Int) {
        #expect(RedisSettingsCheck.faults(policy: policy, appendOnly: appendOnly, sync: sync).count == count)
    }
}
