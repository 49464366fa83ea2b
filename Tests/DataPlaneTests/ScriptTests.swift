import Domain
import GatewayKit
import HTTPFetching
import HTTPMessages
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

/// Runs the scripts of a call one by one.
private struct Bench {
    let stand: Stand
    let keys: PartitionKeys
    let userSlots: String
    let keySlots: String
    let wallet: String
    private let lastPlace = Place()
    private final class Place { var value: WaitPlace? }

    /// In line, as the last admission said.
    var place: WaitPlace? {
        get { lastPlace.value }
        nonmutating set { lastPlace.value = newValue }
    }

    init(_ stand: Stand) {
        self.stand = stand
        keys = PartitionKeys.of(stand.partition)
        userSlots = RedisNames.slots(of: stand.key.user)
        keySlots = RedisNames.slots(of: stand.key.id, stand.partition)
        wallet = CounterNames.wallet(of: stand.key.user)
    }

    func admit(
        _ id: String,
        key: String = "5",
        user: String = "5",
        group: String = "5",
        isLenient: Bool = false,
        limits: (Int, Int) = (0, 0),
        lease: Int = 30_000,
        bound: String = "",
        since: String = ""
    ) async throws -> (code: String, epoch: String) {
        let more = limits == (0, 0) ? [] : ["wallet", "\(limits.0) \(limits.1) \(lease) 0 0 0", ""]
        let state = "\(isLenient ? 1 : 0) \(bound.isEmpty ? "-" : bound) \(since.isEmpty ? "-" : since)"
        let answer = try await stand.redis.run(
            CallScripts.admit,
            keys: [keys.epoch, keys.revisions, keys.holds, wallet],
            arguments: ["me", "k1", "u3", "g2", "\(key) \(user) \(group)"] + more + [id, "0", state]
        )
        if let epoch = answer.text { return ("ok", epoch) }
        let parts = try #require(answer.array?.map { $0.text ?? "" })
        place = parts.count > 2 ? WaitPlace(parts[2]) : nil
        return (parts[0], parts[1])
    }

    func settle(
        _ id: String,
        _ record: String,
        phase: String = "final",
        cost: String = "0",
        charging counters: String = ""
    ) async throws -> (epoch: String, id: String) {
        let answer = try await stand.redis.run(
            CallScripts.settle,
            keys: [keys.epoch, keys.holds, keys.usage, userSlots, keySlots],
            arguments: ["me", id, record, cost, counters, phase == "final" ? "" : "\(phase) 1 1 - "]
        )
        let parts = try #require(answer.text).split(separator: " ", omittingEmptySubsequences: false)
        return (String(parts[0]), String(parts[1]))
    }

    func acquire(_ id: String, limit: Int, lease: Int = 30_000) async throws -> Int64? {
        let account = AccountID(1)
        let answer = try await stand.redis.run(
            AccountScripts.acquire,
            keys: [RedisNames.slots(of: account)],
            arguments: ["\(limit)", "\(lease)", id, "model:m"]
        )
        return answer.array?.first?.integer
    }

    func count(_ command: String, _ name: String) async throws -> Int64 { try await stand.count(command, name) }

    /// Milliseconds by Redis' own clock.
    func now() async throws -> Int64 {
        try await stand.redis.time() / 1000
    }

    /// Waits until Redis' own clock has passed so many milliseconds.
    func pass(_ milliseconds: Int64) async throws {
        let end = try await now() + milliseconds
        while try await now() <= end { await stand.loop.sleep(.milliseconds(2)) }
    }
}

@Suite("Scripts of a call", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct ScriptTests {
    @Test(
        "a newer revision of key, user or group in Redis makes a call stale; nothing is taken then",
        arguments: [
            ("4", "5", "5", "stale"), ("5", "4", "5", "stale"), ("5", "5", "4", "stale"), ("5", "5", "5", "ok"),
            ("6", "7", "8", "ok"), ("10", "5", "5", "ok"),
        ]
    )
    func stale(key: String, user: String, group: String, expected: String) async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand)
            for isLenient in [false, true] {
                let answer = try await bench.admit("r1", key: key, user: user, group: group, isLenient: isLenient)
                #expect(answer.code == expected)
            }
            let taken = try await bench.count("HLEN", bench.keys.holds)
            #expect(taken == (expected == "ok" ? 1 : 0))
        }
    }

    @Test("large revisions compare exactly")
    func exact() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand)
            try await stand.run("HSET", bench.keys.revisions, "k1", "9007199254740991")
            #expect(try await bench.admit("r1", key: "9007199254740990").code == "stale")
            #expect(try await bench.admit("r1", key: "9007199254740991").code == "ok")
        }
    }

    @Test("a missing revision is told apart, and let pass when lenient", arguments: ["k1", "u3", "g2"])
    func forgotten(field: String) async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand)
            try await stand.run("HDEL", bench.keys.revisions, field)
            #expect(try await bench.admit("r1").code == "forgotten")
            #expect(try await bench.count("HLEN", bench.keys.holds) == 0)
            #expect(try await bench.admit("r1", isLenient: true).code == "ok")
            #expect(try await bench.admit("r1", user: "4", group: "4", isLenient: true).code == "stale")
        }
    }

    @Test("user and key have so many calls at once, whose slots end with their leases")
    func limits() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand)
            #expect(try await bench.admit("r1", limits: (2, 1), lease: 60_000).code == "ok")
            for slots in [bench.userSlots, bench.keySlots] {
                let end = try await stand.run("ZSCORE", slots, "r1").integer ?? 0
                let left = end - (try await bench.now())
                #expect((30_001...60_000).contains(left))
            }
            #expect(try await bench.admit("r2", limits: (2, 1)).code == "key_busy")
            #expect(try await bench.admit("r2", limits: (1, 9)).code == "user_busy")
            #expect(try await bench.admit("r2", limits: (2, 9)).code == "ok")
            #expect(try await bench.admit("r3", limits: (2, 9)).code == "user_busy")
            #expect(try await bench.count("HLEN", bench.keys.holds) == 2)
            // The lease's end.
            for slots in [bench.userSlots, bench.keySlots] { try await stand.run("ZADD", slots, "XX", "1", "r1") }
            #expect(try await bench.admit("r3", limits: (2, 9)).code == "ok")
            #expect(try await bench.admit("r4", limits: (2, 9)).code == "user_busy")
            _ = try await bench.settle("r2", "")
            #expect(try await bench.admit("r4", limits: (2, 9)).code == "ok")
            #expect(try await bench.count("ZCARD", bench.userSlots) == 2)
        }
    }

    @Test("calls wait in the line of their key, else of their user, and go in the order in which they came")
    func lines() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand)
            func ask(_ id: String, _ limits: (Int, Int), since: String = "") async throws -> (String, String) {
                let code = try await bench.admit(id, limits: limits, bound: "9", since: since).code
                guard case .since(let since) = bench.place else { return (code, "") }
                return (code, String(since))
            }
            func line(_ name: String) async throws -> Int64 { try await bench.count("ZCARD", name + ":line") }
            #expect(try await ask("r1", (2, 1)).0 == "ok")
            let second = try await ask("r2", (2, 1))
            let third = try await ask("r3", (2, 1))
            #expect(second.0 == "key_busy" && third.0 == "key_busy" && second.1 < third.1)
            // Another key of the user goes past them.
            #expect(try await ask("other", (2, 0)).0 == "ok")
            let fourth = try await ask("r4", (2, 0))
            #expect(fourth.0 == "user_busy")
            #expect(try await line(bench.keySlots) == 2)
            #expect(try await line(bench.userSlots) == 1)
            // The key has a slot, the user has none: it waits for that now, in front of who came later.
            #expect(try await bench.count("HLEN", bench.keys.holds) == 2)
            _ = try await bench.settle("r1", "")
            #expect(try await ask("r3", (2, 1), since: third.1).0 == "key_busy")
            #expect(try await ask("r2", (1, 1), since: second.1) == ("user_busy", second.1))
            #expect(try await line(bench.keySlots) == 1)
            #expect(try await ask("r4", (2, 0), since: fourth.1).0 == "user_busy")
            #expect(try await ask("r2", (2, 1), since: second.1).0 == "ok")
            #expect(try await line(bench.userSlots) == 1)
            _ = try await bench.settle("other", "")
            #expect(try await ask("r4", (2, 0), since: fourth.1).0 == "ok")
            #expect(try await line(bench.userSlots) == 0)
            #expect(try await line(bench.keySlots) == 1)
        }
    }

    @Test("a full Redis gives no tickets")
    func fullLine() async throws {
        var options = Stand.Options()
        options.redisLines = ["maxmemory-policy noeviction"]
        try await standing(options) { (stand) async throws in
            let bench = Bench(stand)
            _ = try await bench.admit("r1", limits: (1, 0))
            try await stand.run("CONFIG", "SET", "maxmemory", "1")
            await #expect(throws: RedisError.self) { _ = try await bench.admit("r2", limits: (1, 0), bound: "9") }
            try await stand.run("CONFIG", "SET", "maxmemory", "0")
            #expect(try await bench.count("ZCARD", bench.userSlots + ":line") == 0)
        }
    }

    @Test("a record is appended once, however often it is sent")
    func once() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand)
            _ = try await bench.admit("r1", limits: (5, 5))
            let first = try await bench.settle("r1", "record")
            #expect(!first.id.isEmpty)
            for _ in 0..<3 {
                let again = try await bench.settle("r1", "record")
                #expect(again == first)
            }
            #expect(try await bench.count("XLEN", bench.keys.usage) == 1)
            for name in [bench.userSlots, bench.keySlots] {
                #expect(try await bench.count("ZCARD", name) == 0)
            }
            #expect(try await bench.count("HLEN", bench.keys.holds) == 0)
            let life = try await bench.count("TTL", RedisNames.done("r1", bench.keys.partition))
            #expect((600...900).contains(life))
        }
    }

    @Test("what is unsettled is the sum of the stream: each record adds its whole cost, once")
    func unsettled() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand)
            func settle(_ phase: String, _ cost: String) async throws -> String? {
                _ = try await bench.settle("r1", phase, phase: phase, cost: cost, charging: "counter")
                return try await stand.run("HGET", "counter", "u").text
            }
            #expect(try await settle("swept", "700") == "700")
            #expect(try await settle("swept", "700") == "700")
            #expect(try await settle("final", "1000") == "1700")
            #expect(try await settle("final", "1000") == "1700")
            #expect(try await settle("swept", "700") == "1700")
            #expect(try await bench.count("XLEN", bench.keys.usage) == 2)
        }
    }

    @Test("an admission that arrives twice reserves once")
    func admittedTwice() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand)
            for amount in ["700", "700", "0", "0", "300"] {
                let answer = try await stand.redis.run(
                    CallScripts.admit,
                    keys: [bench.keys.epoch, bench.keys.revisions, bench.keys.holds, bench.wallet, "tg:counter"],
                    arguments: [
                        "me", "k1", "u3", "g2", "5 5 5", "quota 1000000 0 0 0", "", "", "r1", amount, "1 - -",
                    ]
                )
                #expect(answer.text?.hasPrefix("me.") == true)
                #expect(try await stand.run("HGET", "tg:counter", "r").text == amount)
            }
            _ = try await bench.settle("r1", "")
            #expect(try await stand.run("HGET", "tg:counter", "r").text == "0")
        }
    }

    @Test("a call that costs nothing reserves nothing, and is settled as any other")
    func free() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand)
            _ = try await bench.admit("r1")
            #expect(try await stand.run("HGET", bench.keys.holds, "r1").text == bench.wallet + " 0")
            #expect(try await !bench.settle("r1", "record", charging: bench.wallet).id.isEmpty)
            #expect(try await bench.count("HLEN", bench.keys.holds) == 0)
            #expect(try await stand.run("HGET", bench.wallet, "r").text == "0")
        }
    }

    @Test("a final record follows a swept one, a swept one follows nothing")
    func swept() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand)
            let swept = try await bench.settle("r1", "swept record", phase: "swept")
            #expect(try await bench.settle("r1", "swept record", phase: "swept") == swept)
            let final = try await bench.settle("r1", "final record")
            #expect(final.id != swept.id)
            #expect(try await bench.settle("r1", "final record") == final)
            #expect(try await bench.settle("r1", "swept record", phase: "swept") == final)
            #expect(try await bench.count("XLEN", bench.keys.usage) == 2)
        }
    }

    @Test("a call with nothing to bill gives back what it took and leaves no record")
    func nothing() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand)
            _ = try await bench.admit("r1", limits: (5, 5))
            #expect(try await bench.settle("r1", "").id.isEmpty)
            #expect(try await bench.count("EXISTS", bench.keys.usage) == 0)
            #expect(try await bench.count("EXISTS", RedisNames.done("r1", bench.keys.partition)) == 0)
            #expect(try await bench.count("HLEN", bench.keys.holds) == 0)
            #expect(try await bench.count("ZCARD", bench.userSlots) == 0)
        }
    }

    @Test("a partition that forgets gets another epoch, also from the same worker; one that does not keeps it")
    func epoch() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand)
            var seen: Set<String> = []
            for number in 0..<4 {
                let first =
                    number.isMultiple(of: 2)
                    ? try await bench.admit("r1", isLenient: true).epoch : try await bench.settle("r1", "x").epoch
                #expect(try await bench.admit("r2", isLenient: true).epoch == first)
                #expect(try await bench.settle("r2", "x").epoch == first)
                seen.insert(first)
                try await stand.run("FLUSHALL")
            }
            #expect(seen.count == 4 && !seen.contains(""))
        }
    }

    @Test("an account's slots are leases: taken up to the limit, renewed, given back, or ended by time")
    func slots() async throws {
        try await standing { (stand) async throws in
            let bench = Bench(stand)
            let name = RedisNames.slots(of: AccountID(1))
            #expect(try await bench.acquire("r1", limit: 2, lease: 3000) == 1)
            #expect(try await bench.acquire("r2", limit: 2, lease: 3000) == 2)
            #expect(try await bench.acquire("r3", limit: 2) == -2)
            #expect(try await stand.redis.run(CallScripts.release, keys: [name], arguments: ["r1"]).integer == 1)
            #expect(try await bench.acquire("r3", limit: 2) == 2)
            let renewed = try await stand.redis.run(CallScripts.renew, keys: [name], arguments: ["30000", "r2", "r4"])
            #expect(renewed.integer == 2)
            try await bench.pass(3010)
            #expect(try await bench.count("ZCARD", name) == 3)
            #expect(try await bench.acquire("r5", limit: 3) == -3)
            #expect(try await bench.acquire("r5", limit: 0, lease: 50) == 4)
            try await bench.pass(60)
            #expect(try await bench.acquire("r6", limit: 4) == 4)
            #expect(try await stand.redis.run(CallScripts.release, keys: [name], arguments: ["none"]).integer == 4)
        }
    }

    @Test("a full Redis refuses new calls and still settles old ones")
    func full() async throws {
        var options = Stand.Options()
        options.redisLines = ["maxmemory-policy noeviction"]
        try await standing(options) { (stand) async throws in
            let bench = Bench(stand)
            _ = try await bench.admit("r1", limits: (5, 5))
            try await stand.run("CONFIG", "SET", "maxmemory", "1")
            await #expect(throws: RedisError.self) { _ = try await bench.admit("r2", limits: (5, 5)) }
            #expect(try await bench.count("HLEN", bench.keys.holds) == 1)
            #expect(try await bench.count("ZCARD", bench.userSlots) == 1)
            #expect(try await !bench.settle("r1", "record").id.isEmpty)
            #expect(try await bench.count("XLEN", bench.keys.usage) == 1)
            #expect(try await bench.count("HLEN", bench.keys.holds) == 0)
            #expect(try await !bench.settle("never admitted", "record").id.isEmpty)
            try await stand.run("SCRIPT", "FLUSH")
            #expect(try await !bench.settle("r3", "record").id.isEmpty)

            let refused = try await stand.ask()
            #expect(refused.head.status == 503 && refused.head.headers["retry-after"] != nil)
            try await stand.run("CONFIG", "SET", "maxmemory", "0")
            stand.upstream.script = { $0.answer(200, Says.message()) }
            #expect(try await stand.ask().head.status == 200)
        }
    }
}
