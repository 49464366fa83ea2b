import Dialects
import Domain
import Formats
import HTTPFetching
import HTTPMessages
import Reactor
import SimulatorKit
import TestSupport
import Testing

@testable import GatewayKit

@Suite(
    "Counting tokens",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct CountTests {
    /// Members that only matter for an answer, which no API that counts takes.
    private static let ofAnswers = [
        "max_tokens", "stream", "temperature", "top_p", "stop_sequences", "metadata", "generationConfig",
    ]
    private static let anthropicBody =
        #""max_tokens":9,"stream":true,"temperature":0.5,"system":"Be brief.","messages":[{"role":"user","content":"hi"}],"tools":[{"name":"get_time","input_schema":{"type":"object"}}]}"#
    private static let geminiRequest =
        #""contents":[{"role":"user","parts":[{"text":"hi"}]}],"systemInstruction":{"parts":[{"text":"Be brief."}]}"#

    private func options(_ platform: Platform, _ type: AccountType = .apikey) -> Stand.Options {
        var options = Stand.Options()
        options.isSimulated = true
        options.platform = platform
        options.type = type
        if platform == .antigravity { options.fields = ["project_id": "p-1"] }
        return options
    }

    /// What the upstream got: where, and which members its request has.
    private func sent(_ stand: Stand) throws -> (path: Substring, JSON) {
        let records = stand.simulator.log.records(after: 0, limit: 10)
        try #require(records.count == 1, "one request went up")
        let record = try #require(records.first)
        let body = try JSON(record.body ?? [])
        return (record.head.path, body["generateContentRequest"] ?? body["request"] ?? body)
    }

    @Test(
        "an Anthropic caller's tokens are counted by Google, of the request and nothing of an answer",
        arguments: [(Platform.gemini, AccountType.apikey), (.gemini, .oauth), (.antigravity, .oauth)]
    )
    func byGoogle(platform: Platform, type: AccountType) async throws {
        try await standing(options(platform, type)) { (stand) async throws in
            let model = "gemini-sim-i77"
            let body = #"{"model":"\#(model)","# + Self.anthropicBody
            let response = try await stand.post("/v1/messages/count_tokens", body)
            let text = try await response.text()
            #expect(response.head.status == 200 && text == #"{"input_tokens":77}"#, "had \(text)")
            let (path, request) = try sent(stand)
            #expect(path.hasSuffix(":countTokens"))
            #expect(request["contents"]?[0]?["parts"]?[0]?["text"]?.string == "hi")
            #expect(request["systemInstruction"]?["parts"]?[0]?["text"]?.string == "Be brief.")
            #expect(request["tools"]?[0]?["functionDeclarations"]?[0]?["name"]?.string == "get_time")
            for name in Self.ofAnswers { #expect(request[name] == nil, "had \(name)") }
            #expect(try await stand.records().isEmpty)
        }
    }

    @Test(
        "Antigravity's count reaches a Gemini caller, whose request it gets in an envelope of its own",
        arguments: ["{\(geminiRequest)}", #"{"generateContentRequest":{"model":"models/x",\#(geminiRequest)}}"#]
    )
    func byAntigravity(body: String) async throws {
        try await standing(options(.antigravity, .oauth)) { (stand) async throws in
            let path = "/antigravity/v1beta/models/gemini-sim-i79:countTokens"
            let response = try await stand.post(path, body)
            let text = try await response.text()
            #expect(try JSON(text: text)["totalTokens"]?.int == 79, "had \(text)")
            let (upstreamPath, request) = try sent(stand)
            #expect(upstreamPath == "/v1internal:countTokens")
            #expect(request["model"]?.string == "models/gemini-sim-i79")
            #expect(request["contents"]?[0]?["parts"]?[0]?["text"]?.string == "hi")
        }
    }

    @Test(
        "a Gemini caller's tokens are counted by Anthropic, of contents as of a whole request",
        arguments: [
            "{\(geminiRequest)}",
            #"{"generateContentRequest":{"model":"models/x",\#(geminiRequest),"generationConfig":{"maxOutputTokens":9,"temperature":0.5}}}"#,
            #"{"generate_content_request":{\#(geminiRequest)}}"#,
        ],
        [AccountType.apikey, .oauth]
    )
    func byAnthropic(body: String, type: AccountType) async throws {
        try await standing(options(.anthropic, type)) { (stand) async throws in
            let response = try await stand.post("/v1beta/models/claude-sim-i78:countTokens", body)
            let text = try await response.text()
            #expect(response.head.status == 200 && text == #"{"totalTokens":78}"#, "had \(text)")
            let (path, request) = try sent(stand)
            #expect(path == "/v1/messages/count_tokens")
            #expect(request["model"]?.string == "claude-sim-i78")
            #expect(request["messages"]?[0]?["content"]?[0]?["text"]?.string == "hi")
            #expect(request["system"]?[0]?["text"]?.string == "Be brief.")
            for name in Self.ofAnswers { #expect(request[name] == nil, "had \(name)") }
            #expect(try await stand.records().isEmpty)
        }
    }

    @Test("an Anthropic caller's tokens are counted by AWS, for the model and not for its profile")
    func byBedrock() async throws {
        var options = options(.anthropic, .bedrock)
        options.fields = ["auth_mode": "apikey", "region": "eu-west-1"]
        try await standing(options) { (stand) async throws in
            let body = #"{"model":"claude-sim-i81","# + Self.anthropicBody
            let response = try await stand.post("/v1/messages/count_tokens", body)
            #expect(try await response.text() == #"{"input_tokens":81}"#)
            let (path, request) = try sent(stand)
            #expect(path == "/model/anthropic.claude-sim-i81/count-tokens")
            #expect(request["input"]?["invokeModel"]?["body"]?.string != nil)
        }
    }

    @Test(
        "callers' tokens are counted by OpenAI, of the request and nothing of an answer",
        arguments: [
            ("/v1/messages/count_tokens", #"{"model":"gpt-sim-i82","# + anthropicBody, #"{"input_tokens":82}"#),
            ("/v1beta/models/gpt-sim-i82:countTokens", "{" + geminiRequest + "}", #"{"totalTokens":82}"#),
        ]
    )
    func byOpenAI(path: String, body: String, expected: String) async throws {
        try await standing(options(.openai)) { (stand) async throws in
            let response = try await stand.post(path, body)
            #expect(try await response.text() == expected)
            let (path, request) = try sent(stand)
            #expect(path == "/v1/responses/input_tokens")
            #expect(request["model"]?.string == "gpt-sim-i82")
            #expect(request["instructions"]?.string == "Be brief.")
            for name in ["stream", "store", "max_output_tokens", "temperature"] { #expect(request[name] == nil) }
        }
    }

    @Test(
        "where the upstream's count is refused, or cannot be had, an estimate stands in and the account stays",
        arguments: ["401", "403", "404", "429", "500", "reset", "garbage"]
    )
    func refused(fault: String) async throws {
        try await standing(options(.openai)) { (stand) async throws in
            let body = #"{"model":"gpt-sim-\#(fault)","messages":[{"role":"user","content":"hi"}]}"#
            let count = try await stand.post("/v1/messages/count_tokens", body).text()
            #expect(count == #"{"input_tokens":\#(body.utf8.count / 4 + 1)}"#)
            let answer = try await stand.post(
                "/v1/messages",
                #"{"model":"gpt-sim","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#
            )
            #expect(answer.head.status == 200)
        }
    }

    @Test(
        "where no upstream counts, a token is four bytes of the body, an image what it usually is",
        arguments: [0, 40_000]
    )
    func estimated(mediaBytes: Int) async throws {
        var options = options(.openai)
        options.fields = ["upstream_api": "chat"]
        try await standing(options) { (stand) async throws in
            let media = String(repeating: "A", count: mediaBytes)
            let text =
                #"{"contents":[{"role":"user","parts":[{"text":"hi"},{"inlineData":{"mimeType":"image/png","data":"\#(media)"}}]}]}"#
            let expected = (text.utf8.count - mediaBytes) / 4 + 1 + 1600
            let response = try await stand.post("/v1beta/models/gpt-sim:countTokens", text)
            #expect(try await response.text() == #"{"totalTokens":\#(expected)}"#)
            let whole = #"{"model":"gpt-sim","# + Self.anthropicBody
            let count = try await stand.post("/v1/messages/count_tokens", whole).text()
            #expect(count == #"{"input_tokens":\#(whole.utf8.count / 4 + 1)}"#)
            #expect(stand.simulator.log.totals.calls == 0)
        }
    }
}
