import Dialects
import Domain
import HTTPFetching
import HTTPMessages
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

@testable import GatewayKit

/// Callers whose conversations have an account each.
private struct Bench {
    let stand: Stand

    static func options(_ accounts: Int = 3, concurrency: Int = 0, settings: [String: Int64] = [:]) -> Stand.Options {
        var options = Stand.Options()
        options.accounts = accounts
        options.concurrency = concurrency
        options.settings = settings
        return options
    }

    init(_ stand: Stand) {
        self.stand = stand
        for upstream in stand.upstreams { upstream.script = { $0.answer(200, Says.message()) } }
    }

    static func body(session: String) -> String {
        #"{"model":"claude-a","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"metadata":{"user_id":"u_session_\#(session)"}}"#
    }

    /// A session's id of its own for each number.
    static func id(_ number: Int) -> String {
        let digits = String(number)
        return "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits
    }

    static func body(turns: [String]) -> String {
        let messages = turns.enumerated().map { number, text in
            #"{"role":"\#(number.isMultiple(of: 2) ? "user" : "assistant")","content":"\#(text)"}"#
        }
        return #"{"model":"claude-a","max_tokens":9,"system":"s","messages":[\#(messages.joined(separator: ","))]}"#
    }

    /// The number of the account that answered.
    func ask(_ body: String) async throws -> Int {
        let before = stand.upstreams.map(\.calls.count)
        let response = try await stand.post("/v1/messages", body, headers: ["user-agent": "one/1"])
        _ = try await response.text()
        #expect(response.head.status == 200)
        let after = stand.upstreams.map(\.calls.count)
        return try #require(after.indices.last { after[$0] > before[$0] })
    }

    /// Makes this account the best of all.
    func prefer(_ best: Int) async throws {
        stand.changeConfig { config in
            for index in config.accounts.indices { config.accounts[index].priority = index == best ? 0 : 10 + index }
        }
        try await stand.publish()
    }
}

@Suite("Sticky sessions", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct StickyTests {
    @Test("a session stays on its account when another one becomes better, and others do not go there for it")
    func stays() async throws {
        try await standing(Bench.options()) { (stand) async throws in
            let bench = Bench(stand)
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 0)
            try await bench.prefer(2)
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 0)
            #expect(try await bench.ask(Bench.body(session: Bench.id(2))) == 2)
            try await bench.prefer(1)
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 0)
            #expect(try await bench.ask(Bench.body(session: Bench.id(2))) == 2)
            #expect(try await bench.ask(Bench.body(session: Bench.id(3))) == 1)
        }
    }

    @Test("a conversation without a name stays on its account while it grows, also from an earlier turn on")
    func grows() async throws {
        try await standing(Bench.options()) { (stand) async throws in
            let bench = Bench(stand)
            var turns = ["a"]
            #expect(try await bench.ask(Bench.body(turns: turns)) == 0)
            try await bench.prefer(1)
            for number in 0..<5 {
                turns += ["answer \(number)", "question \(number)"]
                #expect(try await bench.ask(Bench.body(turns: turns)) == 0)
            }
            #expect(try await bench.ask(Bench.body(turns: Array(turns.prefix(4)) + ["another question"])) == 0)
            #expect(try await bench.ask(Bench.body(turns: turns)) == 0)
            #expect(try await bench.ask(Bench.body(turns: ["b"])) == 1)
            // One that is seen with several turns at first, and goes on.
            #expect(try await bench.ask(Bench.body(turns: ["c", "d", "e"])) == 1)
            try await bench.prefer(2)
            #expect(try await bench.ask(Bench.body(turns: ["c", "d", "e", "f", "g"])) == 1)
            #expect(try await bench.ask(Bench.body(turns: ["c", "d", "e"])) == 1)
            #expect(try await bench.ask(Bench.body(turns: ["c"])) == 2)
        }
    }

    @Test("calls of a new session that come at once end up on one account")
    func race() async throws {
        try await standing(Bench.options(4)) { (stand) async throws in
            let bench = Bench(stand)
            stand.changeConfig { config in
                for index in config.accounts.indices { config.accounts[index].priority = 5 }
            }
            try await stand.publish()
            for session in 1...10 {
                let done = Countdown(8)
                for _ in 0..<8 {
                    stand.loop.spawn {
                        let response = try? await stand.post("/v1/messages", Bench.body(session: Bench.id(session)))
                        _ = try? await response?.text()
                        #expect(response?.head.status == 200)
                        done.count -= 1
                    }
                }
                await stand.loop.wait { done.count == 0 }
                let used = stand.upstreams.filter { !$0.calls.isEmpty }
                #expect(used.count == 1 && used.first?.calls.count == 8)
                for upstream in stand.upstreams { upstream.forget() }
            }
            try await stand.quiesce()
            for account in 1...4 {
                #expect(try await stand.count("ZCARD", RedisNames.slots(of: AccountID(Int64(account)))) == 0)
            }
            _ = bench
        }
    }

    @Test("groups have bindings of their own")
    func groups() async throws {
        try await standing(Bench.options()) { (stand) async throws in
            let bench = Bench(stand)
            stand.changeConfig { config in
                config.groups.append(GroupSnapshot(id: GroupID(9), revision: 5, name: "h", platform: .anthropic))
                for index in config.accounts.indices { config.accounts[index].groups = [GroupID(2), GroupID(9)] }
            }
            try await stand.publish()
            try await stand.run("HSET", RedisNames.revisions(stand.partition), "g9", "5")
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 0)
            #expect(try await bench.ask(Bench.body(turns: ["a"])) == 0)
            try await bench.prefer(1)
            // The same key, user, program and session in another group.
            stand.change { $0.group = GroupID(9) }
            try await stand.publishKey()
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 1)
            #expect(try await bench.ask(Bench.body(turns: ["a"])) == 1)
            stand.change { $0.group = GroupID(2) }
            try await stand.publishKey()
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 0)
            #expect(try await bench.ask(Bench.body(turns: ["a", "b", "c"])) == 0)
        }
    }

    @Test("a full account is waited for: what becomes free in time is taken")
    func waits() async throws {
        try await standing(Bench.options(concurrency: 1)) { (stand) async throws in
            let bench = Bench(stand)
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 0)
            stand.upstream.script = nil
            stand.loop.spawn { _ = try? await stand.post("/v1/messages", Bench.body(session: Bench.id(2))) }
            let other = try await stand.upstream.call(1)
            let waits = stand.metrics.slotWaits.value
            stand.loop.spawn {
                await stand.loop.wait { stand.metrics.slotWaits.value > waits }
                stand.upstream.script = { $0.answer(200, Says.message()) }
                other.answer(200, Says.message())
            }
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 0)
        }
    }

    @Test("a full account is left after a while, and the session comes back to it later")
    func leaves() async throws {
        try await standing(Bench.options(concurrency: 1, settings: ["sticky_wait_milliseconds": 200])) {
            (stand) async throws in
            let bench = Bench(stand)
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 0)
            stand.upstream.script = nil
            stand.loop.spawn { _ = try? await stand.post("/v1/messages", Bench.body(session: Bench.id(2))) }
            let other = try await stand.upstream.call(1)
            let start = MonotonicTime.now
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 1)
            #expect(start.elapsed >= .milliseconds(200))
            stand.upstream.script = { $0.answer(200, Says.message()) }
            other.answer(200, Says.message())
            try await stand.quiesce()
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 0)
        }
    }

    @Test("a new session does not wait for a full account, nor is it bound to one")
    func newSession() async throws {
        try await standing(Bench.options(concurrency: 1)) { (stand) async throws in
            let bench = Bench(stand)
            stand.upstream.script = nil
            stand.loop.spawn { _ = try? await stand.post("/v1/messages", Bench.body(session: Bench.id(2))) }
            let other = try await stand.upstream.call(0)
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 1)
            #expect(stand.metrics.slotWaits.value == 0)
            other.answer(200, Says.message())
            stand.upstream.script = { $0.answer(200, Says.message()) }
            try await stand.quiesce()
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 1)
        }
    }

    @Test("an account that cannot serve loses its sessions for good", arguments: ["inactive", "moved", "failing"])
    func unbinds(why: String) async throws {
        try await standing(Bench.options()) { (stand) async throws in
            let bench = Bench(stand)
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 0)
            switch why {
            case "inactive": stand.changeConfig { $0.accounts[0].isActive = false }
            case "moved": stand.changeConfig { $0.accounts[0].groups = [GroupID(7)] }
            default: stand.upstream.script = { $0.answer(500, "{}") }
            }
            try await stand.publish()
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 1)
            stand.changeConfig {
                $0.accounts[0].isActive = true
                $0.accounts[0].groups = [GroupID(2)]
            }
            try await stand.publish()
            stand.upstream.script = { $0.answer(200, Says.message()) }
            #expect(try await bench.ask(Bench.body(session: Bench.id(1))) == 1)
        }
    }

    @Test("a call for a model that its account does not serve goes elsewhere, and the session stays")
    func otherModel() async throws {
        try await standing(Bench.options()) { (stand) async throws in
            let bench = Bench(stand)
            stand.changeConfig { $0.accounts[0].modelMapping = ["claude-a": "claude-a"] }
            try await stand.publish()
            let body = Bench.body(session: Bench.id(1))
            #expect(try await bench.ask(body) == 0)
            #expect(try await bench.ask(body.replacing("claude-a", with: "claude-b")) == 1)
            try await bench.prefer(2)
            #expect(try await bench.ask(body) == 0)
        }
    }

    @Test("a binding lives an hour from its last use, which is noted once in a minute")
    func life() async throws {
        try await standing(Bench.options()) { (stand) async throws in
            let bench = Bench(stand)
            _ = try await bench.ask(Bench.body(session: Bench.id(1)))
            _ = try await bench.ask(Bench.body(turns: ["a"]))
            let names = try await stand.run("KEYS", "tg:{s*").array?.compactMap(\.text) ?? []
            let chains = try await stand.run("KEYS", "tg:{k1}:turns:*").array?.compactMap(\.text) ?? []
            #expect(names.count == 2 && chains.count == 1)
            func ask() async throws {
                _ = try await bench.ask(Bench.body(session: Bench.id(1)))
                _ = try await bench.ask(Bench.body(turns: ["a"]))
            }
            for name in names + chains {
                let life = try await stand.count("TTL", name)
                #expect((3600...3660).contains(life))
                try await stand.run("EXPIRE", name, "100")
            }
            try await ask()
            for name in names + chains { #expect(try await stand.count("TTL", name) <= 100) }
            // As a minute later.
            stand.context.sessions.forget()
            let now = try #require(try await stand.run("TIME").array?.first?.integer)
            for chain in chains {
                let turns = try await stand.run("HGETALL", chain).array?.compactMap(\.text) ?? []
                for place in stride(from: 0, to: turns.count, by: 2) {
                    try await stand.run("HSET", chain, turns[place], "\(turns[place + 1].prefix(16))\(now + 3599)")
                }
            }
            try await ask()
            for name in names + chains { #expect(try await stand.count("TTL", name) > 3590) }
        }
    }
}

private final class Countdown {
    var count: Int
    init(_ count: Int) { self.count = count }
}

@Suite(
    "Chains of turns in Redis",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct TurnScriptTests {
    private func find(_ stand: Stand, _ name: String, _ prefixes: [String], keeping: Int = 100) async throws -> String?
    {
        try await stand.redis.run(
            SessionScripts.turns,
            keys: ["tg:{k1}:turns:g2:0"],
            arguments: [name, "3600", "\(keeping)"] + prefixes
        ).text
    }
    private static func name(_ digit: Character) -> String { String(repeating: digit, count: 16) }

    @Test("the longest prefix that came before names the session")
    func longest() async throws {
        try await standing { (stand) async throws in
            let (a, b, c) = (Self.name("a"), Self.name("b"), Self.name("c"))
            #expect(try await find(stand, a, ["2", "1"]) == a)
            #expect(try await find(stand, b, ["y", "x"]) == b)
            #expect(try await find(stand, c, ["4", "3", "2", "1"]) == a)
            #expect(try await find(stand, c, ["4", "3", "2", "1"]) == a)
            #expect(try await find(stand, c, ["5", "y", "4"]) == b)
            #expect(try await find(stand, c, ["1"]) == c)
            #expect(try await find(stand, b, ["6", "1"]) == c)
        }
    }

    @Test("what is past its time is not found, and numbers of it are bounded, the newest kept")
    func bounded() async throws {
        try await standing { (stand) async throws in
            let (a, b) = (Self.name("a"), Self.name("b"))
            try await stand.run("HSET", "tg:{k1}:turns:g2:0", "1", a + "1700000000")
            #expect(try await find(stand, b, ["2", "1"]) == b)
            for number in 10..<100 { _ = try await find(stand, a, ["\(number)"], keeping: 8) }
            #expect(try await stand.count("HLEN", "tg:{k1}:turns:g2:0") == 8)
            #expect(try await find(stand, b, ["x", "99"], keeping: 8) == a)
            #expect(try await find(stand, b, ["z", "1"], keeping: 8) == b)
        }
    }

    @Test("many prefixes at once are looked through")
    func many() async throws {
        try await standing { (stand) async throws in
            let prefixes = (0..<DigestChain.maximumPrefixes).map { "\($0)" }
            #expect(try await find(stand, Self.name("a"), [prefixes[63]]) == Self.name("a"))
            #expect(try await find(stand, Self.name("b"), prefixes) == Self.name("a"))
        }
    }
}

@Suite("Bindings that were used a moment ago")
struct RecentUseTests {
    @Test("a binding is renewed once in a minute, each group's by itself")
    func once() {
        var uses = RecentUses()
        let now = MonotonicTime.now
        func note(_ session: UInt64, _ group: Int64, after: Duration) -> Bool {
            uses.note(session, GroupID(group), at: now + after)
        }
        #expect(note(7, 1, after: .zero))
        #expect(!note(7, 1, after: .seconds(59)))
        #expect(note(7, 2, after: .seconds(59)))
        #expect(note(7, 1, after: .seconds(60)))
        #expect(!note(7, 1, after: .seconds(119)))
        // Of two in the same place the earlier one is forgotten: it is renewed too often, not too rarely.
        #expect(note(7 + 1 << 12, 1, after: .seconds(119)))
        #expect(note(7, 1, after: .seconds(119)))
    }
}

@Suite("What a call does about its session's account")
struct StickyPolicyTests {
    private static let second = MonotonicTime.now
    private static func flag(_ kind: AccountFlag.Kind) -> SkipReason {
        .flagged(AccountFlag(kind, until: nil, setAt: Timestamp(microseconds: 0)))
    }

    @Test(
        "what speaks against the account decides",
        arguments: [
            (nil, .prefer), (Self.flag(.rateLimited), .unbind), (Self.flag(.overloaded), .unbind),
            (Self.flag(.paused), .unbind), (Self.flag(.error), .unbind), (Self.flag(.modelLimited("m")), .leave),
            (.expired, .unbind), (.unschedulable, .unbind), (.inactive, .unbind), (.model, .leave),
            (.halfOpen, .leave), (.requestRate(until: Timestamp(microseconds: 1)), .leave),
        ] as [(SkipReason?, StickyPolicy.Step)]
    )
    func reasons(reason: SkipReason?, expected: StickyPolicy.Step) {
        var account = StickyPolicy.Account()
        account.skipReason = reason
        #expect(StickyPolicy.step(account, patience: .seconds(3), now: Self.second) == expected)
        account.hasFailed = true
        #expect(StickyPolicy.step(account, patience: .seconds(3), now: Self.second) == .unbind)
        account.hasFailed = false
        account.isInService = false
        #expect(StickyPolicy.step(account, patience: .seconds(3), now: Self.second) == .unbind)
    }

    @Test("a full account is waited for just so long")
    func patience() {
        var account = StickyPolicy.Account()
        account.fullSince = Self.second
        func step(_ after: Duration) -> StickyPolicy.Step {
            StickyPolicy.step(account, patience: .seconds(3), now: Self.second + after)
        }
        #expect(step(.zero) == .wait && step(.milliseconds(2999)) == .wait)
        #expect(step(.seconds(3)) == .leave && step(.seconds(9)) == .leave)
        #expect(StickyPolicy.step(account, patience: .zero, now: Self.second) == .leave)
    }
}
