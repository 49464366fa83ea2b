import Domain
import GatewayKit
import HTTPFetching
import HTTPMessages
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

extension Stand {
    fileprivate func limit(_ account: Int = 0, daily: Int64? = nil, weekly: Int64? = nil, total: Int64? = nil) {
        changeConfig {
            $0.accounts[account].quota = AccountQuota(
                daily: daily.map { NanoUSD($0) },
                weekly: weekly.map { NanoUSD($0) },
                total: total.map { NanoUSD($0) }
            )
        }
    }

    /// Writes what Postgres says, as the settler does.
    @discardableResult
    fileprivate func write(
        _ sequence: Int64,
        daily: Int64 = 0,
        dailyEnd: Int64 = 0,
        weekly: Int64 = 0,
        weeklyEnd: Int64 = 0,
        total: Int64 = 0,
        recounts: Bool = false,
        settled: [String] = [],
        of account: AccountID = AccountID(1)
    ) async throws -> Int64? {
        let numbers = [sequence, daily, dailyEnd, weekly, weeklyEnd, total, recounts ? 1 : 0]
        return try await redis.run(
            RedisScript(name: "write_account_quota", source: AccountQuotaScripts.write),
            keys: [RedisNames.quota(of: account), RedisNames.slots(of: account)],
            arguments: numbers.map { "\($0)" } + settled
        ).integer
    }

    fileprivate func quota(_ account: AccountID = AccountID(1)) async throws -> [String: String] {
        let parts = try await run("HGETALL", RedisNames.quota(of: account)).array ?? []
        var fields: [String: String] = [:]
        for index in stride(from: 0, to: parts.count - 1, by: 2) {
            fields[parts[index].text ?? ""] = parts[index + 1].text
        }
        return fields
    }

    fileprivate var open: Int64 {
        get async throws { Int64(try await quota()["u"] ?? "0") ?? -1 }
    }

    fileprivate func acquire(_ id: String, _ quota: AccountQuota) async throws -> AccountSlots.Answer {
        context.slots.of(AccountID(1)).forgetHints()
        return try await context.slots.of(AccountID(1)).acquire(
            limit: 0,
            rate: 0,
            quota: quota,
            model: "m",
            requestID: id,
            now: Timestamp.now
        )
    }

    fileprivate var nowMilliseconds: Int64 { WallClock.microseconds / 1000 }
}

extension AccountSlots.Answer {
    fileprivate var word: String {
        switch self {
        case .granted: "granted"
        case .refused(let reason): reason.word
        case .full: "full"
        }
    }
}

@Suite("Account quotas in Redis", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct AccountQuotaTests {
    @Test("used up is used up, exactly equal included; what is over reads as unused")
    func refuses() async throws {
        try await standing { (stand) async throws in
            let (past, future) = (stand.nowMilliseconds - 1, stand.nowMilliseconds + 3_600_000)
            let daily = AccountQuota(daily: NanoUSD(100))
            let all = AccountQuota(daily: NanoUSD(100), weekly: NanoUSD(200), total: NanoUSD(300))
            var sequence: Int64 = 0
            func write(_ d: Int64, _ de: Int64, _ w: Int64 = 0, _ we: Int64 = 0, total: Int64 = 0) async throws {
                sequence += 1
                try await stand.write(sequence, daily: d, dailyEnd: de, weekly: w, weeklyEnd: we, total: total)
            }
            func ask(_ quota: AccountQuota) async throws -> String {
                let answer = try await stand.acquire("r", quota)
                if case .granted = answer { stand.context.slots.of(AccountID(1)).release(requestID: "r") }
                return answer.word
            }
            try await write(99, future)
            #expect(try await ask(daily) == "granted")
            try await write(100, future)
            #expect(try await ask(daily) == "quota_daily")
            // Without a quota nothing is asked.
            #expect(try await ask(AccountQuota()) == "granted")
            try await write(100, past)
            #expect(try await ask(daily) == "granted")
            try await write(100, past, 200, future, total: 299)
            #expect(try await ask(all) == "quota_weekly")
            try await write(100, past, 200, past, total: 299)
            #expect(try await ask(all) == "granted")
            try await write(100, past, 200, past, total: 300)
            #expect(try await ask(all) == "quota_total")
            guard case .refused(let reason) = try await stand.acquire("x", all) else { return }
            #expect(reason.until == nil)
            try await write(100, future)
            guard case .refused(let reason) = try await stand.acquire("x", all) else { return }
            #expect(reason == .quota(.daily, until: Timestamp(microseconds: future * 1000)))
        }
    }

    @Test("a call is counted once when it gives its slot back, and taken out once when Postgres has it")
    func counts() async throws {
        try await standing { (stand) async throws in
            let slots = stand.context.slots.of(AccountID(1))
            let quota = AccountQuota(total: NanoUSD(100))
            try await stand.write(1)
            for id in ["a", "b"] { #expect(try await stand.acquire(id, quota).word == "granted") }
            slots.release(requestID: "a", cost: NanoUSD(60))
            slots.release(requestID: "a", cost: NanoUSD(60))
            await stand.loop.wait { stand.context.redis.inFlight == 0 }
            #expect(try await stand.open == 60)
            #expect(try await stand.acquire("c", quota).word == "granted")
            slots.release(requestID: "b", cost: NanoUSD(40))
            await stand.loop.wait { stand.context.redis.inFlight == 0 }
            #expect(try await stand.acquire("d", quota).word == "quota_total")
            // Postgres has the first one.
            try await stand.write(2, total: 60, settled: ["a"])
            try await stand.write(2, total: 60, settled: ["a"])
            #expect(try await stand.open == 40)
            #expect(try await stand.acquire("d", quota).word == "quota_total")
            // An older word changes no number, and takes out what it has.
            try await stand.write(1, total: 0, settled: ["b"])
            #expect(try await stand.open == 0)
            let fields = try await stand.quota()
            #expect(fields["t"] == "60" && fields["a"] == nil && fields["b"] == nil)
        }
    }

    @Test("a call that Postgres has before its slot is given back is not counted a second time")
    func overtaken() async throws {
        try await standing { (stand) async throws in
            let slots = stand.context.slots.of(AccountID(1))
            let quota = AccountQuota(total: NanoUSD(100))
            try await stand.write(1)
            #expect(try await stand.acquire("a", quota).word == "granted")
            try await stand.write(2, total: 60, settled: ["a", "gone"])
            #expect(try await stand.quota()["a"] == "-")
            #expect(try await stand.quota()["gone"] == nil)
            slots.release(requestID: "a", cost: NanoUSD(60))
            await stand.loop.wait { stand.context.redis.inFlight == 0 }
            #expect(try await stand.open == 0)
            #expect(try await stand.quota()["a"] == nil)
            // Its worker died in between: the mark goes with the next count.
            #expect(try await stand.acquire("b", quota).word == "granted")
            try await stand.write(3, total: 60, settled: ["b"])
            try await stand.run("DEL", RedisNames.slots(of: AccountID(1)))
            try await stand.run("HSET", RedisNames.quota(of: AccountID(1)), "u", "7")
            #expect(try await stand.write(3, total: 60, recounts: true, settled: ["b"]) == 7)
            #expect(try await stand.quota()["b"] == nil)
            #expect(try await stand.open == 0)
        }
    }

    @Test("a Redis that has forgotten has it written again before a call goes on; with nobody there it goes on")
    func forgotten() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            stand.limit(total: 100)
            try await stand.publish()
            let redis = stand.redis
            stand.control.onQuota = {
                _ = try? await redis.send(
                    RedisCommand(["HSET", RedisNames.quota(of: AccountID(1)), "s", "5", "t", "100"])
                )
            }
            let refused = try await stand.ask()
            #expect(refused.head.status == 503)
            _ = try await refused.text()
            #expect(stand.control.asked.contains("/internal/v1/accounts/1/quota"))
            #expect(stand.upstream.calls.isEmpty)

            stand.control.onQuota = nil
            try await stand.run("DEL", RedisNames.quota(of: AccountID(1)))
            stand.context.slots.forgetHints(of: nil)
            #expect(try await stand.ask().head.status == 200)
        }
    }

    @Test("calls go to another account when one's quota is spent, by cost before the group's multiplier")
    func elsewhere() async throws {
        try await standing(.init(accounts: 2)) { (stand) async throws in
            for upstream in stand.upstreams { upstream.script = { $0.answer(200, Says.message()) } }
            stand.changeConfig {
                $0.groups[0].multiplier = Multiplier(30_000)
                $0.accounts[0].multiplier = Multiplier(20_000)
            }
            stand.limit(weekly: 1)
            try await stand.publish()
            try await stand.write(1)
            _ = try await stand.ask().text()
            let record = try #require(try await stand.records(1).first)
            #expect(record.cost.raw == 3 * record.accountCost.raw)
            try await stand.quiesce()
            // The first call was let in with nothing used; its cost stands until Postgres has it.
            #expect(try await stand.open == record.accountCost.raw)
            _ = try await stand.ask().text()
            _ = try await stand.ask().text()
            #expect(stand.upstreams[0].calls.count == 1 && stand.upstreams[1].calls.count == 2)
            try await stand.quiesce()
            // An account without quotas leaves nothing in Redis.
            #expect(try await stand.quota(AccountID(2)).isEmpty)
        }
    }

    @Test(
        "calls under way are all that goes over a quota: of a crowd on the last money no more than were let in before"
    )
    func crowd() async throws {
        try await standing(.init(settings: ["queue_wait_seconds": 20], concurrency: 4)) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            _ = try await stand.ask().text()
            let cost = try #require(try await stand.records(1).first).accountCost.raw
            stand.limit(total: cost * 10)
            try await stand.publish()
            try await stand.write(1)
            let crowd = (0..<60).map { _ in
                stand.loop.start { () -> Int in
                    let answer = try await stand.ask()
                    _ = try await answer.text()
                    return answer.head.status
                }
            }
            var served = 0
            for call in crowd where try await call.wait() == 200 { served += 1 }
            try await stand.quiesce()
            // Ten fit; with four slots three more may have been under way when the tenth ended.
            #expect(served >= 10 && served <= 13)
            #expect(try await stand.open == Int64(served) * cost)
        }
    }
}
