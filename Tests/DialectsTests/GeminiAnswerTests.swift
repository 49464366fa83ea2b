import Dialects
import Domain
import Formats
import TestSupport
import Testing

@Suite("Answers of the Gemini API")
struct GeminiAnswerTests {
    // MARK: Reading

    static func fold(_ text: String) throws -> NeutralFold {
        let fold = NeutralFold()
        try JSONParser().parse(Array(text.utf8)) { GeminiCodec.decodeAnswer($0, into: fold) }
        return fold
    }

    static func stream(_ chunks: [ArraySlice<UInt8>]) throws -> NeutralFold {
        let fold = NeutralFold()
        let decoder = GeminiCodec.makeStreamDecoder()
        let parser = JSONParser()
        var events = SSEParser()
        for chunk in chunks {
            try chunk.withUnsafeBytes { try events.feed($0) { decoder.receive($0, parser, into: fold) } }
        }
        decoder.finish(into: fold)
        return fold
    }

    static func sse(_ chunks: [String]) -> [UInt8] { Array(chunks.map { "data: \($0)\r\n\r\n" }.joined().utf8) }

    /// In the shape of the documentation's examples: thoughts, text, parallel calls with a seal, counts with a cache.
    static let chunks = [
        #"{"candidates":[{"content":{"parts":[{"text":"**Plan** é","thought":true}],"role":"model"},"index":0}],"#
            + #""usageMetadata":{"promptTokenCount":100,"totalTokenCount":120,"thoughtsTokenCount":20},"#
            + #""modelVersion":"gemini-2.5-flash","responseId":"aBc-1"}"#,
        #"{"candidates":[{"content":{"parts":[{"text":"I will "}],"role":"model"},"index":0}],"#
            + #""usageMetadata":{"promptTokenCount":100},"responseId":"aBc-1"}"#,
        #"{"candidates":[{"content":{"parts":[{"text":"look.\n"}],"role":"model"},"index":0}],"responseId":"aBc-1"}"#,
        #"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"weather","args":{"city":"Paris","n":1.50}},"#
            + #""thoughtSignature":"c2VhbA=="},{"functionCall":{"name":"weather","args":{"city":"Rome"}}}],"#
            + #""role":"model"},"index":0}],"responseId":"aBc-1"}"#,
        #"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],"#
            + #""usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":60,"candidatesTokenCount":30,"#
            + #""thoughtsTokenCount":20,"toolUsePromptTokenCount":5,"totalTokenCount":155},"responseId":"aBc-1"}"#,
    ]

    static var expected: NeutralAnswer {
        var answer = NeutralAnswer()
        answer.id = "aBc-1"
        answer.model = "gemini-2.5-flash"
        let seal = NeutralSignature("c2VhbA==", from: .gemini)
        func call(_ index: Int, _ arguments: String, _ signature: NeutralSignature? = nil) -> NeutralAnswer.Block {
            .toolUse(
                NeutralToolUse(
                    id: "call_aBc-1_\(index)",
                    name: "weather",
                    arguments: RawJSON(trusted: Array(arguments.utf8)),
                    signature: signature
                )
            )
        }
        answer.blocks = [
            .thinking(NeutralThinking(text: "**Plan** é")), .text("I will look.\n", citations: []),
            call(0, #"{"city":"Paris","n":1.50}"#, seal), call(1, #"{"city":"Rome"}"#),
        ]
        answer.usage = NeutralUsage(TokenUsage(input: 45, output: 50, cacheRead: 60), reasoning: 20, isFinal: true)
        answer.stop = .toolUse
        return answer
    }

    @Test("a stream is read the same wherever it is cut, and so is the same as one array")
    func streams() throws {
        let bytes = Self.sse(Self.chunks)
        for cut in 0...bytes.count {
            let fold = try Self.stream([bytes[..<cut], bytes[cut...]])
            guard fold.answer != Self.expected || !fold.hasEnded || fold.error != nil else { continue }
            Issue.record("cut at \(cut): \(fold.answer)")
        }
        #expect(try Self.stream(bytes.indices.map { bytes[$0...$0] }).answer == Self.expected)
        #expect(try Self.fold("[" + Self.chunks.joined(separator: ",") + "]").answer == Self.expected)
    }

    @Test("a stream that breaks off before a reason to finish has no end", arguments: 0..<4)
    func brokenOff(count: Int) throws {
        let fold = try Self.stream([Self.sse(Array(Self.chunks[...count].dropLast()))[...]])
        #expect(!fold.hasEnded && fold.error == nil)
    }

    @Test(
        "every reason to finish has its meaning",
        arguments: [
            ("STOP", .endTurn), ("MAX_TOKENS", .maxTokens), ("SAFETY", .refusal("SAFETY")),
            ("RECITATION", .refusal("RECITATION")), ("BLOCKLIST", .refusal("BLOCKLIST")),
            ("PROHIBITED_CONTENT", .refusal("PROHIBITED_CONTENT")), ("SPII", .refusal("SPII")),
            ("LANGUAGE", .refusal("LANGUAGE")), ("MALFORMED_FUNCTION_CALL", .malformedToolCall),
            ("UNEXPECTED_TOOL_CALL", .malformedToolCall), ("OTHER", .endTurn), ("NEWS", .refusal("NEWS")),
        ] as [(String, NeutralStop)]
    )
    func reasons(word: String, stop: NeutralStop) throws {
        let fold = try Self.fold(
            #"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"\#(word)"}],"usageMetadata":{}}"#
        )
        #expect(fold.hasEnded && fold.answer.stop == stop)
    }

    @Test("a blocked prompt is an answer that declines")
    func blocked() throws {
        let fold = try Self.fold(
            #"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":8}}"#
        )
        #expect(fold.hasEnded && fold.answer.blocks.isEmpty && fold.answer.stop == .refusal("PROHIBITED_CONTENT"))
        #expect(fold.answer.usage.tokens == TokenUsage(input: 8) && fold.answer.usage.isFinal)
    }

    @Test("pictures, code, its output and sources are told")
    func otherParts() throws {
        let fold = try Self.fold(
            #"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}},"#
                + #"{"executableCode":{"language":"PYTHON","code":"print(1)"}},"#
                + #"{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1"}},{"text":"One."}]},"#
                + #""finishReason":"STOP","groundingMetadata":{"groundingChunks":[{"web":{"uri":"https://a.example","#
                + #""title":"A"}},{"web":{"uri":"https://a.example"}},{"web":{}}]}}]}"#
        )
        #expect(
            fold.answer.blocks == [
                .image(mediaType: "image/png", data: "AAAA"),
                .text(
                    "\n```python\nprint(1)\n```\n\n```\n1\n```\nOne.",
                    citations: [NeutralCitation(url: "https://a.example", title: "A")]
                ),
            ]
        )
    }

    @Test(
        "errors are known by Google's name for them, alone, in an array or in a stream",
        arguments: [
            ("INVALID_ARGUMENT", 400, .invalidRequest), ("UNAUTHENTICATED", 401, .authentication),
            ("PERMISSION_DENIED", 403, .permission), ("NOT_FOUND", 404, .notFound),
            ("RESOURCE_EXHAUSTED", 429, .rateLimited), ("INTERNAL", 500, .upstream),
            ("UNAVAILABLE", 503, .overloaded), ("DEADLINE_EXCEEDED", 504, .timeout), ("NEW_WORD", 429, .rateLimited),
        ] as [(String, Int, NeutralError.Kind)]
    )
    func errors(name: String, status: Int, kind: NeutralError.Kind) throws {
        let text =
            #"{"error":{"code":\#(status),"message":"m","status":"\#(name)","details":[{"@type":"t"},"#
            + #"{"reason":"WHY"}]}}"#
        let expected = NeutralError(kind, "m", code: "WHY")
        for body in [text, "[\(text)]"] {
            #expect(try Self.fold(body).error == expected)
            let read = try JSONParser().parse(Array(body.utf8)) { GeminiCodec.decodeError($0, status: status) }
            #expect(read == expected)
        }
        #expect(try Self.stream([Self.sse([Self.chunks[0], text])[...]]).error == expected)
    }

    @Test(
        "what is no answer is an error or no end, never a crash",
        arguments: ["{}", "[]", "7", "null", "{\"candidates\":7}"]
    )
    func nothing(text: String) throws {
        let fold = try Self.fold(text)
        #expect(!fold.hasEnded)
    }

    @Test("absurd counts change nothing")
    func absurd() throws {
        let fold = try Self.fold(
            #"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":-4,"candidatesTokenCount":1e40,"#
                + #""thoughtsTokenCount":9223372036854775807,"cachedContentTokenCount":"9"}}"#
        )
        #expect(fold.hasEnded && fold.answer.usage.tokens.isZero && fold.answer.usage.reasoning == nil)
    }

    @Test("mutated streams never crash and keep the order of events", arguments: 0..<4)
    func fuzz(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let bytes = Self.sse(Self.chunks)
        for _ in 0..<1500 {
            let mutated = random.mutated(bytes, alphabet: Array("{}[]\",:\\u0é\n".utf8))
            let cut = random.below(mutated.count + 1)
            let whole = try Self.stream([mutated[...]])
            let parts = try Self.stream([mutated[..<cut], mutated[cut...]])
            #expect(whole.answer == parts.answer && whole.error == parts.error && whole.hasEnded == parts.hasEnded)
        }
    }

    // MARK: Writing

    static let context = AnswerContext(model: "mine", requestID: "req_1", created: 0, options: NeutralAnswerOptions())

    /// Gemini in, Gemini out: what is written must read as the same answer.
    static func translate(_ chunks: [ArraySlice<UInt8>], to encoder: any StreamEncoder) -> [UInt8] {
        let translator = StreamTranslator(from: GeminiCodec.makeStreamDecoder(), to: encoder)
        let parser = JSONParser()
        var out: [UInt8] = []
        for chunk in chunks { chunk.withUnsafeBytes { translator.feed($0, parser, into: &out) } }
        translator.finish(into: &out)
        return out
    }

    @Test("a stream that is written reads as the same answer, wherever its source was cut")
    func writesStream() throws {
        let bytes = Self.sse(Self.chunks)
        var expected = Self.expected
        expected.model = "mine"
        let whole = Self.translate([bytes[...]], to: GeminiCodec.makeStreamEncoder(Self.context))
        for cut in stride(from: 0, to: bytes.count, by: 7) {
            let out = Self.translate([bytes[..<cut], bytes[cut...]], to: GeminiCodec.makeStreamEncoder(Self.context))
            #expect(out == whole)
        }
        let fold = try Self.stream([whole[...]])
        #expect(fold.hasEnded)
        #expect(fold.answer.blocks == expected.blocks && fold.answer.stop == expected.stop)
        #expect(fold.answer.model == "mine" && fold.answer.id == "aBc-1")
        #expect(fold.answer.usage.tokens == TokenUsage(input: 45, output: 50, cacheRead: 60))
        #expect(fold.answer.usage.reasoning == 20)
    }

    @Test("a whole answer reads as the same answer")
    func writesWhole() throws {
        let body = GeminiCodec.encodeAnswer(Self.expected, Self.context)
        let fold = try Self.fold(String(decoding: body, as: UTF8.self))
        #expect(fold.hasEnded && fold.answer.blocks == Self.expected.blocks && fold.answer.stop == .toolUse)
        let counts = try #require(try JSON(body)["usageMetadata"])
        #expect(
            counts == [
                "promptTokenCount": 105, "cachedContentTokenCount": 60, "candidatesTokenCount": 30,
                "thoughtsTokenCount": 20, "totalTokenCount": 155,
            ]
        )
    }

    @Test("each event of a stream stands in the shape that Google's clients read")
    func shape() throws {
        let encoder = GeminiCodec.makeStreamEncoder(Self.context)
        var out: [UInt8] = []
        func send(_ event: NeutralEvent) { encoder.encode(event, into: &out) }
        LentText.lending("") { nothing in
            LentText.lending("a\"b") { piece in
                send(.start(id: nothing, model: nothing))
                send(.blockStart(.text))
                send(.text(piece))
                send(.blockEnd)
            }
        }
        send(.blockStart(.toolUse(id: "t", name: "f", signature: nil)))
        for piece in [#"{"a""#, ":1.0}"] { LentText.lending(piece) { send(.arguments($0)) } }
        send(.blockEnd)
        send(.usage(NeutralUsage(TokenUsage(input: 1, output: 2), isFinal: true)))
        send(.stop(.maxTokens))
        send(.end)
        #expect(
            String(decoding: out, as: UTF8.self)
                == #"data: {"candidates":[{"content":{"parts":[{"text":"a\"b"}],"role":"model"},"index":0}],"#
                + #""modelVersion":"mine","responseId":"req_1"}"# + "\n\n"
                + #"data: {"candidates":[{"content":{"parts":[{"functionCall":{"id":"t","name":"f","args":{"a":1.0}}}],"#
                + #""role":"model"},"index":0}],"modelVersion":"mine","responseId":"req_1"}"# + "\n\n"
                + #"data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"#
                + #""finishReason":"MAX_TOKENS","index":0}],"usageMetadata":{"promptTokenCount":1,"#
                + #""candidatesTokenCount":2,"totalTokenCount":3},"modelVersion":"mine","responseId":"req_1"}"# + "\n\n"
        )
    }

    @Test("a call whose arguments broke off keeps their text")
    func cutArguments() throws {
        let encoder = GeminiCodec.makeStreamEncoder(Self.context)
        var out: [UInt8] = []
        LentText.lending("") { encoder.encode(.start(id: $0, model: $0), into: &out) }
        encoder.encode(.blockStart(.toolUse(id: "t", name: "f", signature: nil)), into: &out)
        LentText.lending(#"{"a": "lo"#) { encoder.encode(.arguments($0), into: &out) }
        encoder.encode(.blockEnd, into: &out)
        #expect(String(decoding: out, as: UTF8.self).contains(#""args":{"_raw":"{\"a\": \"lo"}"#))
    }

    @Test("errors are written in Google's shape, in a body and in a stream")
    func writesErrors() throws {
        let error = NeutralError(.rateLimited, "slow \"down\"", code: "quota", field: "contents")
        let body = GeminiCodec.encodeError(error, status: 429, requestID: "r")
        let expected =
            #"{"error":{"code":429,"message":"slow \"down\"","status":"RESOURCE_EXHAUSTED","details":[{"@type":"#
            + #""type.googleapis.com/google.rpc.ErrorInfo","reason":"quota","metadata":{"field":"contents"}}]}}"#
        #expect(String(decoding: body, as: UTF8.self) == expected)
        var out: [UInt8] = []
        GeminiCodec.makeStreamEncoder(Self.context).encode(.error(error), into: &out)
        #expect(String(decoding: out, as: UTF8.self) == "data: \(expected)\n\n")
    }

    @Test("an answer of Gemini reaches callers of the other dialects, calls and thoughts included")
    func others() throws {
        let bytes = Self.sse(Self.chunks)
        let anthropic = Self.translate([bytes[...]], to: AnthropicMessagesCodec.makeStreamEncoder(Self.context))
        let text = String(decoding: anthropic, as: UTF8.self)
        for piece in [
            "thinking_delta", "I will ", #""name":"weather""#, "input_json_delta", #""stop_reason":"tool_use""#,
        ] {
            #expect(text.contains(piece), "\(piece)")
        }
        let chat = String(
            decoding: Self.translate([bytes[...]], to: OpenAIChatCodec.makeStreamEncoder(Self.context)),
            as: UTF8.self
        )
        for piece in ["reasoning_content", "look.", #""finish_reason":"tool_calls""#, "[DONE]"] {
            #expect(chat.contains(piece), "\(piece)")
        }
    }
}
