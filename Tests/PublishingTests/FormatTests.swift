import ControlKit
import Domain
import HTTPMessages
import Postgres
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

/// What stands in Redis in one format.
private struct Standing: Equatable {
    var config: Bool
    var key: Int64?
    var credentials: Bool
    var isComplete: Bool

    static let none = Standing(config: false, key: nil, credentials: false, isComplete: false)
}

extension World {
    fileprivate func standing(_ format: Int, key secret: String, _ account: AccountID) async throws -> Standing {
        let codec = SnapshotCodec(signer, format: format)
        let name = hash(secret)
        func get(_ name: String) async throws -> [UInt8]? { try await redis.send(RedisCommand(["GET", name])).bytes }
        return Standing(
            config: try await get(RedisNames.config(format: format)).map { try codec.decodeConfig($0) } != nil,
            key: try await get(RedisNames.key(hash: name, format: format))
                .map { try codec.decodeKey($0, hash: name).revision },
            credentials: try await get(RedisNames.credentials(of: account, format: format))
                .map { try codec.decodeCredentials($0, account: account) } != nil,
            isComplete: try await get(RedisNames.keysComplete(format: format)) != nil
        )
    }

    /// What a live worker does once a second.
    fileprivate func announce(_ format: Int) async throws {
        let script = RedisScript(name: "announce_format", source: SnapshotFormatScripts.announce)
        _ = try await redis.run(script, keys: [RedisNames.formats], arguments: [String(format)])
    }

    /// As though no worker had said a word for longer than counts.
    fileprivate func age(_ format: Int) async throws {
        let time = try await redis.send(RedisCommand(["TIME"])).array?.first?.integer ?? 0
        let last = time - Int64(SnapshotFormat.lifetime) - 1
        _ = try await redis.send(RedisCommand(["ZADD", RedisNames.formats, String(last), String(format)]))
    }

    fileprivate func change(_ key: KeyID, _ publisher: SnapshotPublisher) async throws -> Int64 {
        try await run("update api_keys set revision = revision + 1 where id = $1", [.integer(key.raw)])
        try await outbox("key", key.raw)
        try await outbox("config")
        try await publisher.publishCommitted()
        return try await revision(of: key.raw, in: "api_keys")
    }
}

/// A rolling upgrade, with a next version whose format is 2.
@Suite("Formats of what is published", .enabled(if: canRun, requirement))
struct FormatTests {
    @Test("this version's workers are served by the next one's control plane, and again after the last had gone")
    func older() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let account = try await world.addAccount(in: group)
            let key = try await world.addKey("secret", of: world.addUser(), in: group)
            let next = world.publisher(formats: [2, 1])
            func standing(_ format: Int) async throws -> Standing {
                try await world.standing(format, key: "secret", account)
            }
            // Nobody reads the older one.
            try await next.healNow()
            let first = try await world.revision(of: key.raw, in: "api_keys")
            let whole = Standing(config: true, key: first, credentials: true, isComplete: true)
            #expect(try await standing(2) == whole)
            #expect(try await standing(1) == .none)
            // A worker of this version starts.
            try await world.announce(1)
            try await next.healNow()
            #expect(try await standing(1) == whole)
            // A change reaches both.
            let second = try await world.change(key, next)
            #expect(second > first)
            for format in [1, 2] {
                #expect(
                    try await standing(format)
                        == Standing(config: true, key: second, credentials: true, isComplete: true)
                )
            }
            // The last one goes: what changes is not left behind in its format.
            try await world.age(1)
            try await next.healNow()
            let third = try await world.change(key, next)
            #expect(try await standing(1) == Standing(config: false, key: nil, credentials: true, isComplete: false))
            #expect(try await standing(2).key == third)
            // One comes back.
            try await world.announce(1)
            try await next.healNow()
            #expect(try await standing(1) == Standing(config: true, key: third, credentials: true, isComplete: true))
        }
    }

    @Test("a change by this version's control plane leaves the next one's workers nothing that is over")
    func newer() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            let account = try await world.addAccount(in: group)
            let key = try await world.addKey("secret", of: world.addUser(), in: group)
            let next = world.publisher(formats: [2, 1])
            let ours = world.publisher()
            for format in [1, 2] { try await world.announce(format) }
            try await next.healNow()
            try await ours.healNow()
            let first = try await world.standing(2, key: "secret", account)
            #expect(first.isComplete && first.config)
            let changed = try await world.change(key, ours)
            #expect(try await world.standing(1, key: "secret", account).key == changed)
            // Missing, and not unknown: its worker asks a control plane.
            let over = try await world.standing(2, key: "secret", account)
            #expect(over == Standing(config: false, key: nil, credentials: true, isComplete: false))
            try await next.healNow()
            let healed = Standing(config: true, key: changed, credentials: true, isComplete: true)
            #expect(try await world.standing(2, key: "secret", account) == healed)
            #expect(try await world.standing(1, key: "secret", account) == healed)
        }
    }

    @Test("a worker that asks is answered in the format it reads, and told where that cannot be written")
    func internalAPI() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            _ = try await world.addKey("secret", of: world.addUser(), in: group)
            let api = world.internalAPI(world.publisher(formats: [2, 1]))
            let hash = world.hash("secret")
            for format in [1, 2] {
                var head = HTTPRequestHead.get("/internal/v1/keys/\(hash)")
                head.headers.add(SnapshotFormat.field, String(format))
                let answer = try await api.answer(head, body: [])
                let codec = SnapshotCodec(world.signer, format: format)
                try #require(answer.status == 200)
                _ = try codec.decodeKey(answer.body, hash: hash)
            }
            for format in ["3", "0", "", "x", "99999999999999999999"] {
                var head = HTTPRequestHead.get("/internal/v1/keys/\(hash)")
                head.headers.add(SnapshotFormat.field, format)
                #expect(try await api.answer(head, body: []).status == 406)
            }
        }
    }
}
