import Domain
import Formats
import GatewayKit
import HTTPFetching
import HTTPMessages
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

/// Says of an answer what a test looks at.
private struct Seen: Equatable {
    var status: Int
    var code: String?
    var retryAfter: String?
    var body: String

    init(_ response: FetchResponse) async throws {
        status = response.head.status
        code = response.head.headers["x-tollgate-code"]
        retryAfter = response.head.headers["retry-after"]
        body = try await response.text()
    }
}

extension Stand {
    fileprivate func seen(headers: HeaderFields = [:]) async throws -> Seen {
        try await Seen(ask(headers: headers))
    }

    fileprivate var wallet: String { CounterNames.wallet(of: key.user) }

    /// The counter of the policy's window that runs now.
    fileprivate func policyCounter() async throws -> String {
        let names = try await run("KEYS", "*policy:\(key.id):*").array?.compactMap(\.text) ?? []
        return try #require(names.first)
    }

    /// Gives the user a subscription to the group, from long ago.
    fileprivate func subscribe() {
        change {
            $0.subscriptions = [
                SubscriptionSnapshot(
                    id: SubscriptionID(9),
                    group: GroupID(2),
                    startsAt: Timestamp(microseconds: 0),
                    expiresAt: Timestamp(microseconds: 4_000_000_000_000_000)
                )
            ]
        }
    }

    /// What a call of `Says.message` costs.
    fileprivate func costOfOne() async throws -> Int64 {
        try #require(try await records().last).cost.raw
    }
}

@Suite("Money", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct MoneyTests {
    @Test("a call reserves while it runs; settled, its cost stands in the wallet's counter and nothing is reserved")
    func reserves() async throws {
        try await standing { (stand) async throws in
            let gate = Promise<Void>()
            stand.upstream.script = { call in
                try? await gate.wait()
                call.answer(200, Says.message())
            }
            let answer = stand.loop.start { try await stand.ask().text() }
            await stand.loop.wait { stand.upstream.calls.count == 1 }
            let during = try await stand.counter(stand.wallet)
            #expect(during.reserved > 0 && during.unsettled == 0)
            gate.succeed(())
            _ = try await answer.wait()
            try await stand.records(1)
            let after = try await stand.counter(stand.wallet)
            #expect(after.reserved == 0)
            #expect(try await stand.costOfOne() == after.unsettled && after.unsettled > 0)
            #expect(after.unsettled <= during.reserved)
        }
    }

    @Test("no money is 402, reserved money is 429 after a short wait, never the other")
    func wallet() async throws {
        try await standing(.init(settings: ["queue_wait_seconds": 1])) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            try await stand.setWallet("0")
            let empty = try await stand.seen()
            #expect(empty.status == 402 && empty.code == "insufficient_balance" && empty.retryAfter == nil)
            try await stand.run("HSET", stand.wallet, "b", "10", "r", "10")
            let held = try await stand.seen()
            #expect(held.status == 429 && held.code == "budget_in_use" && held.retryAfter == "1")
            try await stand.run("HSET", stand.wallet, "b", "10", "u", "10", "r", "5")
            #expect(try await stand.seen().status == 402)
            try await stand.run("HSET", stand.wallet, "b", "10", "u", "9", "r", "0")
            // The last nano-USD admits a call, which may cost more.
            #expect(try await stand.seen().status == 200)
            #expect(stand.upstream.calls.count == 1)
            #expect(try await stand.counter(stand.wallet).reserved == 0)
        }
    }

    @Test("a call that waits for a budget goes on when it is given back")
    func budgetReturns() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            try await stand.run("HSET", stand.wallet, "b", "10", "r", "10")
            let asked = try await stand.scriptCalls()
            let answer = stand.loop.start { try await stand.seen() }
            // It asks again and again.
            let start = MonotonicTime.now
            while try await stand.scriptCalls() < asked + 4, start.elapsed < .seconds(4) {
                await stand.loop.sleep(.milliseconds(5))
            }
            #expect(!answer.isFulfilled && stand.upstream.calls.isEmpty)
            try await stand.run("HSET", stand.wallet, "r", "0")
            #expect(try await answer.wait().status == 200)
        }
    }

    @Test("a key's quota: used up is used up, exactly equal included", arguments: [(99, 200), (100, 429), (101, 429)])
    func quota(used: Int, status: Int) async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            stand.change { $0.quota = NanoUSD(100) }
            try await stand.publish()
            let name = CounterNames.quota(of: stand.key.id, stand.partition)
            try await stand.run("HSET", name, "b", "\(used)", "s", "1")
            let answer = try await stand.seen()
            #expect(answer.status == status)
            if status == 429 {
                #expect(answer.code == "api_key_quota_exhausted")
            } else {
                try await stand.records(1)
                let counter = try await stand.counter(name)
                #expect(counter.reserved == 0)
                #expect(try await stand.costOfOne() == counter.unsettled)
                #expect(try await stand.records(1)[0].limits.hasQuota)
            }
        }
    }

    @Test("500 calls at once on a strict policy with money for 50 never spend more, and leave nothing reserved")
    func strictCrowd() async throws {
        try await standing(.init(settings: ["queue_wait_seconds": 20])) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            _ = try await stand.ask().text()
            try await stand.records(1)
            let cost = try await stand.costOfOne()
            try await stand.limitWeek(to: NanoUSD(cost * 50))
            try await stand.age()
            let answers = (0..<500).map { _ in stand.loop.start { try await stand.seen() } }
            var codes: [String: Int] = [:]
            for answer in answers {
                let seen = try await answer.wait()
                codes[seen.status == 200 ? "ok" : seen.code ?? "none", default: 0] += 1
            }
            try await stand.quiesce()
            let records = try await stand.records()
            let spent = records.dropFirst().reduce(0) { $0 + $1.cost.raw }
            #expect(spent <= cost * 50)
            #expect(codes["ok", default: 0] == records.count - 1)
            #expect(codes["ok", default: 0] > 0)
            #expect(codes["insufficient_balance"] == nil)
            let counter = try await stand.counter(stand.policyCounter())
            #expect(counter.reserved == 0)
            #expect(counter.unsettled == spent)
            let wallet = try await stand.counter(stand.wallet)
            #expect(wallet.reserved == 0)
            #expect(wallet.unsettled == spent + cost)
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
        }
    }

    @Test(
        "an exhausted policy: who may use it again when, in the caller's language",
        arguments: [
            (true, "en", " in about "), (true, "zh-CN,en;q=0.5", "后恢复"), (false, "de, en", "An administrator"),
            (false, "en;q=0.1, zh", "管理员"),
        ]
    )
    func recoveryText(resumes: Bool, language: String, part: String) async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            stand.change {
                $0.policy = KeyPolicy(
                    period: .day,
                    anchor: Timestamp(microseconds: 0),
                    quota: NanoUSD(1),
                    boundary: .graceful,
                    resumesByItself: resumes
                )
            }
            try await stand.publish()
            #expect(try await stand.seen().status == 200)
            try await stand.quiesce()
            let refused = try await stand.seen(headers: ["accept-language": language])
            #expect(refused.status == 429 && refused.code == "token_quota_policy_exhausted")
            #expect(refused.body.contains(part), "\(refused.body)")
            #expect((refused.retryAfter != nil) == resumes)
            if let wait = refused.retryAfter.flatMap({ Int($0) }) { #expect((1...86_400).contains(wait)) }
            // No amounts.
            #expect(!refused.body.contains("0.0"))
        }
    }

    @Test("a strict call that could never fit exhausts the policy, and the control plane is told once")
    func strictEstimate() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            stand.change {
                $0.policy = KeyPolicy(
                    period: .day,
                    anchor: Timestamp(microseconds: 0),
                    quota: NanoUSD(1000),
                    action: .disableKey
                )
            }
            try await stand.publish()
            try await stand.age()
            for _ in 0..<3 { #expect(try await stand.seen().code == "token_quota_policy_exhausted") }
            let entries = try await stand.run("XRANGE", RedisNames.usage(stand.partition), "-", "+").array ?? []
            #expect(entries.count == 1)
            let event = try #require(entries.first?.array?.last?.array?.last?.bytes)
            let told = try #require(PolicyExhaustion(event))
            #expect(told.key == stand.key.id && told.user == stand.key.user && told.version == 1)
            #expect(try #require(told.wanted) > NanoUSD(1000))
            // A higher quota ends it.
            stand.change { $0.policy?.quota = NanoUSD(100_000_000_000) }
            try await stand.publish()
            try await stand.age()
            #expect(try await stand.seen().status == 200)
        }
    }

    @Test("a policy that does not resume stays exhausted in the next window, until its reset")
    func sticky() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            let policy = KeyPolicy(
                period: .minutes(1),
                anchor: Timestamp(microseconds: 0),
                quota: NanoUSD(1),
                boundary: .graceful,
                resumesByItself: false
            )
            stand.change { $0.policy = policy }
            try await stand.publish()
            // Exhausted in a window that was over long ago.
            try await stand.run(
                "HSET",
                CounterNames.exhaustion(of: stand.key.id, stand.partition),
                CounterNames.exhaustionField(policy),
                "60000"
            )
            #expect(try await stand.seen().code == "token_quota_policy_exhausted")
            stand.change { $0.policy?.resetEpoch = 1 }
            try await stand.publish()
            #expect(try await stand.seen().status == 200)
        }
    }

    @Test("a subscription pays in its windows and the wallet does not; without one there is 403")
    func subscription() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            stand.changeConfig {
                $0.groups[0].isSubscription = true
                $0.groups[0].limits = SubscriptionLimits(daily: NanoUSD(1), monthly: NanoUSD(1_000_000_000))
            }
            try await stand.publish()
            let none = try await stand.seen()
            #expect(none.status == 403 && none.code == "subscription_required")
            stand.subscribe()
            try await stand.setWallet("0")
            try await stand.publish()
            stand.context.keys.forget(stand.key.hash)
            let paid = try await stand.seen()
            #expect(paid.status == 200, "\(paid)")
            let record = try #require(try await stand.records(1).first)
            let frozen = try #require(record.limits.subscription)
            #expect(frozen.id == SubscriptionID(9))
            for name in CounterNames.all(of: record) {
                let counter = try await stand.counter(name)
                #expect(counter.unsettled == record.cost.raw && counter.reserved == 0)
                #expect(try await stand.count("PTTL", name) > 0)
            }
            #expect(try await stand.counter(stand.wallet).unsettled == 0)
            let refused = try await stand.seen()
            #expect(refused.status == 429 && refused.code == "subscription_limit_exceeded")
            #expect(refused.retryAfter != nil && refused.body.contains("daily"))
        }
    }

    @Test(
        "without a subscription to their group callers see no models, count no tokens, and learn why from their usage"
    )
    func subscriptionOfOtherRoutes() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, #"{"input_tokens":7}"#) }
            stand.control.usage = "{}"
            stand.changeConfig {
                $0.groups[0].isSubscription = true
                $0.groups[0].revision += 1
            }
            try await stand.publish()
            func counted() async throws -> Seen {
                try await Seen(stand.post("/v1/messages/count_tokens", Stand.body()))
            }
            func refusal(_ path: String) async throws -> String? {
                let answer = try await stand.get(path)
                return answer.status == 403 ? answer.headers["x-tollgate-code"] : nil
            }
            #expect(try await counted().code == "subscription_required")
            #expect(try await refusal("/v1/models") == "subscription_required")
            #expect(try await refusal("/v1/models/claude-a") == "subscription_required")
            #expect(try await refusal("/v1beta/models") == "subscription_required")
            #expect(try await refusal("/v1/responses/resp_1") == "subscription_required")
            #expect(stand.upstream.calls.isEmpty)
            #expect(try await stand.get("/v1/usage").status == 200)
            // One that begins is seen a second later, although nothing of it is announced.
            stand.subscribe()
            try await stand.publishKey()
            try await stand.until(within: .seconds(10)) { try await counted().status != 403 }
            #expect(try await counted().status == 200)
            #expect(try await stand.get("/v1/models").status == 200)
        }
    }

    @Test("refusals for the minute, counts of tokens, lists of models and the usage tell where the key's minute stands")
    func rateFigures() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message(input: 10, output: 7)) }
            stand.control.usage = "{}"
            stand.change { ($0.rpm, $0.tpm) = (4, 1000) }
            try await stand.publish()
            func count() async throws -> HeaderFields {
                let answer = try await stand.post("/v1/messages/count_tokens", Stand.body())
                _ = try await answer.text()
                return answer.head.headers
            }
            func isRight(_ fields: HeaderFields, left: Int64, tokens: Int64 = 1000) -> Bool {
                let kinds: [(String, Int64, Int64)] = [("requests", 4, left), ("tokens", 1000, tokens)]
                return kinds.allSatisfy { kind, limit, left in
                    let reset = fields["x-ratelimit-reset-\(kind)"] ?? ""
                    return fields.values("x-ratelimit-limit-\(kind)") == ["\(limit)"]
                        && fields.values("x-ratelimit-remaining-\(kind)") == ["\(left)"]
                        && reset.last == "s" && (1...60).contains(Int(reset.dropLast()) ?? 0)
                }
            }
            #expect(isRight(try await count(), left: 3))
            #expect(isRight(try await stand.get("/v1/models").headers, left: 2))
            #expect(isRight(try await stand.get("/v1/usage").headers, left: 1))
            let answer = try await stand.ask()
            #expect(isRight(answer.head.headers, left: 0))
            _ = try await answer.text()
            try await stand.quiesce()
            let refused = try await stand.ask()
            #expect(refused.head.status == 429 && isRight(refused.head.headers, left: 0, tokens: 983))
            _ = try await refused.text()
            for path in ["/v1/models", "/v1/usage"] {
                let refused = try await stand.get(path)
                #expect(refused.status == 429 && isRight(refused.headers, left: 0, tokens: 983))
            }
            #expect(isRight(try await count(), left: 0, tokens: 983))
        }
    }

    @Test("a refusal for the user's minute tells where the key's own stands, and nothing of a key without limits")
    func rateFiguresOfUser() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            for rpm in [10, 0] {
                stand.change { ($0.rpm, $0.userRPM) = (rpm, 1) }
                try await stand.publish()
                try await stand.run(
                    "DEL",
                    CounterNames.rate(of: stand.key.id, stand.partition),
                    CounterNames.rate(of: stand.key.user)
                )
                #expect(try await stand.seen().status == 200)
                let refused = try await stand.ask()
                _ = try await refused.text()
                let list = try await stand.get("/v1/models")
                #expect(refused.head.status == 429 && list.status == 429)
                for fields in [refused.head.headers, list.headers] {
                    #expect(fields["x-ratelimit-remaining-requests"] == (rpm > 0 ? "9" : nil))
                    #expect(fields["x-ratelimit-limit-tokens"] == nil)
                }
            }
        }
    }

    @Test("requests and tokens a minute, with the figures of the key")
    func rates() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            stand.change { $0.rpm = 3 }
            try await stand.publish()
            for left in [2, 1, 0] {
                let answer = try await stand.ask()
                #expect(answer.head.headers["x-ratelimit-limit-requests"] == "3")
                #expect(answer.head.headers["x-ratelimit-remaining-requests"] == "\(left)")
                _ = try await answer.text()
            }
            let refused = try await stand.seen()
            #expect(refused.status == 429 && refused.code == "rate_limited")
            #expect((1...60).contains(Int(refused.retryAfter ?? "") ?? 0))
            stand.change {
                $0.rpm = 0
                $0.tpm = 5
            }
            try await stand.publish()
            try await stand.run("DEL", CounterNames.rate(of: stand.key.id, stand.partition))
            #expect(try await stand.seen().status == 200)
            try await stand.quiesce()
            #expect(try await stand.seen().code == "rate_limited")
            stand.change {
                $0.tpm = 0
                $0.userRPM = 1
            }
            try await stand.publish()
            #expect(try await stand.seen().status == 200)
            #expect(try await stand.seen().code == "rate_limited")
            #expect(try await stand.counter(stand.wallet).reserved == 0)
        }
    }

    @Test("what Redis has forgotten of a user is asked for, and counts then")
    func rebuilt() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            _ = try await stand.ask().text()
            try await stand.run("DEL", stand.wallet)
            _ = try await stand.ask().text()
            #expect(stand.control.asked.contains("/internal/v1/users/3/counters"))
        }
    }
}
