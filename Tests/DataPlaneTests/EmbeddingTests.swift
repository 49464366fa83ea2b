import Domain
import Formats
import HTTPFetching
import HTTPMessages
import HTTPServing
import SimulatorKit
import TestSupport
import Testing

@testable import GatewayKit

@Suite("Embeddings", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct EmbeddingTests {
    private static let body = #"{"model": "gemini-embedding-a","input":["one","two"],"dimensions":2,"future":1.50}"#
    private static let answer =
        #"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.25, -1e-3]}],"model":"gemini-embedding-a","usage":{"prompt_tokens":8,"total_tokens":8},"future":[1, 2]}"#

    private func options(_ platform: Platform, _ type: AccountType) -> Stand.Options {
        var options = Stand.Options()
        options.platform = platform
        options.type = type
        if type == .oauth, platform == .gemini { options.fields = ["project_id": "p-1"] }
        return options
    }

    @Test(
        "a Gemini account is asked at Google's OpenAI-compatible path; both bodies pass byte for byte",
        arguments: [(AccountType.apikey, "Bearer sk-upstream-1"), (.oauth, "Bearer at-sk-upstream-1")]
    )
    func gemini(type: AccountType, authorization: String) async throws {
        try await standing(options(.gemini, type)) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Self.answer) }
            let response = try await stand.post("/v1/embeddings", Self.body)
            #expect(response.head.status == 200)
            #expect(try await response.text() == Self.answer)
            let call = try await stand.upstream.call()
            #expect(call.text == Self.body && call.exchange.request.target == "/v1beta/openai/embeddings")
            #expect(call.exchange.request.headers["authorization"] == authorization)
            #expect(call.exchange.request.headers["x-api-key"] == nil)
            #expect(call.exchange.request.headers["x-goog-user-project"] == (type == .oauth ? "p-1" : nil))
            let record = try #require(try await stand.records(1).first)
            #expect(record.usage == TokenUsage(input: 8) && record.dialect == .openaiChat && !record.isEstimated)
            // 3 USD a million tokens.
            #expect(!record.isStream && record.end == .complete && record.cost == NanoUSD(24_000))
        }
    }

    @Test("a mapped model has the upstream's name there and the caller's name here")
    func mapped() async throws {
        var options = options(.gemini, .apikey)
        options.mapping = ["text-embedding-mine": "gemini-embedding-a"]
        try await standing(options) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Self.answer) }
            let mine = { (text: String) in text.replacing("gemini-embedding-a", with: "text-embedding-mine") }
            let response = try await stand.post("/v1/embeddings", mine(Self.body))
            #expect(try await response.text() == mine(Self.answer))
            #expect(try await stand.upstream.call().text == Self.body)
            let record = try #require(try await stand.records(1).first)
            #expect(record.model == "text-embedding-mine" && record.upstreamModel == "gemini-embedding-a")
        }
    }

    @Test("the simulator's vectors are billed as it counted", arguments: [Platform.openai, .gemini])
    func counted(platform: Platform) async throws {
        var options = options(platform, .apikey)
        options.isSimulated = true
        try await standing(options) { (stand) async throws in
            let model = platform == .openai ? "text-embedding-sim-i9" : "gemini-sim-i9"
            let response = try await stand.post("/v1/embeddings", #"{"model":"\#(model)","input":["one","two","one"]}"#)
            let vectors = try JSON(text: try await response.text())["data"]?.array?.map { $0["embedding"] } ?? []
            #expect(vectors.count == 3 && vectors[0] == vectors[2] && vectors[0] != vectors[1])
            #expect(try await stand.records(1).first?.usage == TokenUsage(input: 9))
        }
    }

    @Test("an answer that does not say what it cost is billed by what was asked, never by its vectors")
    func estimated() async throws {
        try await standing(options(.gemini, .apikey)) { (stand) async throws in
            let answer = Self.answer.replacing(#""usage":{"prompt_tokens":8,"total_tokens":8},"#, with: "")
            stand.upstream.script = { $0.answer(200, answer) }
            _ = try await stand.post("/v1/embeddings", Self.body).text()
            let record = try #require(try await stand.records(1).first)
            #expect(record.isEstimated && record.usage == TokenUsage(input: Int64(Self.body.utf8.count / 4 + 1)))
        }
    }

    @Test("an upstream's refusal reaches the caller as it came, and a failure moves on to the next account")
    func failures() async throws {
        var options = options(.gemini, .apikey)
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            let refusal = #"{"error":{"code":400,"message":"bad input","status":"INVALID_ARGUMENT"}}"#
            stand.upstreams[0].script = { $0.answer(400, refusal) }
            let refused = try await stand.post("/v1/embeddings", Self.body)
            #expect(refused.head.status == 400)
            #expect(try await refused.text() == refusal)
            stand.upstreams[0].script = { $0.answer(500, "oops") }
            stand.upstreams[1].script = { $0.answer(200, Self.answer) }
            #expect(try await stand.post("/v1/embeddings", Self.body).text() == Self.answer)
        }
    }

    @Test(
        "where the provider has none, the caller learns that it is no use to ask again",
        arguments: [(Platform.anthropic, AccountType.apikey), (.antigravity, .oauth), (.openai, .oauth)]
    )
    func none(platform: Platform, type: AccountType) async throws {
        try await standing(options(platform, type)) { (stand) async throws in
            let response = try await stand.post("/v1/embeddings", #"{"model":"gpt-a","input":"hi"}"#)
            let error = try JSON(text: try await response.text())["error"]
            #expect(response.head.status == 400 && error?["code"]?.string == "invalid_request")
            #expect(error?["param"]?.string == "model")
            #expect(stand.upstream.calls.isEmpty)
            #expect(try await stand.records().isEmpty)
            try await stand.quiesce()
        }
    }
}
