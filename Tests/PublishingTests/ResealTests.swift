import ControlKit
import Crypto
import Domain
import Formats
import HTTPFetching
import HTTPServing
import Postgres
import Providers
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

@Suite("Rotation of the master key", .enabled(if: canRun, requirement))
struct ResealTests {
    private static func key(_ id: String, _ byte: UInt8) -> String {
        "\(id):" + Base64.encode([UInt8](repeating: byte, count: 32))
    }

    private static func ring(_ keys: String...) throws -> MasterKeyRing {
        try MasterKeyRing(keys.joined(separator: ","))
    }

    private func resealer(_ world: World, _ keys: MasterKeyRing) -> Resealer {
        let changes = world.notifier(world.publisher())
        return Resealer(world.pool, world.redis, changes, keys, log: world.log, metrics: world.metrics)
    }

    private func addAccount(_ number: Int64, under ring: MasterKeyRing, in group: GroupID, _ world: World) async throws
    {
        var draft = AccountDraft()
        (draft.name, draft.groups) = ("a\(number)", [group.raw])
        let id = AccountID(number)
        let edit = CredentialEdit(plain: [:], sealedFields: ["api_key"], newSecrets: ["api_key": "sk-\(number)"])
        let sealed = try CredentialSealing(ring).apply(edit, to: nil, of: id)
        try await world.pool.withConnection { try await AccountStore.insert(id, draft, sealed, on: $0) }
    }

    private func account(_ number: Int64, _ world: World) async throws -> AccountRecord {
        try #require(try await world.pool.withConnection { try await AccountStore.find(AccountID(number), on: $0) })
    }

    @Test("secrets come under the new key and are published; the old key can go, and what nobody opens stays")
    func pass() async throws {
        try await withWorld { world in
            let old = try Self.ring(Self.key("old", 1))
            let both = try Self.ring(Self.key("new", 2), Self.key("old", 1))
            let new = try Self.ring(Self.key("new", 2))
            let group = try await world.addGroup()
            for (number, ring) in [(1, old), (2, both), (3, try Self.ring(Self.key("lost", 3)))] {
                try await addAccount(Int64(number), under: ring, in: group, world)
            }
            var proxy = ProxyDraft()
            (proxy.name, proxy.host, proxy.port) = ("p", "proxy.example", 1)
            let password = SealedBox.seal(
                Secret("secret"),
                for: ProxySnapshot.passwordSealingContext(of: ProxyID(1)),
                with: old,
                nonce: SecureRandom.bytes(SealedBox.nonceBytes)
            )
            try await world.pool.withConnection {
                try await ProxyStore.insert(ProxyID(1), proxy, sealedPassword: password, on: $0)
            }
            let outcome = try await resealer(world, both).run()
            #expect(outcome == Resealer.Outcome(resealed: 2, unreadable: 1))
            // A second pass has nothing left to do.
            #expect(try await resealer(world, both).run() == Resealer.Outcome(resealed: 0, unreadable: 1))
            #expect(world.metrics.render().contains("tollgate_sealed_unreadable 1"))

            let account = try await account(1, world)
            #expect(SealedBox.keyID(of: account.credentials.sealed) == "new")
            #expect(account.credentials.version == 2 && account.refresh.secretsVersion == 1)
            #expect(
                try CredentialSealing(new).open(account.credentials.sealed, of: AccountID(1)) == ["api_key": "sk-1"]
            )
            let entry = try #require(try await world.publishedCredentials(AccountID(1)))
            #expect(try CredentialSealing(new).open(entry.sealed, of: AccountID(1)) == ["api_key": "sk-1"])
            #expect(SnapshotVersion(stamp: entry.secretsVersion).revision == 1)
            let stored = try #require(
                try await world.pool.withConnection { try await ProxyStore.find(ProxyID(1), on: $0) }
            )
            #expect(try stored.server(new).password == "secret")
            let lost = try await self.account(3, world)
            #expect(lost.credentials.version == 1 && SealedBox.keyID(of: lost.credentials.sealed) == "lost")
        }
    }

    @Test("the new key seals once every process that lives can open with it, and then everything comes under it")
    func whenAllHaveIt() async throws {
        try await withWorld { world in
            let old = Self.key("old", 1)
            let both = try Self.ring(Self.key("new", 2), old)
            try await addAccount(1, under: try Self.ring(old), in: try await world.addGroup(), world)
            let rotation = KeyRotation(
                world.loop,
                world.redis,
                both,
                resealer(world, both),
                log: world.log,
                metrics: world.metrics
            )
            func worker(_ keys: [String]) async throws {
                let sign = NodeSign(id: "worker-1", kind: "worker", startedAt: 1, masterKeys: keys)
                for command in sign.commands { _ = try await world.redis.send(RedisCommand(command)) }
            }
            // Before anybody was looked at.
            #expect(both.currentID == "old")
            try await worker(["old"])
            try await rotation.run()
            #expect(both.currentID == "old")
            #expect(world.metrics.render().contains("tollgate_nodes_without_master_key 1"))
            #expect(SealedBox.keyID(of: try await account(1, world).credentials.sealed) == "old")
            // A copy of the ring seals as the others do.
            let copy = both
            try await worker(["old", "new"])
            try await rotation.run()
            #expect(both.currentID == "new" && copy.currentID == "new")
            #expect(world.metrics.render().contains("tollgate_nodes_without_master_key 0"))
            #expect(SealedBox.keyID(of: try await account(1, world).credentials.sealed) == "new")
            // One that comes back with the old key alone must be able to read: so long the old key seals.
            try await worker(["old"])
            try await rotation.run()
            #expect(SealedBox.keyID(of: try await account(1, world).credentials.sealed) == "old")
            // It ends: its sign is over.
            _ = try await world.redis.send(RedisCommand(["DEL", RedisNames.node("worker-1")]))
            try await rotation.run()
            #expect(SealedBox.keyID(of: try await account(1, world).credentials.sealed) == "new")
            #expect(try await LiveNodes.read(world.redis).map(\.kind) == ["control"])
            // One with other keys altogether changes nothing.
            try await worker(["other"])
            try await rotation.run()
            #expect(both.currentID == "new")
        }
    }

    @Test("beside renewals and an admin's edits nothing is lost: each token is the newest, each edit stands")
    func besideOthers() async throws {
        try await withTokens { exchange, form, _, _ in
            let name = (form["refresh_token"] ?? "").replacing("rt-0-", with: "")
            TokenServer.answer(
                exchange,
                200,
                ["access_token": .string("at-1-\(name)"), "refresh_token": .string("rt-1-\(name)"), "expires_in": 3600]
            )
        } _: { tokens in
            let world = tokens.world
            let both = try Self.ring(
                Self.key("k2", 6),
                "k1:" + Base64.encode([UInt8](repeating: 5, count: 32))
            )
            let count = 12
            for number in 2...(count + 1) {
                let secrets = ["access_token": "at-0", "refresh_token": "rt-0-\(number)"]
                try await tokens.add(AccountID(Int64(number)), "a\(number)", secrets: secrets)
            }
            let refresher = try Refresher(world, OAuthClients(), keys: both)
            let resealer = resealer(world, both)
            let sealing = CredentialSealing(both)
            _ = try await tokens.together(3 * count) { index in
                let id = AccountID(Int64(index / 3 + 2))
                switch index % 3 {
                case 0: _ = await refresher.runner.renew(id, newerThan: 1)
                case 1: _ = try await resealer.run()
                default:
                    // An edit of what is no secret, by compare-and-set until it succeeds.
                    var isWritten = false
                    while !isWritten {
                        let stored = try await tokens.record(id).credentials
                        var edit = CredentialEdit(
                            plain: stored.plain,
                            sealedFields: stored.sealedFields,
                            newSecrets: [:]
                        )
                        edit.plain["base_url"] = "https://\(id).example"
                        let made = try sealing.apply(edit, to: stored, of: id)
                        isWritten = try await world.pool.withConnection {
                            try await AccountStore.replaceCredentials(
                                of: id,
                                with: made,
                                ifVersion: stored.version,
                                hasNewSecrets: false,
                                on: $0
                            )
                        }
                    }
                }
            }
            _ = try await resealer.run()
            let new = CredentialSealing(try Self.ring(Self.key("k2", 6)))
            for number in 2...(count + 1) {
                let id = AccountID(Int64(number))
                let record = try await tokens.record(id)
                #expect(record.credentials.plain["base_url"] == "https://\(id).example")
                let secrets = try new.open(record.credentials.sealed, of: id)
                #expect(secrets == ["access_token": "at-1-\(number)", "refresh_token": "rt-1-\(number)"])
            }
            #expect(tokens.server.count == count)
            refresher.close()
        }
    }

    @Test("the note of a renewal that was cut off comes under the new key too, and is still found")
    func notes() async throws {
        try await withTokens { exchange, _, count, _ in
            TokenServer.tokens(exchange, count)
        } _: { tokens in
            let world = tokens.world
            let both = try Self.ring(Self.key("k2", 6), "k1:" + Base64.encode([UInt8](repeating: 5, count: 32)))
            var note = RotationNote(using: Secret("rt-0"), at: Timestamp(microseconds: 1))
            note.tokens = TokenSet(
                accessToken: Secret("at-x"),
                refreshToken: Secret("rt-x"),
                expiresAt: nil,
                fields: [:]
            )
            try await RotationNotes(world.redis, tokens.keys).write(note, tokens.account)
            let outcome = try await resealer(world, both).run()
            #expect(outcome.unreadable == 0 && outcome.resealed == 2)
            let name = "tg:{a1}:rotation"
            #expect(try await world.redis.send(RedisCommand(["GET", name])).text?.hasPrefix("v1.k2.") == true)
            #expect(try #require(try await world.redis.send(RedisCommand(["TTL", name])).integer) > 0)
            let plane = try Refresher(world, OAuthClients(), keys: try Self.ring(Self.key("k2", 6)))
            guard case .fresh = await plane.runner.renew(tokens.account, newerThan: 1) else {
                Issue.record("the note was not used")
                return
            }
            #expect(tokens.server.count == 0)
            plane.close()
        }
    }
}

@Suite("Signs of life")
struct NodeSignTests {
    @Test("a sign is read as it was written; what is none is none, and an older one names no keys")
    func roundTrip() {
        let sign = NodeSign(id: "worker-1", kind: "worker", startedAt: 5, snapshot: "1.2", masterKeys: ["a", "b"])
        #expect(NodeSign(Array(sign.text.utf8)) == sign)
        #expect(NodeSign(Array("{}".utf8)) == nil && NodeSign([0xff]) == nil && NodeSign([]) == nil)
        let older = NodeSign(Array(#"{"id":"w","kind":"worker","format":1}"#.utf8))
        #expect(older?.masterKeys == [] && older?.format == 1)
    }

    @Test("the first of our keys that all can open with is chosen; none is no choice")
    func choice() {
        func node(_ keys: String...) -> NodeSign { NodeSign(id: "n", kind: "worker", startedAt: 0, masterKeys: keys) }
        #expect(SealingKeyChoice.choose(["new", "old"], []) == "new")
        #expect(SealingKeyChoice.choose(["new", "old"], [node("old", "new"), node("new")]) == "new")
        #expect(SealingKeyChoice.choose(["new", "old"], [node("old", "new"), node("old")]) == "old")
        #expect(SealingKeyChoice.choose(["new", "old"], [node("new"), node("old")]) == nil)
    }
}
