import Crypto
import Domain
import Formats
import GatewayKit
import HTTPFetching
import HTTPMessages
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

@Suite(
    "What answers do to accounts",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct VerdictEffectTests {
    private static let account = AccountID(1)

    private func events(_ stand: Stand) async throws -> [AccountEvent] {
        let entries = try await stand.run("XRANGE", RedisNames.accountEvents, "-", "+").array ?? []
        return entries.compactMap { entry in
            let parts = entry.array?.last?.array?.compactMap(\.text) ?? []
            var fields: [String: String] = [:]
            for index in stride(from: 0, to: parts.count - 1, by: 2) { fields[parts[index]] = parts[index + 1] }
            return AccountEvent(fields: fields)
        }
    }

    private func marks(_ stand: Stand) async throws -> AccountMarks {
        AccountMarks(try await stand.run("HGETALL", RedisNames.marks(of: Self.account)))
    }

    /// Answers of an Anthropic upstream, and the flag that each brings.
    private static let refusals: [(status: Int, body: String, headers: HeaderFields, field: String)] = [
        (400, Says.failure("invalid_request_error", "This organization has been disabled."), [:], "error"),
        (400, Says.failure("invalid_request_error", "Your credit balance is too low"), [:], "error"),
        (401, Says.failure("authentication_error", "no"), [:], "error"),
        (402, Says.failure("billing_error", "no"), [:], "error"),
        (403, Says.failure("permission_error", "no"), [:], "error"),
        (404, Says.failure("not_found_error", "model: claude-a"), [:], "model:claude-a"),
        (429, Says.failure("rate_limit_error", "no"), ["retry-after": "77"], "rate_limited"),
        (429, Says.failure("rate_limit_error", "no"), [:], "rate_limited"),
        (529, Says.failure("overloaded_error", "no"), [:], "overloaded"),
    ]

    @Test(
        "a refusal flags its account: the next call goes elsewhere without asking it, and the control plane hears of it",
        arguments: 0..<9
    )
    func flags(number: Int) async throws {
        let refusal = Self.refusals[number]
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            stand.upstreams[0].script = { $0.answer(refusal.status, refusal.body, refusal.headers) }
            stand.upstreams[1].script = { $0.answer(200, Says.message()) }
            for _ in 0..<3 { #expect(try await stand.ask().text() == Says.message()) }
            #expect(stand.upstreams[0].calls.count == 1 && stand.upstreams[1].calls.count == 3)
            try await stand.quiesce()
            let marks = try await marks(stand)
            #expect(marks.flags.map(\.kind.field) == [refusal.field])
            // Another worker has no hints, but Redis.
            stand.context.slots.forgetHints(of: nil)
            #expect(try await stand.ask().text() == Says.message())
            #expect(stand.upstreams[0].calls.count == 1)
            let events = try await events(stand)
            #expect(events.count == 1 && events.first?.account == Self.account)
            guard case .effect(let effect)? = events.first?.change else { return }
            #expect(AccountFlag(effect, setAt: Timestamp(microseconds: 0))?.kind == marks.flags.first?.kind)
        }
    }

    @Test("what says nothing of the account leaves it alone", arguments: [408, 500, 502, 503, 504])
    func harmless(status: Int) async throws {
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            stand.upstreams[0].script = { $0.answer(status, Says.failure("api_error", "no")) }
            stand.upstreams[1].script = { $0.answer(200, Says.message()) }
            for _ in 0..<2 { #expect(try await stand.ask().text() == Says.message()) }
            #expect(stand.upstreams[0].calls.count == 2)
            try await stand.quiesce()
            #expect(try await marks(stand).flags.isEmpty)
        }
    }

    @Test("a limited model keeps only its own calls away")
    func modelLimit() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { call in
                if call.text.contains("claude-b") {
                    call.answer(404, Says.failure("not_found_error", "model: claude-b"))
                } else {
                    call.answer(200, Says.message())
                }
            }
            #expect(try await stand.ask("claude-b").head.status == 404)
            #expect(try await stand.ask("claude-a").head.status == 200)
            let refused = try await stand.ask("claude-b")
            #expect(refused.head.status == 503 && refused.head.headers["x-should-retry"] == "false")
            #expect(try await refused.text().contains("in about 30 minutes"))
            #expect(stand.upstream.calls.count == 2)
        }
    }

    @Test("when all accounts are flagged the call gets 503 with the time of the first end")
    func allFlagged() async throws {
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            for (upstream, wait) in zip(stand.upstreams, ["50", "40"]) {
                upstream.script = { $0.answer(429, Says.failure("rate_limit_error", "no"), ["retry-after": wait]) }
            }
            #expect(try await stand.ask().head.status == 429)
            let refused = try await stand.ask()
            #expect(refused.head.status == 503)
            #expect(refused.head.headers["x-tollgate-code"] == "no_account_available")
            let wait = try #require(refused.head.headers["retry-after"].flatMap { Int($0) })
            #expect((35...40).contains(wait))
        }
    }

    @Test("an empty stream is tried again on the same account before it is left, and then pauses it")
    func emptyStream() async throws {
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            stand.upstreams[0].script = { $0.stream(Says.start()) }
            stand.upstreams[1].script = { $0.stream(Says.whole()) }
            let start = MonotonicTime.now
            #expect(try await stand.ask(stream: true).text() == Says.whole())
            #expect(start.elapsed >= .milliseconds(1000), "two retries, half a second apart")
            #expect(stand.upstreams[0].calls.count == 3 && stand.upstreams[1].calls.count == 1)
            try await stand.quiesce()
            let flag = try #require(try await marks(stand).flags.first)
            #expect(flag.kind == .paused && flag.cause == "empty_stream" && flag.isGuessed)
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: Self.account)) == 0)
        }
    }

    @Test("an empty stream that is none the second time leaves no trace")
    func emptyOnce() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { call in
                if stand.upstream.calls.count == 1 { call.stream(Says.start()) } else { call.stream(Says.whole()) }
            }
            #expect(try await stand.ask(stream: true).text() == Says.whole())
            #expect(stand.upstream.calls.count == 2)
            try await stand.quiesce()
            #expect(try await marks(stand).flags.isEmpty)
            let records = try await stand.records(1)
            #expect(records.count == 1)
        }
    }

    @Test("in pool mode a 429 is tried again as often as the account says, and marks nothing", arguments: [0, 2])
    func poolMode(retries: Int) async throws {
        try await standing { (stand) async throws in
            stand.changeConfig {
                $0.accounts[0].rules = AccountRules(isPoolMode: true, poolRetryCount: retries)
            }
            try await stand.publish()
            stand.upstream.script = { $0.answer(429, Says.failure("rate_limit_error", "no")) }
            #expect(try await stand.ask().head.status == 429)
            #expect(stand.upstream.calls.count == 1 + retries)
            try await stand.quiesce()
            #expect(try await marks(stand) == AccountMarks())
        }
    }

    @Test("an error within a stream, before any content, is taken like the refusal it stands for")
    func errorWithin() async throws {
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            let error = Says.event("error", Says.failure("overloaded_error", "Overloaded"))
            stand.upstreams[0].script = { $0.stream(Says.start(), error) }
            stand.upstreams[1].script = { $0.stream(Says.whole()) }
            #expect(try await stand.ask(stream: true).text() == Says.whole())
            try await stand.quiesce()
            #expect(try await marks(stand).flags.map(\.kind) == [.overloaded])
            let fault = Says.event("error", Says.failure("invalid_request_error", "too long"))
            stand.upstreams[1].script = { $0.stream(Says.start(), fault) }
            let refused = try await stand.ask(stream: true)
            #expect(refused.head.status == 400)
            #expect(try await refused.text().contains("too long"))
        }
    }

    @Test("many calls in flight on one stale token are one 401; a newer one's 401 is an error")
    func staleToken() async throws {
        var options = Stand.Options()
        options.type = .oauth
        try await standing(options) { (stand) async throws in
            try await stand.publishToken(Self.account, version: 1)
            stand.upstream.script = { call in
                await stand.loop.wait { stand.upstream.calls.count >= 8 }
                call.answer(401, Says.failure("authentication_error", "expired"))
            }
            await withStatuses(8, stand) { #expect($0 == 502) }
            try await stand.quiesce()
            let counted = try await marks(stand)
            #expect(counted.unauthorized?.version == 1)
            #expect(counted.flags.map(\.kind) == [.paused] && counted.flags.first?.cause == "unauthorized")
            let kinds = try await events(stand).map(\.change)
            #expect(kinds.count == 2, "the count and the pause, once")
            // The pause is over, the token is another one.
            try await stand.run("HDEL", RedisNames.marks(of: Self.account), "temp_unschedulable")
            stand.context.slots.forgetHints(of: nil)
            try await stand.publishToken(Self.account, version: 2)
            stand.upstream.forget()
            stand.upstream.script = { $0.answer(401, Says.failure("authentication_error", "expired")) }
            #expect(try await stand.ask().head.status == 502)
            try await stand.quiesce()
            #expect(try await marks(stand).flags.map(\.kind) == [.error])
        }
    }

    @Test("a success between two 401s makes the second one the first again")
    func successBetween() async throws {
        var options = Stand.Options()
        options.type = .oauth
        try await standing(options) { (stand) async throws in
            try await stand.publishToken(Self.account, version: 1)
            stand.upstream.script = { $0.answer(401, Says.failure("authentication_error", "expired")) }
            #expect(try await stand.ask().head.status == 502)
            try await stand.quiesce()
            try await stand.run("HDEL", RedisNames.marks(of: Self.account), "temp_unschedulable")
            stand.context.slots.forgetHints(of: nil)
            try await stand.publishToken(Self.account, version: 2)
            stand.upstream.script = { $0.answer(200, Says.message()) }
            #expect(try await stand.ask().head.status == 200)
            try await stand.quiesce()
            #expect(try await marks(stand).unauthorized == nil)
            stand.upstream.script = { $0.answer(401, Says.failure("authentication_error", "expired")) }
            #expect(try await stand.ask().head.status == 502)
            try await stand.quiesce()
            #expect(try await marks(stand).flags.map(\.kind) == [.paused])
        }
    }

    @Test("a 401 without a refresh token is an error at once")
    func noRefreshToken() async throws {
        var options = Stand.Options()
        options.type = .setupToken
        try await standing(options) { (stand) async throws in
            stand.upstream.script = { $0.answer(401, Says.failure("authentication_error", "no")) }
            #expect(try await stand.ask().head.status == 502)
            try await stand.quiesce()
            #expect(try await marks(stand).flags.map(\.kind) == [.error])
        }
    }

    private func withStatuses(_ count: Int, _ stand: Stand, _ check: @escaping (Int) -> Void) async {
        var left = count
        for _ in 0..<count {
            stand.loop.spawn {
                let status = try? await stand.ask().head.status
                check(status ?? 0)
                left -= 1
            }
        }
        await stand.loop.wait { left == 0 }
    }

    @Test("so many calls a minute and no more: the next account has the rest")
    func requestRate() async throws {
        var options = Stand.Options()
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            stand.changeConfig { $0.accounts[0].rpm = 2 }
            try await stand.publish()
            for upstream in stand.upstreams { upstream.script = { $0.answer(200, Says.message()) } }
            for _ in 0..<5 { #expect(try await stand.ask().head.status == 200) }
            #expect(stand.upstreams.map(\.calls.count) == [2, 3])
        }
    }

    @Test("an account that comes back is tried out by one call; the others wait for it, and go on when it has a head")
    func comesBack() async throws {
        try await standing { (stand) async throws in
            let now = Timestamp.now
            stand.context.news.carryOut(
                [.rateLimited(until: now + .seconds(3600), isGuessed: false)],
                on: Self.account,
                began: now,
                now: now,
                requestID: "r",
                verdict: .rateLimited
            )
            try await stand.quiesce()
            #expect(try await stand.ask().head.status == 503)
            // It ended a second ago, as far as Redis is concerned.
            try await change(stand, "rate_limited") { $0[0] = String(now.microseconds - 1_000_000) }
            stand.upstream.forget()
            stand.upstream.script = nil
            var served = 0
            for _ in 0..<4 {
                stand.loop.spawn { if (try? await stand.ask())?.head.status == 200 { served += 1 } }
            }
            // One, then two, then the last.
            for (calls, waiting) in [(0..<1, 3), (1..<3, 1), (3..<4, 0)] {
                _ = try await stand.upstream.call(calls.upperBound - 1)
                await stand.loop.wait { stand.context.waitMetrics.waiting(.account) == waiting }
                #expect(stand.upstream.calls.count == calls.upperBound)
                for number in calls { try await stand.upstream.call(number).answer(200, Says.message()) }
            }
            await stand.loop.wait { served == 4 }
            #expect(served == 4 && stand.upstream.calls.count == 4)
        }
    }

    /// Changes the words of a flag of the account in Redis; workers forget what they know of it.
    private func change(_ stand: Stand, _ field: String, _ change: (inout [String]) -> Void) async throws {
        let name = RedisNames.marks(of: Self.account)
        let value = try #require(try await stand.run("HGET", name, field).text)
        var parts = value.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        change(&parts)
        try await stand.run("HSET", name, field, parts.joined(separator: " "))
        stand.context.slots.forgetHints(of: nil)
    }

    @Test("when all pauses are guesses one call tries out the account; its success ends the pause for everybody")
    func brownOut() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(529, Says.failure("overloaded_error", "no")) }
            #expect(try await stand.ask().head.status == 529)
            #expect(try await stand.ask().head.status == 503)
            try await stand.quiesce()
            // Six seconds later, as far as Redis is concerned.
            try await change(stand, "overloaded") { $0[1] = String((Int64($0[1]) ?? 0) - 6_000_000) }
            stand.upstream.forget()
            var statuses: [Int] = []
            stand.upstream.script = { call in
                await stand.loop.wait { statuses.count == 4 }
                call.answer(200, Says.message())
            }
            await withStatuses(5, stand) { statuses.append($0) }
            #expect(statuses.sorted() == [200, 503, 503, 503, 503])
            #expect(stand.upstream.calls.count == 1)
            try await stand.quiesce()
            #expect(try await stand.ask().head.status == 200)
            let changes = try await events(stand).map(\.change)
            #expect(changes.last == .cleared(field: "overloaded"))
        }
    }
}
