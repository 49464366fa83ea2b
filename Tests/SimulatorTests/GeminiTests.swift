import Formats
import HTTPMessages
import Testing

@testable import SimulatorKit

@Suite("The Gemini simulator")
struct GeminiTests {
    private static let key: HeaderFields = ["x-goog-api-key": "AIza"]

    private func ask(
        _ desk: Desk,
        model: String = "gemini-sim",
        _ more: JSON = [:],
        method: String = "generateContent",
        headers: HeaderFields = Self.key
    ) -> AnswerPlan {
        let body: JSON = ["contents": [["role": "user", "parts": [["text": "Hello"]]]]]
        return desk.send("POST", "/v1beta/models/\(model):\(method)", headers, body.merged(with: more).encoded)
    }

    @Test("keys come in a header field or in the query, tokens as a bearer; each has its own refusal")
    func credentials() {
        let desk = Desk()
        desk.state.credentials.valid = ["good"]
        let target = "/v1beta/models/gemini-sim:countTokens"
        let body: [UInt8] = Array("{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}]}".utf8)
        func send(_ target: String, _ headers: HeaderFields) -> AnswerPlan { desk.send("POST", target, headers, body) }
        #expect(send(target, ["x-goog-api-key": "good"]).status == 200)
        #expect(send(target + "?key=good", [:]).status == 200)
        #expect(send(target, ["authorization": "Bearer good"]).status == 200)
        let key = send(target + "?key=bad", [:])
        #expect(key.status == 400)
        #expect(key.json["error"]?["details"]?[0]?["reason"] == "API_KEY_INVALID")
        let token = send(target, ["authorization": "Bearer bad"])
        #expect(token.status == 401)
        #expect(token.json["error"]?["status"] == "UNAUTHENTICATED")
        #expect(send(target, [:]).status == 403)
    }

    @Test("thoughts are shown when asked for, and their signature must come back unchanged")
    func thoughts() throws {
        let desk = Desk()
        let tools: JSON = [["function_declarations": [["name": "t", "parameters": ["type": "OBJECT"]]]]]
        let asked: JSON = [
            "tools": tools, "generationConfig": ["thinkingConfig": ["includeThoughts": true]],
            "toolConfig": ["functionCallingConfig": ["mode": "ANY"]],
        ]
        let answer = ask(desk, asked)
        let content = try #require(answer.json["candidates"]?[0]?["content"])
        let parts = try #require(content["parts"]?.array)
        #expect(parts.first?["thought"] == true)
        let call = try #require(parts.last)
        #expect(call["thoughtSignature"]?.string != nil)
        let usage = try #require(answer.json["usageMetadata"])
        let thoughts = try #require(usage["thoughtsTokenCount"]?.int)
        #expect(thoughts > 0)
        #expect(
            usage["totalTokenCount"]?.int
                == (usage["promptTokenCount"]?.int ?? 0) + (usage["candidatesTokenCount"]?.int ?? 0) + thoughts
        )
        func follow(_ content: JSON) -> AnswerPlan {
            let result: JSON = ["functionResponse": ["name": "t", "response": ["result": "sunny"]]]
            return ask(
                desk,
                asked.merged(with: [
                    "contents": [
                        ["role": "user", "parts": [["text": "Hello"]]], content, ["role": "user", "parts": [result]],
                    ]
                ])
            )
        }
        let good = follow(content)
        #expect(
            good.json["candidates"]?[0]?["content"]?["parts"]?.array?.last?["text"]?.string?.hasSuffix("t=sunny;")
                == true
        )
        var forged = call
        forged["thoughtSignature"] = "AAAA"
        let bad = follow(["role": "model", "parts": [forged]])
        #expect(bad.status == 400)
        #expect(bad.errorMessage == "Thought signature is not valid")
        let hidden = ask(desk, ["generationConfig": ["thinkingConfig": ["thinkingBudget": 100]]])
        #expect(hidden.json["candidates"]?[0]?["content"]?["parts"]?.array?.contains { $0["thought"] == true } == false)
        #expect((hidden.json["usageMetadata"]?["thoughtsTokenCount"]?.int ?? 0) > 0)
        #expect(
            ask(desk, ["generationConfig": ["thinkingConfig": ["thinkingBudget": 0]]]).usage.last?.total.reasoning == 0
        )
    }

    @Test("a stream is events or one array, and the usage grows to its end", arguments: ["?alt=sse", ""])
    func streams(alt: String) throws {
        let plan = ask(Desk(), model: "gemini-sim-e5-o60-i3", method: "streamGenerateContent\(alt)")
        let objects = alt.isEmpty ? try #require(plan.json.array) : plan.events.map(\.data)
        #expect(objects.count == 6)
        let outputs = objects.compactMap { $0["usageMetadata"]?["candidatesTokenCount"]?.int }
        #expect(outputs == [10, 20, 30, 40, 50, 60])
        #expect(plan.usage.map(\.total.output) == outputs)
        let type = plan.head?.headers["content-type"]
        #expect(type?.hasPrefix(alt.isEmpty ? "application/json" : "text/event-stream") == true)
    }

    @Test("an error after content is the last element of the stream", arguments: ["?alt=sse", ""], [0, 2])
    func errorEvent(alt: String, after: Int) throws {
        let plan = ask(Desk(), model: "gemini-sim-e5-errevent\(after)", method: "streamGenerateContent\(alt)")
        let objects = alt.isEmpty ? try #require(plan.json.array) : plan.events.map(\.data)
        #expect(objects.count == after + 1)
        #expect(objects.last?["error"]?["status"] == "UNAVAILABLE")
    }

    @Test("a refusal is a candidate without parts")
    func safety() {
        let plan = ask(Desk(), model: "gemini-sim-refuse")
        #expect(plan.json["candidates"]?[0]?["finishReason"] == "SAFETY")
        #expect(plan.json["candidates"]?[0]?["content"]?["parts"] == nil)
    }

    @Test(
        "a bad body is refused",
        arguments: [
            ["contents": []], ["contents": [["role": "x", "parts": [["text": "a"]]]]],
            ["contents": [["role": "user", "parts": []]]], ["contents": [["role": "user", "parts": [[:]]]]],
            ["contents": [["parts": [["inlineData": ["mimeType": "image/png", "data": "###"]]]]]],
            ["generationConfig": ["temperature": 3]], ["generationConfig": ["maxOutputTokens": 0]],
            ["toolConfig": ["functionCallingConfig": ["mode": "ANY", "allowedFunctionNames": ["x"]]]],
            ["contents": [["parts": [["functionResponse": ["name": "t", "response": [:]]]]]]],
        ] as [JSON]
    )
    func refused(change: JSON) {
        let plan = ask(Desk(), change)
        #expect(plan.status == 400)
        #expect(plan.json["error"]?["status"] == "INVALID_ARGUMENT")
    }

    @Test(
        "each 429 says what its word asks for",
        arguments: [
            ("429", nil, nil), ("429retry30", "retryDelay", "30s"), ("429ms1500", "retryDelay", "1.500s"),
            ("429quota3605", "quotaResetDelay", "1h0m5s"),
            ("429quota90", "quotaResetTimeStamp", "2027-01-15T08:01:30Z"),
            ("429past90", "quotaResetTimeStamp", "2027-01-15T07:58:30Z"),
            ("429credits", "reason", "INSUFFICIENT_G1_CREDITS_BALANCE"),
            ("429capacity", "reason", "MODEL_CAPACITY_EXHAUSTED"), ("429model30", "retryDelay", "30s"),
            ("429neg", "retryDelay", "-60s"), ("429huge", "retryDelay", "99999999999999999999s"),
            ("429junk", "retryDelay", "soon"),
        ] as [(String, String?, String?)]
    )
    func limits(word: String, name: String?, value: String?) {
        let plan = ask(Desk(), model: "gemini-sim-\(word)")
        #expect(plan.status == 429)
        #expect(plan.json["error"]?["status"] == "RESOURCE_EXHAUSTED")
        let details = plan.json["error"]?["details"]?.array ?? []
        guard let name else { return #expect(details.isEmpty) }
        #expect(details.contains { ($0[name] ?? $0["metadata"]?[name])?.string == value })
    }

    @Test("what a 403 says is what its word asks for")
    func forbidden() {
        let desk = Desk()
        func error(_ word: String) -> JSON? { ask(desk, model: "gemini-sim-403\(word)").json["error"] }
        let validation = error("validation")
        #expect(validation?["details"]?[0]?["reason"] == "VALIDATION_REQUIRED")
        let url = validation?["details"]?[0]?["metadata"]?["validation_url"]?.string
        #expect(url?.hasPrefix("https://accounts.google.com/") == true)
        let text = ask(desk, model: "gemini-sim-403validationtext")
        #expect(text.text.contains("https:\\/\\/accounts.google.com\\/"))
        #expect(url.map { text.errorMessage?.contains($0) } == true)
        #expect(error("violation")?["details"]?[0]?["metadata"]?["appeal_url"] != nil)
        #expect(error("violationtext")?["message"]?.string?.contains("appeal at https://") == true)
        #expect(error("banned")?["message"]?.string?.contains("http") == false)
        #expect(error("")?["details"] == nil)
        #expect(ask(desk, model: "gemini-sim-403html").text.hasPrefix("<html>"))
        #expect(
            ask(desk, model: "gemini-sim-400project").errorMessage?.contains("Invalid project resource name") == true
        )
        #expect(ask(desk, model: "gemini-sim-404").json["error"]?["status"] == "NOT_FOUND")
    }

    @Test("tokens are counted, contents embedded, models listed")
    func others() {
        let desk = Desk()
        #expect(ask(desk, method: "countTokens").json["totalTokens"] == 2)
        let content: JSON = ["content": ["parts": [["text": "a"]]], "outputDimensionality": 3]
        #expect(ask(desk, content, method: "embedContent").json["embedding"]?["values"]?.array?.count == 3)
        let batch = ask(desk, ["requests": [content, content]], method: "batchEmbedContents")
        #expect(batch.json["embeddings"]?.array?.count == 2)
        #expect(desk.send("GET", "/v1beta/models", Self.key).json["models"]?[0]?["name"] == "models/gemini-sim")
        #expect(desk.send("GET", "/v1beta/models/any", Self.key).json["name"] == "models/any")
        #expect(ask(desk, method: "unknown").status == 404)
    }
}
