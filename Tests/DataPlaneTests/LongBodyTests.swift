import Crypto
import Dialects
import Domain
import Formats
import HTTPFetching
import HTTPMessages
import Providers
import Reactor
import TestSupport
import Testing

@testable import GatewayKit

/// Says in the request's target whether it was written on the loop.
private struct Witness: Provider {
    let base: any Provider
    let loop: EventLoop
    let isRewriting: Bool

    var target: UpstreamTarget { base.target }
    func dialect(for route: CallRoute, model: String) -> Dialect? { route.dialect }
    func offers(_ model: String) -> Bool { true }
    func rewrites(_ call: Providers.UpstreamCall) -> Bool { isRewriting }
    func request(for call: Providers.UpstreamCall) throws -> UpstreamRequest? {
        guard call.model != "refused" else { throw GatewayError(.invalidRequest, "no", field: "model") }
        guard call.model != "missing" else { return nil }
        let target = loop.isCurrent ? "/on" : "/off"
        return UpstreamRequest(HTTPRequestHead(method: "POST", target: target, headers: [:]), body: call.body)
    }
    var verdicts: VerdictTable { base.verdicts }
}

@Suite(
    "Long bodies",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct LongBodyTests {
    private func written(
        _ loop: EventLoop,
        bytes: Int,
        isRewriting: Bool = true,
        changes: [CallSummary.Insertion] = [],
        model: String = "m"
    ) async throws -> UpstreamRequest? {
        let provider = Witness(
            base: try #require(ProviderRegistry.provider(for: ProviderAccount(platform: .openai, type: .apikey))),
            loop: loop,
            isRewriting: isRewriting
        )
        let call = Providers.UpstreamCall(
            dialect: .anthropic,
            model: model,
            body: [UInt8](repeating: UInt8(ascii: " "), count: bytes),
            now: Timestamp(microseconds: 0)
        )
        let request = AttemptRequest(provider: provider, call: call, changes: changes)
        return request.isLong ? try await request.write(off: loop) : try request.write()
    }

    @Test("one of more than 256 KiB is changed on another thread, every other on the loop")
    func threads() async throws {
        try await onLoop { loop in
            let long = 256 * 1024 + 1
            let change = CallSummary.Insertion(Array("{}".utf8), replacing: 4..<6)
            #expect(try await self.written(loop, bytes: long)?.head.target == "/off")
            let changed = try #require(try await self.written(loop, bytes: long, isRewriting: false, changes: [change]))
            #expect(changed.head.target == "/off" && changed.body.count == long)
            #expect(changed.body[3...6].elementsEqual(" {} ".utf8))
            #expect(try await self.written(loop, bytes: long, isRewriting: false)?.head.target == "/on")
            #expect(try await self.written(loop, bytes: long - 1)?.head.target == "/on")
            let short = try #require(try await self.written(loop, bytes: long - 1, changes: [change]))
            #expect(short.head.target == "/on" && short.body[4] == UInt8(ascii: "{"))
        }
    }

    @Test("what a provider refuses or lacks is told from there as from the loop", arguments: [10, 300_000])
    func refusals(bytes: Int) async throws {
        try await onLoop { loop in
            let missing = try await self.written(loop, bytes: bytes, model: "missing")
            #expect(missing == nil)
            await #expect(throws: GatewayError.self) {
                try await self.written(loop, bytes: bytes, model: "refused")
            }
        }
    }

    private static let text = String(repeating: "ein langer Text, ", count: 40_000)

    private func at(
        _ platform: Platform,
        _ type: AccountType,
        _ fields: [String: String] = [:],
        mapping: [String: String] = [:],
        _ body: @escaping @Sendable (Stand) async throws -> Void
    ) async throws {
        var options = Stand.Options()
        options.platform = platform
        options.type = type
        options.fields = fields
        options.mapping = mapping
        try await standing(options, body)
    }

    private static func message(_ model: String) -> String {
        #"{"model":"\#(model)","max_tokens":9,"messages":[{"role":"user","content":"\#(text)"}]}"#
    }

    @Test(
        "Bedrock's body is signed or sent as it is to be",
        arguments: [
            ["auth_mode": "apikey", "region": "us-east-1"],
            ["auth_mode": "sigv4", "region": "us-east-1", "access_key_id": "AKIDEXAMPLE"],
        ]
    )
    func bedrock(fields: [String: String]) async throws {
        try await at(.anthropic, .bedrock, fields) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message("claude-a")) }
            let response = try await stand.post("/v1/messages", Self.message("claude-a"))
            #expect(response.head.status == 200)
            _ = try await response.text()
            let sent = try JSON(text: try await stand.upstream.call().text)
            #expect(sent["anthropic_version"]?.string == "bedrock-2023-05-31" && sent["model"] == nil)
            #expect(sent["messages"]?[0]?["content"]?.string == Self.text)
        }
    }

    @Test("an OpenAI login gets its stream, and a caller who wants none a whole answer")
    func openAILogin() async throws {
        try await at(.openai, .oauth) { (stand) async throws in
            let output = #"[{"type":"message","content":[{"type":"output_text","text":"\#(Self.text)"}]}]"#
            let answer = #"{"id":"resp_1","status":"completed","model":"gpt-a","output":\#(output)}"#
            stand.upstream.script = {
                $0.stream(
                    "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":\(answer)}\n\n"
                )
            }
            let response = try await stand.post("/v1/responses", #"{"model":"gpt-a","input":"\#(Self.text)"}"#)
            #expect(try await response.text() == answer)
            let sent = try JSON(text: try await stand.upstream.call().text)
            #expect(sent["input"]?[0]?["content"]?.string == Self.text && sent["stream"]?.bool == true)
        }
    }

    @Test("an Antigravity login gets its envelope, and the caller what is in its answer's")
    func antigravity() async throws {
        try await at(.antigravity, .oauth, ["project_id": "p-1"]) { (stand) async throws in
            let answer = #"{"candidates":[{"content":{"parts":[{"text":"\#(Self.text)"}]},"finishReason":"STOP"}]}"#
            stand.upstream.script = { $0.answer(200, #"{"response":\#(answer)}"#) }
            let body = #"{"contents":[{"parts":[{"text":"\#(Self.text)"}]}]}"#
            let response = try await stand.post("/antigravity/v1beta/models/gemini-a:generateContent", body)
            #expect(try await response.text() == answer)
            #expect(
                try await stand.upstream.call().text == #"{"model":"gemini-a","project":"p-1","request":\#(body)}"#
            )
        }
    }

    @Test("a mapped model is named in it, and by the caller's name in the answer")
    func mapped() async throws {
        try await at(.anthropic, .apikey, mapping: ["claude-mine": "claude-a"]) { (stand) async throws in
            let answer = #"{"model":"claude-a","content":[{"type":"text","text":"\#(Self.text)"}]}"#
            stand.upstream.script = { $0.answer(200, answer) }
            let response = try await stand.post("/v1/messages", Self.message("claude-mine"))
            #expect(try await response.text() == answer.replacing("claude-a", with: "claude-mine", maxReplacements: 1))
            #expect(try await stand.upstream.call().text == Self.message("claude-a"))
        }
    }

    @Test("its tokens are estimated where no upstream counts them")
    func estimate() async throws {
        try await at(.openai, .apikey) { (stand) async throws in
            stand.upstream.script = { $0.answer(404, "{}") }
            let body = Self.message("gpt-a")
            let count = try await stand.post("/v1/messages/count_tokens", body).text()
            #expect(count == #"{"input_tokens":\#(body.utf8.count / 4 + 1)}"#)
        }
    }
}
