import Formats
import HTTPMessages
import Testing

@testable import SimulatorKit

@Suite("The OpenAI chat simulator")
struct OpenAIChatTests {
    private let bearer: HeaderFields = ["authorization": "Bearer sk-proj"]

    private func chat(_ desk: Desk, _ more: JSON) -> AnswerPlan {
        let body: JSON = ["model": "gpt-sim", "messages": [["role": "user", "content": "Hello"]]]
        return desk.send("POST", "/v1/chat/completions", bearer, body.merged(with: more).encoded)
    }

    @Test("a stream reports its usage only when asked, in a chunk of its own before the end")
    func streamUsage() throws {
        let desk = Desk()
        let silent = chat(desk, ["stream": true])
        #expect(silent.usage.isEmpty)
        #expect(silent.events.allSatisfy { $0.data["usage"] == nil })
        #expect(silent.text.hasSuffix("data: [DONE]\n\n"))
        let asked = chat(
            desk,
            ["model": "gpt-sim-i40-o9-cr2-rt3", "stream": true, "stream_options": ["include_usage": true]]
        )
        let chunks = asked.events.map(\.data)
        #expect(chunks[0]["choices"]?[0]?["delta"] == ["role": "assistant", "content": "", "refusal": .null])
        #expect(chunks.dropLast(2).allSatisfy { $0["usage"] == .null })
        let last = try #require(chunks.dropLast().last)
        #expect(last["choices"] == [])
        #expect(last["usage"]?["prompt_tokens"] == 42)
        #expect(last["usage"]?["completion_tokens"] == 9)
        #expect(last["usage"]?["total_tokens"] == 51)
        #expect(last["usage"]?["prompt_tokens_details"]?["cached_tokens"] == 2)
        #expect(last["usage"]?["completion_tokens_details"]?["reasoning_tokens"] == 3)
        #expect(Set(chunks.compactMap { $0["id"]?.string }).count == 1)
    }

    @Test("tool results are repeated, and every call must have its own")
    func roundTrip() throws {
        let desk = Desk()
        let tools: JSON = [["type": "function", "function": ["name": "t", "parameters": ["type": "object"]]]]
        let first = chat(desk, ["tools": tools, "tool_choice": "required"])
        let message = try #require(first.json["choices"]?[0]?["message"])
        let id = try #require(message["tool_calls"]?[0]?["id"]?.string)
        func follow(_ more: [JSON]) -> AnswerPlan {
            let messages: [JSON] = [["role": "user", "content": "Hello"], message] + more
            return chat(desk, ["tools": tools, "tool_choice": "required", "messages": .array(messages)])
        }
        let answered = follow([["role": "tool", "tool_call_id": .string(id), "content": "sunny"]])
        let text = answered.json["choices"]?[0]?["message"]?["content"]?.string
        #expect(text?.hasSuffix("Tool results: \(id)=sunny;") == true)
        #expect(follow([]).errorMessage?.contains("did not have response messages: \(id)") == true)
        let stray = follow([["role": "tool", "tool_call_id": "call_x", "content": ""]])
        #expect(stray.json["error"]?["param"] == "messages.[2].role")
    }

    @Test(
        "a bad body is refused with its parameter and code",
        arguments: [
            (["model": .null], .null, .null), (["messages": .null], "messages", "missing_required_parameter"),
            (["messages": []], "messages", "empty_array"),
            (["messages": [["role": "x", "content": ""]]], "messages[0].role", "invalid_value"),
            (
                ["messages": [["role": "user", "content": [["type": "x"]]]]], "messages[0].content[0].type",
                "invalid_value"
            ),
            (["temperature": 3], "temperature", "decimal_above_max_value"),
            (["max_tokens": 0], "max_tokens", "integer_below_min_value"),
            (["stream": "yes"], "stream", "invalid_type"),
            (["stream_options": [:]], "stream_options", .null),
            (["tool_choice": ["type": "function", "function": ["name": "x"]]], "tool_choice", .null),
        ] as [(JSON, JSON, JSON)]
    )
    func refused(change: JSON, param: JSON, code: JSON) {
        let plan = chat(Desk(), change)
        #expect(plan.status == 400)
        #expect(plan.json["error"]?["type"] == "invalid_request_error")
        #expect(plan.json["error"]?["param"] == param)
        #expect(plan.json["error"]?["code"] == code)
    }

    @Test("images and files are accepted and counted, a schema is answered")
    func parts() throws {
        let desk = Desk()
        let image: JSON = ["type": "image_url", "image_url": ["url": "data:image/png;base64,AAAA"]]
        let plan = chat(
            desk,
            ["messages": [["role": "user", "content": [["type": "text", "text": "What?"], image]]]]
        )
        #expect(plan.json["usage"]?["prompt_tokens"] == 1002)
        let schema: JSON = ["type": "object", "properties": ["n": ["type": "integer"]]]
        let format: JSON = ["type": "json_schema", "json_schema": ["name": "x", "schema": schema]]
        let structured = chat(desk, ["response_format": format])
        let text = try #require(structured.json["choices"]?[0]?["message"]?["content"]?.string)
        #expect(try JSON(text: text) == ["n": 7])
    }

    @Test("a long beginning that was sent before is read from the cache, in blocks of 128 tokens")
    func cache() {
        let desk = Desk()
        let long = JSON.string(String(repeating: "word ", count: 1_000))
        func ask(_ last: String) -> JSON? {
            chat(
                desk,
                ["messages": [["role": "system", "content": long], ["role": "user", "content": .string(last)]]]
            )
            .json["usage"]?["prompt_tokens_details"]?["cached_tokens"]
        }
        #expect(ask("one") == 0)
        #expect(ask("two") == 1152)
        #expect(ask("two") == 1152)
    }

    @Test("thinking is paid for and not shown, a refusal has its own member")
    func reasoning() {
        let desk = Desk()
        let plan = chat(desk, ["reasoning_effort": "high"])
        #expect((plan.json["usage"]?["completion_tokens_details"]?["reasoning_tokens"]?.int ?? 0) > 0)
        #expect(chat(desk, ["reasoning_effort": "none"]).usage.last?.total.reasoning == 0)
        let refusal = chat(desk, ["model": "gpt-sim-refuse"]).json["choices"]?[0]?["message"]
        #expect(refusal?["content"] == .null)
        #expect(refusal?["refusal"]?.string?.contains("cannot help") == true)
    }

    @Test(
        "each 429 says what its word asks for",
        arguments: [
            ("429", [:], [:]), ("429retry30", ["retry-after": "30"], [:]),
            ("429reset3605", ["x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1h0m5s"], [:]),
            ("429codex90", ["x-codex-primary-used-percent": "100", "x-codex-primary-reset-after-seconds": "90"], [:]),
            (
                "429codexweekly90",
                ["x-codex-secondary-used-percent": "100", "x-codex-secondary-reset-at": "1800000090"], [:]
            ),
            ("429usage90", [:], ["resets_at": 1_800_000_090, "resets_in_seconds": 90]),
            ("429in90", [:], ["resets_in_seconds": 90]), ("429at90", [:], ["resets_at": 1_800_000_090]),
            ("429ms90", [:], ["resets_at": 1_800_000_090_000]), ("429past90", [:], ["resets_at": 1_799_999_910]),
            ("429quota", [:], ["code": "insufficient_quota"]),
            ("429neg", ["retry-after": "-60"], ["resets_at": "-60"]),
            ("429junk", ["retry-after": "soon"], ["resets_at": "soon"]),
        ] as [(String, JSON, JSON)]
    )
    func limits(word: String, headers: JSON, body: JSON) {
        let plan = chat(Desk(), ["model": .string("gpt-sim-\(word)")])
        #expect(plan.status == 429)
        for (name, value) in headers.object ?? [] { #expect(plan.head?.headers[name] == value.string) }
        if headers == [:] { #expect(plan.head?.headers["retry-after"] == nil) }
        for (name, value) in body.object ?? [] { #expect(plan.json["error"]?[name] == value) }
        if body == [:] { #expect(plan.json["error"]?["resets_at"] == nil) }
    }

    @Test(
        "each 4xx has the code its word asks for",
        arguments: [
            ("401detail", ["detail": "Unauthorized"], nil), ("401", nil, "invalid_api_key"),
            ("401invalidated", nil, "token_invalidated"), ("401revoked", nil, "token_revoked"),
            ("401expired", nil, "token_expired"), ("400disabled", nil, "organization_disabled"),
            ("402workspace", ["detail": ["code": "deactivated_workspace"]], nil), ("404", nil, "model_not_found"),
        ] as [(String, JSON?, String?)]
    )
    func refusals(word: String, body: JSON?, code: String?) {
        let plan = chat(Desk(), ["model": .string("gpt-sim-\(word)")])
        if let body { #expect(plan.json == body) }
        if let code { #expect(plan.json["error"]?["code"]?.string == code) }
        #expect(chat(Desk(), ["model": "gpt-sim-403html"]).text.hasPrefix("<html>"))
    }

    @Test("an error after content is an event of the dialect's error shape")
    func errorEvent() {
        let plan = chat(Desk(), ["model": "gpt-sim-e4-errevent1", "stream": true])
        #expect(plan.events.last?.data["error"]?["type"] == "server_error")
        #expect(!plan.text.contains("[DONE]"))
    }

    @Test("embeddings are numbers or base64, one for each input, and cost their input")
    func embeddings() {
        let desk = Desk()
        func ask(_ more: JSON) -> AnswerPlan {
            let body: JSON = ["model": "text-embedding-sim", "input": ["Hello", "Hello", "World!!!!"]]
            return desk.send("POST", "/v1/embeddings", bearer, body.merged(with: more).encoded)
        }
        let plan = ask(["dimensions": 3])
        let vectors = (plan.json["data"]?.array ?? []).map { $0["embedding"] }
        #expect(vectors.count == 3)
        #expect(vectors[0] == vectors[1])
        #expect(vectors[0] != vectors[2])
        #expect(vectors[0]?.array?.count == 3)
        #expect(plan.json["usage"]?["prompt_tokens"] == 7)
        #expect(plan.usage(after: plan.body.count).input == 7)
        let packed = ask(["dimensions": 3, "encoding_format": "base64"]).json["data"]?[0]?["embedding"]?.string
        #expect(packed.flatMap { Base64.decode($0) }?.count == 12)
        #expect(ask(["input": [1, 2, 3]]).json["usage"]?["total_tokens"] == 3)
        #expect(ask(["input": .null]).status == 400)
    }

    @Test("models are listed in the shape that the header fields ask for")
    func models() {
        let desk = Desk()
        #expect(desk.send("GET", "/v1/models", bearer).json["object"] == "list")
        #expect(desk.send("GET", "/v1/models/gpt-any", bearer).json["id"] == "gpt-any")
        #expect(desk.send("GET", "/v1/models").json["has_more"] == false)
        #expect(desk.send("GET", "/v1/chat/completions", bearer).status == 405)
    }
}
