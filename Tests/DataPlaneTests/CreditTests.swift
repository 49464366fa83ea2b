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

@Suite(
    "Calls paid with AI credits",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct CreditTests {
    private static let account = AccountID(1)
    private static let path = "/antigravity/v1beta/models/gemini-3-pro:generateContent"
    private static let body = #"{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}"#
    private static let answer =
        #"{"response":{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello"}]},"finishReason":"STOP"}],"#
        + #""usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1}}}"#

    private static func refusal(_ details: String, _ message: String = "Quota exceeded.") -> String {
        #"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"\#(message)","details":[\#(details)]}}"#
    }
    /// The model's own quota is used up for ten minutes.
    private static let modelLimit = refusal(#"{"metadata":{"model":"gemini-3-pro","quotaResetDelay":"600s"}}"#)
    private static let accountLimit = refusal(#"{"retryDelay":"600s"}"#)
    private static let broke = refusal("", "Insufficient AI credits.")

    private func crediting(
        accounts: Int = 1,
        allowsOverages: Bool = true,
        _ body: @escaping @Sendable (Stand) async throws -> Void
    ) async throws {
        var options = Stand.Options()
        options.accounts = accounts
        options.platform = .antigravity
        options.type = .oauth
        try await standing(options) { (stand) async throws in
            stand.changeConfig { config in
                for index in config.accounts.indices { config.accounts[index].allowsOverages = allowsOverages }
            }
            try await stand.publish()
            try await body(stand)
        }
    }

    private static func ask(_ stand: Stand) async throws -> Int {
        let response = try await stand.post(path, body)
        _ = try await response.collect(limit: 1 << 20)
        return response.head.status
    }

    private static func carriesCredits(_ call: UpstreamCall) -> Bool {
        (try? JSON(call.body))?["enabledCreditTypes"] == ["GOOGLE_ONE_AI"]
    }

    private static func marks(_ stand: Stand) async throws -> AccountMarks {
        AccountMarks(try await stand.run("HGETALL", RedisNames.marks(of: account)))
    }

    @Test(
        "once model or account is limited a call is paid from the start, whoever knows of the limit",
        arguments: [modelLimit, accountLimit]
    )
    func pays(limit: String) async throws {
        try await crediting { (stand) async throws in
            stand.upstream.script = { call in
                if Self.carriesCredits(call) { call.answer(200, Self.answer) } else { call.answer(429, limit) }
            }
            #expect(try await Self.ask(stand) == 429)
            #expect(try await Self.ask(stand) == 200)
            // Another worker has no hints, but Redis.
            stand.context.slots.forgetHints(of: nil)
            #expect(try await Self.ask(stand) == 200)
            #expect(stand.upstream.calls.map(Self.carriesCredits) == [false, true, true])
            try await stand.quiesce()
            // What was paid for says nothing of the plan.
            #expect(try await Self.marks(stand).flags.count == 1)
        }
    }

    @Test("a call within the plan carries none, and none does where the owner does not allow it")
    func doesNotPay() async throws {
        try await crediting { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Self.answer) }
            #expect(try await Self.ask(stand) == 200)
            #expect(stand.upstream.calls.map(Self.carriesCredits) == [false])
        }
        try await crediting(allowsOverages: false) { (stand) async throws in
            stand.upstream.script = { $0.answer(429, Self.modelLimit) }
            #expect(try await Self.ask(stand) == 429)
            #expect(try await Self.ask(stand) == 503)
            #expect(stand.upstream.calls.count == 1)
        }
    }

    @Test("credits that are refused as too few are limited for five hours, and calls go to other accounts")
    func exhausted() async throws {
        try await crediting(accounts: 2) { (stand) async throws in
            stand.upstreams[0].script = { call in
                call.answer(429, Self.carriesCredits(call) ? Self.broke : Self.modelLimit)
            }
            stand.upstreams[1].script = { $0.answer(200, Self.answer) }
            for _ in 0..<4 { #expect(try await Self.ask(stand) == 200) }
            stand.context.slots.forgetHints(of: nil)
            #expect(try await Self.ask(stand) == 200)
            #expect(stand.upstreams[0].calls.map(Self.carriesCredits) == [false, true])
            try await stand.quiesce()
            let limits = try await Self.marks(stand).flags
            #expect(limits.map(\.kind.field).sorted() == ["model:AICredits", "model:gemini-3-pro"])
            let credits = try #require(limits.first { $0.kind == .modelLimited(AccountEffect.credits) })
            let rest = try #require(credits.until) - credits.setAt
            #expect(rest > .seconds(17_990) && rest <= .seconds(18_000))
        }
    }

    @Test("an ordinary limit, an error and a timeout say nothing of credits", arguments: [429, 408, 500, 503])
    func ordinary(status: Int) async throws {
        try await crediting { (stand) async throws in
            stand.upstream.script = { call in
                let text = status == 429 ? Self.refusal("", "Too many requests.") : Self.broke
                call.answer(
                    Self.carriesCredits(call) ? status : 429,
                    Self.carriesCredits(call) ? text : Self.modelLimit
                )
            }
            #expect(try await Self.ask(stand) == 429)
            _ = try await Self.ask(stand)
            #expect(stand.upstream.calls.count == 2)
            try await stand.quiesce()
            let flags = try await Self.marks(stand).flags
            #expect(flags.allSatisfy { $0.kind != .modelLimited(AccountEffect.credits) })
        }
    }

    @Test("a model that is not there is not paid for, nor is a pause that is a guess")
    func notPayable() async throws {
        try await crediting { (stand) async throws in
            stand.upstream.script = {
                $0.answer(404, #"{"error":{"code":404,"status":"NOT_FOUND","message":"Model not found."}}"#)
            }
            #expect(try await Self.ask(stand) == 404)
            #expect(try await Self.ask(stand) == 503)
            stand.context.slots.forgetHints(of: nil)
            #expect(try await Self.ask(stand) == 503)
            #expect(stand.upstream.calls.count == 1)
        }
        try await crediting { (stand) async throws in
            stand.upstream.script = { $0.answer(429, Self.refusal("", "Slow down.")) }
            #expect(try await Self.ask(stand) == 429)
            #expect(try await Self.ask(stand) == 503)
            #expect(stand.upstream.calls.count == 1)
        }
    }
}
