import Domain
import Formats
import GatewayKit
import HTTPFetching
import HTTPMessages
import Redis
import Snapshots
import TestSupport
import Testing

@Suite(
    "Groups whose accounts can be asked different things",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct MixedGroupTests {
    private static let two =
        #"{"model":"gpt-a","n":2,"messages":[{"role":"user","content":"hi"}]}"#

    private static var options: Stand.Options {
        var options = Stand.Options()
        options.platform = .openai
        options.accounts = 2
        options.fields = ["upstream_api": "chat"]
        return options
    }

    /// Two accounts of OpenAI's, the first of which has the Responses API alone.
    private static func prepare(_ stand: Stand) {
        stand.changeConfig { $0.accounts[0].plainCredentials["upstream_api"] = "responses" }
        stand.context.config = GatewayConfig(stand.config)
        for upstream in stand.upstreams { upstream.script = { $0.answer(200, Speech.chat.answer) } }
    }

    @Test("what one account cannot be asked goes to one that can, and the first keeps nothing of it")
    func other() async throws {
        try await standing(Self.options) { (stand) async throws in
            Self.prepare(stand)
            let response = try await stand.post("/v1/chat/completions", Self.two)
            #expect(response.head.status == 200)
            #expect(stand.upstreams.map(\.calls.count) == [0, 1])
            try await stand.quiesce()
            for account in stand.config.accounts {
                #expect(try await stand.count("ZCARD", RedisNames.slots(of: account.id)) == 0)
            }
        }
    }

    @Test("where no account can be asked it, the caller is told which field is at fault")
    func none() async throws {
        try await standing(Self.options) { (stand) async throws in
            Self.prepare(stand)
            stand.changeConfig { $0.accounts[1].isSchedulable = false }
            stand.context.config = GatewayConfig(stand.config)
            let response = try await stand.post("/v1/chat/completions", Self.two)
            #expect(response.head.status == 400)
            #expect(try await response.text().contains(#""param":"n""#))
            #expect(stand.upstreams.map(\.calls.count) == [0, 0])
        }
    }

    @Test("a field that one account cannot be asked is no news where the other one fails")
    func failing() async throws {
        try await standing(Self.options) { (stand) async throws in
            Self.prepare(stand)
            stand.upstreams[1].script = { $0.answer(500, "{}") }
            let response = try await stand.post("/v1/chat/completions", Self.two)
            #expect(response.head.status == 500)
        }
    }
}
