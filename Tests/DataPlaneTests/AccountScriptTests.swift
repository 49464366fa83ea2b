import Domain
import GatewayKit
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

/// One account's scripts, as several workers would run them.
private struct Bench {
    static let account = AccountID(1)
    let stand: Stand
    var redis: RedisClient { stand.redis }
    private var marks: String { RedisNames.marks(of: Self.account) }

    /// Redis' own time.
    func now() async throws -> Timestamp {
        Timestamp(microseconds: try await stand.redis.time())
    }

    func mark(_ effects: AccountEffect..., began: Timestamp? = nil) async throws -> [Int64] {
        let began = if let began { began } else { try await now() }
        let answer = try await redis.run(
            AccountScripts.mark,
            keys: [marks],
            arguments: ["\(began.microseconds)"] + effects.compactMap { $0.marking(because: .success) }.flatMap { $0 }
        )
        return answer.array?.dropFirst().compactMap(\.integer) ?? []
    }

    func clear(_ fields: String..., began: Timestamp? = nil) async throws -> [String] {
        let began = if let began { began } else { try await now() }
        let answer = try await redis.run(
            AccountScripts.clear,
            keys: [marks],
            arguments: ["\(began.microseconds)"] + fields
        )
        return answer.array?.dropFirst().compactMap(\.text) ?? []
    }

    func read() async throws -> AccountMarks { AccountMarks(try await stand.run("HGETALL", marks)) }

    func acquire(
        _ id: String,
        limit: Int = 0,
        rate: Int = 0,
        model: String = "m",
        isGuard: Bool = false
    ) async throws -> SlotAnswer {
        let answer = try await redis.run(
            AccountScripts.acquire,
            keys: [RedisNames.slots(of: Self.account)],
            arguments: ["\(limit)", "30000", id, "model:\(model)", "\(rate)", isGuard ? "guard" : ""]
        )
        return try #require(SlotAnswer(answer))
    }

    func endProbe(_ id: String, isTaken: Bool) async throws -> Int64? {
        try await redis.run(
            AccountScripts.endProbe,
            keys: [marks, RedisNames.probes(of: Self.account)],
            arguments: [id, isTaken ? "1" : "0"]
        ).integer
    }

    /// A flag that ended just now.
    func markEnded() async throws {
        let now = try await now()
        _ = try await mark(.rateLimited(until: now + .microseconds(1), isGuessed: false))
    }
}

extension SlotAnswer {
    fileprivate var word: String {
        switch self {
        case .granted(let grant, _): grant.marks == nil ? "granted" : grant.entry.rawValue
        case .full: "full"
        case .tooManyRequests: "rate"
        case .halfOpen: "refused as half open"
        case .flagged: "flagged"
        case .quotaSpent(let kind, _): "quota_\(kind)"
        case .quotaForgotten: "forgotten"
        }
    }
}

@Suite(
    "What stands of an account in Redis",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct AccountScriptTests {
    private static let effects: [(AccountEffect, String)] = {
        let end = Timestamp(microseconds: 4_000_000_000_000_000)
        return [
            (.rateLimited(until: end, isGuessed: true), "rate_limited"),
            (.overloaded(until: end), "overloaded"),
            (.paused(until: end, .rule, reason: "status 500: it says \"no\""), "temp_unschedulable"),
            (.error(AccountError("403: verify you", .validation, validationURL: "https://x.y/z?a=b")), "error"),
            (.modelLimited("m", until: end), "model:m"),
        ]
    }()

    @Test("each flag keeps calls away and says all that was known of it", arguments: 0..<5)
    func flags(number: Int) async throws {
        let (effect, field) = Self.effects[number]
        try await standing { (stand) async throws in
            let bench = Bench(stand: stand)
            #expect(try await bench.acquire("r1").word == "granted")
            #expect(try await bench.mark(effect) == [1])
            guard case .flagged(let marks) = try await bench.acquire("r2") else {
                Issue.record("was let in")
                return
            }
            let flag = try #require(marks.flags.first)
            var expected = try #require(AccountFlag(effect, setAt: flag.setAt))
            expected.setAt = flag.setAt
            #expect(marks.flags == [expected] && flag.kind.field == field)
            #expect(try await bench.now() - flag.setAt < .seconds(10))
            let count = try await stand.count("ZCARD", RedisNames.slots(of: Bench.account))
            #expect(count == 1)
        }
    }

    @Test("a limit of another model keeps nobody away, and its end is told")
    func otherModel() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand: stand)
            let end = try await bench.now() + .seconds(60)
            _ = try await bench.mark(.modelLimited("a b", until: end))
            #expect(try await bench.acquire("r1", model: "a b").word == "flagged")
            guard case .granted(let grant, _) = try await bench.acquire("r2", model: "a") else {
                Issue.record("was refused")
                return
            }
            #expect(grant.marks?.flags.first?.kind == .modelLimited("a b") && grant.entry == .plain)
        }
    }

    @Test("of many limited models those that last longest are kept: callers name them as they like")
    func manyModels() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand: stand)
            let now = try await bench.now()
            _ = try await bench.mark(.overloaded(until: now + .seconds(60)))
            for number in 0..<100 {
                let end = now + .seconds(100 + Int64(number))
                #expect(try await bench.mark(.modelLimited("m\(number)", until: end)) == [1])
            }
            let kinds = try await bench.read().flags.map(\.kind)
            #expect(kinds.count <= 65 && kinds.contains(.overloaded) && kinds.contains(.modelLimited("m99")))
            #expect(!kinds.contains(.modelLimited("m0")))
        }
    }

    @Test("a longer flag is never replaced by a shorter one, a shorter one is by a longer")
    func longer() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand: stand)
            let now = try await bench.now()
            #expect(try await bench.mark(.overloaded(until: now + .seconds(60))) == [1])
            #expect(try await bench.mark(.overloaded(until: now + .seconds(50))) == [])
            #expect(try await bench.mark(.overloaded(until: now + .seconds(60))) == [])
            #expect(try await bench.read().flags.first?.until == now + .seconds(60))
            #expect(try await bench.mark(.overloaded(until: now + .seconds(70))) == [1])
            #expect(try await bench.read().flags.first?.until == now + .seconds(70))
        }
    }

    @Test("a guess by a call that was under way when the flag was set does not make it longer; a stated end does")
    func underWay() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand: stand)
            let began = try await bench.now()
            #expect(try await bench.mark(.overloaded(until: began + .seconds(60)), began: began) == [1])
            #expect(try await bench.mark(.overloaded(until: began + .seconds(61)), began: began) == [])
            #expect(try await bench.mark(.overloaded(until: began + .seconds(61))) == [1])
            let stated = AccountEffect.rateLimited(until: began + .seconds(90), isGuessed: false)
            _ = try await bench.mark(.rateLimited(until: began + .seconds(5), isGuessed: true), began: began)
            #expect(try await bench.mark(stated, began: began) == [1])
        }
    }

    @Test("one 401 counts for each version of the credentials, and what follows one that does not count is left out")
    func unauthorized() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand: stand)
            let end = try await bench.now() + .seconds(600)
            func refused(_ version: Int64) async throws -> [Int64] {
                try await bench.mark(
                    .countUnauthorized(version: version, pausedUntil: end + .seconds(version)),
                    .paused(until: end + .seconds(version), .unauthorized, reason: "401")
                )
            }
            #expect(try await refused(7) == [1, 2])
            for _ in 0..<3 { #expect(try await refused(7) == []) }
            #expect(try await refused(6) == [])
            #expect(
                try await bench.read().unauthorized == CountedUnauthorized(version: 7, pausedUntil: end + .seconds(7))
            )
            #expect(try await refused(8) == [1, 2])
            let life = try await stand.count("PTTL", RedisNames.marks(of: Bench.account))
            #expect(life == -1, "a 401 is remembered until a success")
            #expect(try await bench.clear("unauthorized") == ["unauthorized"])
            #expect(try await bench.read().unauthorized == nil)
            let rest = try await stand.count("PTTL", RedisNames.marks(of: Bench.account))
            #expect(rest > 0)
        }
    }

    @Test("403s are counted as long as each counts; such as were under way together are one")
    func forbidden() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand: stand)
            let began = try await bench.now()
            let end = began + .seconds(10_800)
            #expect(try await bench.mark(.countForbidden(until: began + .microseconds(1))) == [1])
            #expect(try await bench.mark(.countForbidden(until: end)) == [1])
            #expect(try await bench.mark(.countForbidden(until: end + .seconds(1)), began: began) == [])
            #expect(try await bench.mark(.countForbidden(until: end + .seconds(2))) == [1])
            let counted = try await bench.read().countedForbidden(bench.now())
            #expect(counted.count == 2)
        }
    }

    @Test("a success ends only flags that were set before its call began")
    func clears() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand: stand)
            let began = try await bench.now()
            let end = began + .seconds(60)
            _ = try await bench.mark(.overloaded(until: end), .modelLimited("m", until: end))
            #expect(try await bench.clear("overloaded", "model:m", began: began) == [])
            #expect(try await bench.acquire("r1").word == "flagged")
            #expect(try await bench.clear("overloaded", "model:m", "rate_limited") == ["overloaded", "model:m"])
            #expect(try await bench.clear("overloaded", "model:m") == [], "there is nothing left to end")
            #expect(try await bench.acquire("r1").word == "half_open")
        }
    }

    @Test("nothing that began before an admin cleared the flags counts any more")
    func forgets() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand: stand)
            let began = try await bench.now()
            let end = began + .seconds(60)
            _ = try await bench.mark(.error(AccountError("402")), .overloaded(until: end))
            func forget(_ errors: Bool) async throws {
                _ = try await stand.redis.run(
                    RedisScript(name: "forget", source: AccountMarkScripts.forget),
                    keys: [RedisNames.marks(of: Bench.account), RedisNames.probes(of: Bench.account)],
                    arguments: [errors ? "1" : "0"]
                )
            }
            try await forget(false)
            #expect(try await bench.read().flags.map(\.kind) == [.error])
            try await forget(true)
            #expect(try await bench.read().flags.isEmpty)
            #expect(try await bench.mark(.error(AccountError("402")), began: began) == [])
            #expect(try await bench.acquire("r1").word == "plain")
            #expect(try await bench.mark(.error(AccountError("402"))) == [1])
            #expect(try await bench.acquire("r2").word == "flagged")
        }
    }

    @Test("so many calls in any minute and no more, and the answer says when the next may come")
    func rate() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand: stand)
            let start = try await bench.now()
            for number in 0..<3 { #expect(try await bench.acquire("r\(number)", rate: 3).word == "granted") }
            guard case .tooManyRequests(let end) = try await bench.acquire("r3", rate: 3) else {
                Issue.record("was let in")
                return
            }
            let wait = end - start
            #expect(wait > .seconds(59) && wait < .seconds(70))
            #expect(try await bench.acquire("r4", rate: 4).word == "granted")
            #expect(try await bench.acquire("r5").word == "granted")
        }
    }

    @Test("after a flag's end 1, 2, 4 … calls are let in at a time, twice as many for each success")
    func halfOpen() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand: stand)
            try await bench.markEnded()
            #expect(try await bench.acquire("a").word == "half_open")
            #expect(try await bench.acquire("b").word == "refused as half open")
            #expect(try await bench.endProbe("a", isTaken: false) == 1)
            #expect(try await bench.acquire("c").word == "half_open")
            #expect(try await bench.acquire("d").word == "refused as half open", "a failure opens nothing")
            #expect(try await bench.endProbe("c", isTaken: true) == 1)
            #expect(try await bench.endProbe("c", isTaken: true) == 0, "a call succeeds once")
            for id in ["e", "f"] { #expect(try await bench.acquire(id).word == "half_open") }
            #expect(try await bench.acquire("g").word == "refused as half open")
            for id in ["e", "f"] { #expect(try await bench.endProbe(id, isTaken: true) == 1) }
            for id in 0..<8 { #expect(try await bench.acquire("h\(id)").word == "half_open") }
            #expect(try await bench.acquire("i").word == "refused as half open")
            // A flag anew begins anew.
            let now = try await bench.now()
            _ = try await bench.mark(.overloaded(until: now + .seconds(60)))
            #expect(try await bench.acquire("j").word == "flagged")
        }
    }

    @Test("a pause that is a guess can be tried out from 5 s into it, another one never")
    func guarded() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand: stand)
            let now = try await bench.now()
            func set(_ field: String, setAgo: Int64, isGuessed: Bool) async throws {
                try await stand.run(
                    "HSET",
                    RedisNames.marks(of: Bench.account),
                    field,
                    "\((now + .seconds(60)).microseconds) \(now.microseconds - setAgo * 1_000_000) \(isGuessed ? 1 : 0) - - "
                )
            }
            try await set("overloaded", setAgo: 1, isGuessed: true)
            #expect(try await bench.acquire("a", isGuard: true).word == "flagged")
            try await set("overloaded", setAgo: 5, isGuessed: true)
            #expect(try await bench.acquire("a").word == "flagged")
            #expect(try await bench.acquire("a", isGuard: true).word == "guard")
            try await set("rate_limited", setAgo: 9, isGuessed: false)
            #expect(try await bench.acquire("b", isGuard: true).word == "flagged")
        }
    }

    @Test("one call at a time tries out a paused group, each time after twice the wait; a success ends that")
    func guardLock() async throws {
        try await standing { (stand) async throws in
            let name = RedisNames.brownOut(of: GroupID(2))
            func enter(_ id: String) async throws -> Int64? {
                try await stand.redis.run(AccountScripts.enterGuard, keys: [name], arguments: [id, "60000"]).integer
            }
            func leave(_ id: String, _ won: Bool) async throws {
                _ = try await stand.redis.run(
                    AccountScripts.leaveGuard,
                    keys: [name],
                    arguments: [id, won ? "1" : "0"]
                )
            }
            let now = try await Bench(stand: stand).now().milliseconds
            #expect(try await enter("a") == 0)
            let busy = try #require(try await enter("b"))
            #expect(busy - now >= 60_000, "as long as the first one has not ended")
            try await leave("b", false)
            try await leave("a", false)
            let next = try #require(try await enter("b"))
            #expect((10_000...19_000).contains(next - now))
            try await leave("a", true)
            #expect(try await enter("b") == 0)
        }
    }
}
