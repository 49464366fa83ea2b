import Crypto
import Decisions
import Domain
import GatewayKit
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

@Suite("API keys on a miss", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct KeyStoreTests {
    private func isKnown(_ answer: KeyStore.Answer?) -> Bool { if case .known? = answer { true } else { false } }
    private func isUnknown(_ answer: KeyStore.Answer?) -> Bool { if case .unknown? = answer { true } else { false } }
    private func isUnavailable(_ answer: KeyStore.Answer?) -> Bool {
        if case .unavailable? = answer { true } else { false }
    }

    @Test("a key comes from Redis, and then from memory")
    func fromRedis() async throws {
        try await standing { (stand) async throws in
            let keys = stand.context.keys
            #expect(keys.cached(stand.key.hash) == nil)
            #expect(isKnown(await keys.lookUp(stand.key.hash)))
            #expect(isKnown(keys.cached(stand.key.hash)))
            #expect(stand.control.asked.isEmpty)
        }
    }

    @Test("a key is found by its text until it changes; one that changed while it was looked up is not remembered so")
    func byText() async throws {
        try await standing { (stand) async throws in
            let keys = stand.context.keys
            let text = Array("tg-4f9cKq27LrWm0ZtYx8".utf8)
            func recent(_ text: [UInt8]) -> ServingKey? { text.withUnsafeBytes { keys.recent($0) } }
            guard case .known(let key) = await keys.lookUp(stand.key.hash) else {
                Issue.record("the key is not there")
                return
            }
            #expect(recent(text) == nil)
            keys.note(key, presentedAs: text)
            #expect(recent(text) === key)
            var other = text
            other[other.count - 1] ^= 1
            #expect(recent(other) == nil && recent([]) == nil && recent(Array(text.prefix(5))) == nil)
            keys.forget(stand.key.hash)
            #expect(recent(text) == nil)
            keys.note(key, presentedAs: text)
            #expect(recent(text) == nil)
        }
    }

    @Test("while Redis knows all keys the control plane is not asked; unknown ones are remembered and forgotten")
    func unknown() async throws {
        try await standing { (stand) async throws in
            let keys = stand.context.keys
            let hash = APIKeyFormat.hash("nobody's")
            #expect(isUnknown(await keys.lookUp(hash)))
            #expect(isUnknown(keys.cached(hash)))
            keys.forget(hash)
            #expect(keys.cached(hash) == nil && stand.control.asked.isEmpty)
        }
    }

    @Test(
        "without the marker, or with a text that cannot be read, the control plane knows",
        arguments: [
            "no marker", "forged", "of another key", "empty",
        ]
    )
    func fromControlPlane(what: String) async throws {
        try await standing { (stand) async throws in
            let hash = stand.key.hash
            stand.control.keys = [hash: stand.codec.encode(stand.key)]
            var other = stand.key
            other.hash = "other"
            switch what {
            case "no marker": try await stand.run("DEL", RedisNames.keysComplete, RedisNames.key(hash: hash))
            case "forged":
                let forged = stand.string(stand.codec.encode(stand.key)).dropLast() + " }"
                try await stand.run("SET", RedisNames.key(hash: hash), String(forged))
            case "empty": try await stand.run("SET", RedisNames.key(hash: hash), "")
            default: try await stand.run("SET", RedisNames.key(hash: hash), stand.string(stand.codec.encode(other)))
            }
            #expect(isKnown(await stand.context.keys.lookUp(hash)))
            #expect(stand.control.asked == ["/internal/v1/keys/\(hash)"])
            stand.control.keys = [:]
            try await stand.run("DEL", RedisNames.keysComplete)
            #expect(isUnknown(await stand.context.keys.lookUp("none")))
            #expect(isUnknown(stand.context.keys.cached("none")))
        }
    }

    @Test("with nobody to ask a known key goes on, an unseen one is unavailable and not remembered as unknown")
    func nobody() async throws {
        try await standing { (stand) async throws in
            let keys = stand.context.keys
            _ = await keys.lookUp(stand.key.hash)
            _ = await stand.control.server.drain(deadline: .zero)
            try await stand.run("FLUSHALL")
            #expect(isKnown(await keys.lookUp(stand.key.hash)))
            #expect(isUnavailable(await keys.lookUp("unseen")))
            #expect(keys.cached("unseen") == nil)
            let other = APIKeyFormat.generate { SecureRandom.bytes($0) }
            let refused = try await stand.get("/v1/models", headers: ["x-api-key": other])
            #expect(refused.status == 503)
        }
    }

    @Test("Redis' memory gone and the control plane away: known keys are served on")
    func lenient() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            #expect(try await stand.ask().head.status == 200)
            _ = await stand.control.server.drain(deadline: .zero)
            try await stand.run("FLUSHALL")
            #expect(try await stand.ask().head.status == 200)
            #expect(try await stand.get("/v1/models").status == 200)
        }
    }

    @Test("those who ask for one key together share one look-up")
    func shared() async throws {
        try await standing { (stand) async throws in
            try await stand.run("DEL", RedisNames.keysComplete, RedisNames.key(hash: stand.key.hash))
            stand.control.keys = [stand.key.hash: stand.codec.encode(stand.key)]
            let keys = stand.context.keys
            let hash = stand.key.hash
            let asked = (0..<100).map { _ in stand.loop.start { await keys.lookUp(hash) } }
            for promise in asked { #expect(isKnown(try await promise.wait())) }
            #expect(stand.control.asked.count == 1)
        }
    }

    @Test("a flood of keys that nobody has costs the control plane nothing and ends by itself")
    func flood() async throws {
        try await standing { (stand) async throws in
            let keys = stand.context.keys
            let asked = (0..<2000).map { number in stand.loop.start { await keys.lookUp("unknown\(number)") } }
            for promise in asked { #expect(!isKnown(try await promise.wait())) }
            #expect(stand.control.asked.isEmpty)
            #expect(isKnown(await keys.lookUp(stand.key.hash)))
            #expect(isUnknown(await keys.lookUp("unknown1999")))
        }
    }

    @Test("a flood from one address is refused after a few keys, also with nobody sure of them; others are let in")
    func floodFromOne() async throws {
        try await standing { (stand) async throws in
            stand.config.security.trustedProxies = ["127.0.0.1"]
            try await stand.publish()
            try await stand.run("DEL", RedisNames.keysComplete)
            var statuses: [Int: Int] = [:]
            let start = MonotonicTime.now
            for _ in 0..<300 {
                let key = APIKeyFormat.generate { SecureRandom.bytes($0) }
                let answer = try await stand.get(
                    "/v1/models",
                    headers: ["x-api-key": key, "x-forwarded-for": "10.1.1.1"]
                )
                statuses[answer.status, default: 0] += 1
                if answer.status == 429 {
                    #expect(answer.headers["retry-after"] == "1")
                    #expect(answer.headers["x-tollgate-code"] == "rate_limited")
                }
            }
            // One more for each half second that a busy machine takes.
            let most = 40 + Int(start.elapsed / .milliseconds(500))
            #expect((statuses[401] ?? 0) <= most && (statuses[429] ?? 0) >= 290 - most)
            #expect(stand.control.asked.count <= most)
            // A good key that this worker has not seen yet, from elsewhere; and, known by now, from the flooding address.
            #expect(try await stand.get("/v1/models", headers: ["x-forwarded-for": "10.1.1.2"]).status == 200)
            #expect(try await stand.get("/v1/models", headers: ["x-forwarded-for": "10.1.1.1"]).status == 200)
            let other = APIKeyFormat.generate { SecureRandom.bytes($0) }
            let elsewhere = try await stand.get(
                "/v1/models",
                headers: ["x-api-key": other, "x-forwarded-for": "::ffff:10.1.1.3"]
            )
            #expect(elsewhere.status == 401)
        }
    }

    @Test("a flood from everywhere asks the control plane so often and no more, and known keys are served")
    func floodFromEverywhere() async throws {
        try await standing { (stand) async throws in
            let keys = stand.context.keys
            _ = await keys.lookUp(stand.key.hash)
            try await stand.run("DEL", RedisNames.keysComplete)
            var asked: [Promise<KeyStore.Answer>] = []
            let start = MonotonicTime.now
            for number in 0..<2000 {
                let address = [
                    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 9, UInt8(number >> 8), UInt8(number & 255),
                ]
                asked.append(stand.loop.start { await keys.lookUp("unknown\(number)", from: address) })
                if asked.count == 100 {
                    for promise in asked { _ = try await promise.wait() }
                    asked = []
                }
            }
            // One more for each 20 ms that a busy machine takes.
            #expect(stand.control.asked.count <= 400 + Int(start.elapsed / .milliseconds(20)))
            #expect(isKnown(keys.cached(stand.key.hash)))
        }
    }

    @Test("a change during a look-up: its answer counts for those who asked, and is not remembered")
    func changedMeanwhile() async throws {
        try await standing { (stand) async throws in
            let keys = stand.context.keys
            let asked = stand.loop.start { await keys.lookUp(stand.key.hash) }
            keys.forget(stand.key.hash)
            #expect(isKnown(try await asked.wait()))
            #expect(keys.cached(stand.key.hash) == nil)
            let unknown = stand.loop.start { await keys.lookUp("new") }
            keys.forget("new")
            #expect(isUnknown(try await unknown.wait()))
            #expect(keys.cached("new") == nil)
        }
    }

    @Test("a key that was changed, disabled or moved is enforced by its next call, announced or not")
    func changed() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            let count = Array(#"{"model":"claude-a","messages":[]}"#.utf8)
            func all() async throws -> [Int] {
                [
                    try await stand.ask().head.status,
                    try await stand.caller.send(stand.request("POST", "/v1/messages/count_tokens", body: count)).head
                        .status,
                    try await stand.get("/v1/models").status, try await stand.get("/v1/usage").status,
                ]
            }
            // A refusal is not looked at again for a second: nothing announces these changes.
            stand.control.usage = "{}"
            #expect(try await all() == [200, 200, 200, 200])
            stand.change { $0.isActive = false }
            try await stand.publishKey()
            #expect(try await all() == [401, 401, 401, 401])
            stand.change {
                $0.isActive = true
                $0.expiresAt = Timestamp(microseconds: 1)
            }
            try await stand.publishKey()
            try await stand.until(within: .seconds(10)) { try await all() == [403, 403, 403, 200] }
            stand.change {
                $0.expiresAt = nil
                $0.ipWhitelist = ["10.0.0.0/8"]
            }
            try await stand.publishKey()
            try await stand.until(within: .seconds(10)) { try await all() == [403, 403, 403, 403] }
            stand.change { $0.ipWhitelist = [] }
            try await stand.publishKey()
            try await stand.until(within: .seconds(10)) { try await all() == [200, 200, 200, 200] }
            try await stand.quiesce()
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
        }
    }

    @Test("a key that is enabled again without a word is served again by each route, whoever asks first")
    func enabledUnheard() async throws {
        try await standing { (stand) async throws in
            stand.control.usage = "{}"
            for path in ["/v1/usage", "/v1/models"] {
                stand.change { $0.isActive = false }
                try await stand.publishKey()
                #expect(try await stand.get(path).status == 401)
                stand.change { $0.isActive = true }
                try await stand.publishKey()
                let start = MonotonicTime.now
                while try await stand.get(path).status != 200 {
                    try #require(start.elapsed < .seconds(10), "\(path)")
                    await stand.loop.sleep(.milliseconds(50))
                }
            }
        }
    }

    @Test("a call that meets a newer group waits for its configuration and is judged by it")
    func changedGroup() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            stand.changeConfig { $0.groups[0].revision += 1 }
            try await stand.raiseRevisions()
            let asked = stand.loop.start { try await stand.ask() }
            await stand.loop.wait { stand.metrics.staleKeys.value >= 1 }
            #expect(!asked.isFulfilled)
            stand.changeConfig { $0.groups[0].modelAllowlist = ["claude-b"] }
            stand.context.config = GatewayConfig(stand.config)
            #expect(try await asked.wait().head.status == 403)
            #expect(stand.upstream.calls.isEmpty)
        }
    }

    @Test("a key moved to another group is served and billed there")
    func moved() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            #expect(try await stand.ask().head.status == 200)
            stand.changeConfig {
                $0.groups.append(GroupSnapshot(id: GroupID(9), revision: 5, name: "h", platform: .anthropic))
                $0.accounts[0].groups.append(GroupID(9))
            }
            stand.change { $0.group = GroupID(9) }
            try await stand.publish()
            #expect(try await stand.ask().head.status == 200)
            #expect(try await stand.records(2).map(\.group) == [GroupID(2), GroupID(9)])
        }
    }
}
