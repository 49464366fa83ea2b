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
            try await world.outbox("key", key.raw)
            try await world.wait { try await world.publishedKey("secret") != nil }
            try await world.wait { ear.heard == [.key(hash: world.hash("secret"))] }
            // Looking everything through would leave it in the outbox.
            try await world.wait { try await world.number("select count(*) as n from outbox") == 0 }
            ear.close()
        }
    }

    @Test("what was not published stays in the outbox")
    func outboxSurvivesFailure() async throws {
        try await withWorld(patience: .seconds(2)) { world in
            let group = try await world.addGroup()
            let key = try await world.addKey("secret", of: world.addUser(), in: group)
            try await world.outbox("key", key.raw)
            let publisher = world.publisher()
            world.server.freeze()
            await #expect(throws: (any Error).self) { try await publisher.publishCommitted() }
            #expect(try await world.number("select count(*) as n from outbox") == 1)
            world.server.thaw()
            #expect(await world.redis.waitUntilConnected(.seconds(60)))
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

    @Test("an older snapshot never replaces a newer one")
    func olderNeverWins() async throws {
        try await withWorld { world in
            let writer = SnapshotWriter(world.redis, [world.codec])
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
