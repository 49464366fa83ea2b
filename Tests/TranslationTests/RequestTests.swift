import Dialects
import Domain
import Formats
import Testing

@Suite("Translated requests")
struct RequestTests {
    private static let dialects: [Dialect] = [.anthropic, .openaiChat, .openaiResponses, .gemini]

    @Test("a request read, written and read again in its own dialect is the same", arguments: dialects)
    func roundTrip(_ dialect: Dialect) throws {
        var request = try Translating.request(Fixture.bytes(dialect, "request-full.json"), of: dialect)
        // What may be said of thinking depends on it.
        request.model = dialect == .gemini ? "gemini-2.5-flash" : "any-model"
        let written = try Translating.codec(dialect).encodeRequest(request, JSONParser())
        let again = try Translating.request(written, of: dialect)
        #expect(Said(again) == Said(request))
        #expect(again.tools == request.tools && again.toolChoice == request.toolChoice)
        #expect(again.stopSequences == request.stopSequences && again.maxTokens == request.maxTokens)
        #expect(again.allowsParallelTools == request.allowsParallelTools && again.isStream == request.isStream)
        #expect(again.reasoning?.resolvedEffort == request.reasoning?.resolvedEffort)
        if dialect != .anthropic { #expect(again.responseFormat == request.responseFormat) }
    }

    @Test("what is said survives the way through every other dialect", arguments: dialects)
    func throughOthers(_ dialect: Dialect) throws {
        var request = try Translating.request(Fixture.bytes(dialect, "request-full.json"), of: dialect)
        request.stopSequences = []
        // Gemini says it in words.
        request.allowsParallelTools = nil
        for other in Self.dialects where other != dialect {
            let written = try Translating.codec(other).encodeRequest(request, JSONParser())
            let read = try Translating.request(written, of: other)
            #expect(Said(read).words == Said(request).words, "as \(other)")
            #expect(Said(read).calls == Said(request).calls, "as \(other)")
            #expect(Said(read).images == Said(request).images, "as \(other)")
            #expect(read.tools.map(\.name) == request.tools.map(\.name))
            #expect(read.maxTokens == request.maxTokens)
        }
    }

    @Test("digits of arguments and schemas are carried as they were written")
    func precision() throws {
        let request = try Translating.request(Fixture.bytes(.anthropic, "request-full.json"), of: .anthropic)
        let body = String(
            decoding: try Translating.codec(.openaiChat).encodeRequest(request, JSONParser()),
            as: UTF8.self
        )
        #expect(body.contains(#"\"depth\":12345678901234567890.50,\"depth\":1}"#))
        #expect(body.contains(#""maximum":1e400"#))
    }

    // MARK: To Anthropic

    @Test("chat's request becomes a message request")
    func chatToAnthropic() throws {
        let request = try Translating.request(Fixture.bytes(.openaiChat, "request-full.json"), of: .openaiChat)
        let body = try Translating.body(request, to: .anthropic)
        #expect(body["system"]?.array?.compactMap { $0["text"]?.string } == ["You keep a harbour log.", "Be brief."])
        #expect(body["messages"]?.array?.compactMap { $0["role"]?.string } == ["user", "assistant", "user"])
        let last = body["messages"]?[2]?["content"]?.array?.compactMap { $0["type"]?.string }
        #expect(last == ["tool_result", "tool_result", "text", "image", "image", "document"])
        #expect(body["max_tokens"] == 4096)
        #expect(body["temperature"] == 1.0, "clamped, as Anthropic's own endpoint does")
        #expect(body["tool_choice"] == ["type": "any", "disable_parallel_tool_use": true])
        #expect(body["output_config"]?["format"]?["type"] == "json_schema")
        #expect(body["stop_sequences"] == ["END"])
        #expect(body["thinking"] == nil, "a forced tool and thinking exclude each other")
        #expect(body["seed"] == nil && body["frequency_penalty"] == nil)
    }

    @Test(
        "max_tokens has a default by model where chat may leave it out",
        arguments: [
            ("claude-3-haiku-20240307", 4096), ("claude-3-5-sonnet-20241022", 8192), ("claude-sonnet-4-5", 32_000),
            ("us.anthropic.claude-opus-4-20250514-v1:0", 32_000), ("something-else", 32_000),
            ("claude-fable-5-1", 32_000),
        ]
    )
    func defaultMaxTokens(_ model: String, _ expected: Int64) throws {
        let request = try Translating.request(
            #"{"model":"\#(model)","messages":[{"role":"user","content":"hi"}]}"#,
            of: .openaiChat
        )
        #expect(try Translating.body(request, to: .anthropic)["max_tokens"]?.int64 == expected)
    }

    @Test(
        "an effort becomes a budget that fits, or adaptive thinking where the model knows that",
        arguments: [
            ("claude-sonnet-4-5", 32_000, #"{"type":"enabled","budget_tokens":8192}"#),
            ("claude-sonnet-4-5", 4096, #"{"type":"enabled","budget_tokens":2048}"#),
            ("claude-sonnet-4-5", 1500, #"{"type":"enabled","budget_tokens":1024}"#),
            ("claude-sonnet-4-5", 1000, "null"), ("claude-3-5-haiku-20241022", 8000, "null"),
            ("claude-opus-4-6", 8000, #"{"type":"adaptive"}"#),
            ("claude-opus-4-7", 8000, #"{"type":"adaptive","display":"summarized"}"#),
            ("claude-haiku-5-5", 8000, #"{"type":"adaptive","display":"summarized"}"#),
        ]
    )
    func thinking(_ model: String, _ limit: Int, _ expected: String) throws {
        let request = try Translating.request(
            """
            {"model":"\(model)","max_completion_tokens":\(limit),"reasoning_effort":"medium","temperature":0.5,\
            "messages":[{"role":"user","content":"hi"}]}
            """,
            of: .openaiChat
        )
        let body = try Translating.body(request, to: .anthropic)
        #expect((body["thinking"] ?? .null) == (try JSON(text: expected)))
        #expect((body["temperature"] == nil) == (expected != "null"), "thinking takes no other temperature")
    }

    private func claude(_ model: String, _ members: String) throws -> JSON {
        let text = #"{"model":"\#(model)",\#(members),"messages":[{"role":"user","content":"hi"}]}"#
        return try Translating.body(try Translating.request(text, of: .openaiChat), to: .anthropic)
    }

    @Test(
        "a budget and the answer fit into the longest answer of the model",
        arguments: [
            ("claude-sonnet-4-5", "xhigh", 32_000, 64_000), ("claude-opus-4-1-20250805", "high", 16_000, 32_000),
            ("claude-opus-4-1-20250805", "low", 1024, 32_000), ("claude-haiku-4-5", "low", 1024, 33_024),
        ] as [(String, String, Int64, Int64)]
    )
    func longBudgets(model: String, effort: String, budget: Int64, limit: Int64) throws {
        let body = try claude(model, #""reasoning_effort":"\#(effort)""#)
        #expect(body["thinking"]?["budget_tokens"]?.int64 == budget && body["max_tokens"]?.int64 == limit)
    }

    @Test(
        "a wish not to think is told in the model's way",
        arguments: [
            ("claude-sonnet-4-5", "disabled", nil), ("claude-opus-4-7", "disabled", nil),
            ("claude-opus-5", "disabled", nil), ("claude-haiku-5-5", "disabled", nil),
            ("claude-sonnet-5-5", "between_tools", nil), ("claude-opus-5-5", nil, "low"),
            ("claude-fable-5", nil, "low"), ("anthropic.claude-mythos-5-1", nil, "low"),
            ("claude-mythos-preview", nil, "low"), ("claude-3-5-haiku-20241022", nil, nil),
        ] as [(String, String?, String?)]
    )
    func withoutThinking(model: String, type: String?, effort: String?) throws {
        let body = try claude(model, #""reasoning_effort":"none""#)
        #expect(body["thinking"]?["type"]?.string == type && body["output_config"]?["effort"]?.string == effort)
    }

    @Test(
        "the highest efforts are those that the model knows",
        arguments: [
            ("claude-opus-4-6", "high"), ("claude-sonnet-4-6", "high"), ("claude-mythos-preview", "high"),
            ("claude-opus-4-7", "xhigh"), ("claude-sonnet-5", "xhigh"), ("claude-fable-5-1", "xhigh"),
        ]
    )
    func extraHighEffort(model: String, effort: String) throws {
        let body = try claude(model, #""reasoning_effort":"xhigh""#)
        #expect(body["output_config"]?["effort"]?.string == effort)
    }

    @Test(
        "sampling is left out where the model refuses it, and one of two where it takes one",
        arguments: [
            ("claude-sonnet-4-20250514", ["temperature", "top_p"]), ("claude-opus-4-1", ["temperature"]),
            ("claude-sonnet-4-6", ["temperature"]), ("claude-opus-4-7", []), ("claude-haiku-5-5", []),
            ("claude-mythos-preview", []), ("something-else", ["temperature", "top_p"]),
        ]
    )
    func sampling(model: String, expected: [String]) throws {
        let body = try claude(model, #""temperature":0.5,"top_p":0.9"#)
        #expect(["temperature", "top_p"].filter { body[$0] != nil } == expected)
        #expect(try claude(model, #""top_p":0.9"#)["top_p"] == (expected.isEmpty ? nil : 0.9))
    }

    @Test(
        "OpenAI's models get the effort that they know, or the nearest below",
        arguments: [
            ("o3", "none", "low"), ("o4-mini", "max", "high"), ("gpt-5", "none", "minimal"),
            ("gpt-5-mini", "xhigh", "high"),
            ("gpt-5-codex", "minimal", "low"), ("gpt-5-pro", "low", "high"), ("gpt-5.1", "none", "none"),
            ("gpt-5.1", "minimal", "none"), ("gpt-5.1-codex", "none", "low"), ("gpt-5.4", "max", "xhigh"),
            ("gpt-5.3-codex", "minimal", "low"), ("gpt-5.2-pro", "low", "medium"), ("gpt-5.6-sol", "max", "max"),
            ("gpt-6-astra", "xhigh", "xhigh"), ("gpt-4.1", "high", nil), ("gpt-5-chat-latest", "high", nil),
            ("chatgpt-4o-latest", "high", nil), ("codex-mini-latest", "xhigh", "high"), ("gpt-oss-120b", "none", "low"),
            ("another-model", "xhigh", "high"),
        ] as [(String, String, String?)]
    )
    func openAIEfforts(model: String, wish: String, expected: String?) throws {
        var request = try Translating.request(
            #"{"contents":[{"parts":[{"text":"hi"}]}]}"#,
            of: .gemini
        )
        request.model = model
        request.reasoning = NeutralReasoning(effort: NeutralReasoning.Effort(rawValue: wish))
        #expect(try Translating.body(request, to: .openaiChat)["reasoning_effort"]?.string == expected)
        let reasoning = try Translating.body(request, to: .openaiResponses)["reasoning"]
        #expect(reasoning?["effort"]?.string == expected)
    }

    @Test(
        "OpenAI's models get sampling where they take it",
        arguments: [
            ("gpt-4.1", nil, true), ("gpt-5", nil, false), ("gpt-5-chat-latest", nil, true), ("o3-mini", nil, false),
            ("gpt-5.1", nil, true), ("gpt-5.1", .low, false), ("gpt-5.4", .some(.none), true),
            ("gpt-5.3-codex", nil, false), ("gpt-5.6", nil, false), ("another-model", .high, true),
            ("gpt-4o-search-preview", nil, false),
        ] as [(String, NeutralReasoning.Effort?, Bool)]
    )
    func openAISampling(model: String, effort: NeutralReasoning.Effort?, isThere: Bool) throws {
        let text =
            #"{"model":"m","max_tokens":9,"temperature":0.5,"top_p":0.9,"messages":[{"role":"user","content":"hi"}]}"#
        var request = try Translating.request(text, of: .anthropic)
        request.model = model
        request.reasoning = effort.map { NeutralReasoning(effort: $0) }
        for upstream in [Dialect.openaiChat, .openaiResponses] {
            let body = try Translating.body(request, to: upstream)
            #expect((body["temperature"] != nil) == isThere && (body["top_p"] != nil) == isThere)
        }
    }

    @Test("thoughts are asked for only by callers who may want them")
    func hiddenThoughts() throws {
        let text = #"""
            {"contents":[{"parts":[{"text":"hi"}]}],\#
            "generationConfig":{"thinkingConfig":{"thinkingLevel":"high","includeThoughts":false}}}
            """#
        var request = try Translating.request(text, of: .gemini)
        request.model = "claude-opus-5"
        #expect(try Translating.body(request, to: .anthropic)["thinking"] == ["type": "adaptive"])
    }

    @Test("thinking is left out in the middle of a tool call whose thoughts did not come back")
    func noThinkingMidTool() throws {
        let text = """
            {"model":"claude-sonnet-4-5","reasoning_effort":"high","messages":[{"role":"user","content":"hi"},\
            {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function",\
            "function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"1"}]}
            """
        #expect(try Translating.body(try Translating.request(text, of: .openaiChat), to: .anthropic)["thinking"] == nil)
    }

    @Test("a sealed thought that went out in chat comes back to Anthropic as it was")
    func sealSurvives() throws {
        let answer = try Translating.fold(Fixture.bytes(.anthropic, "thinking.sse"), of: .anthropic).answer
        for caller in [Dialect.openaiChat, .openaiResponses] {
            let whole = try JSON(Translating.codec(caller).encodeAnswer(answer, Translating.context))
            let turns: JSON =
                caller == .openaiChat
                ? [
                    "model": "m",
                    "messages": [["role": "user", "content": "a"], whole["choices"]![0]!["message"]!],
                ]
                : ["model": "m", "input": .array([["role": "user", "content": "a"]] + whole["output"]!.array!)]
            let request = try Translating.request(turns.encoded, of: caller)
            let body = try Translating.body(request, to: .anthropic)
            let parts = body["messages"]?[1]?["content"]?.array ?? []
            #expect(
                parts.first == [
                    "type": "thinking", "thinking": "First the moon, then the sun.",
                    "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h",
                ],
                "by \(caller)"
            )
            #expect(parts.dropFirst().first == ["type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"])
            // To any other upstream it is noise.
            let other = try Translating.body(request, to: caller == .openaiChat ? .openaiResponses : .openaiChat)
            #expect(!other.text.contains("EqQBCg"))
        }
    }

    @Test("OpenAI's sealed reasoning goes out to an Anthropic caller and comes back as the item it was")
    func reasoningItemSurvives() throws {
        let answer = try Translating.fold(Fixture.bytes(.openaiResponses, "reasoning.sse"), of: .openaiResponses).answer
        let whole = try JSON(Translating.codec(.anthropic).encodeAnswer(answer, Translating.context))
        let turns: JSON = [
            "model": "m", "max_tokens": 10,
            "messages": [["role": "user", "content": "a"], ["role": "assistant", "content": whole["content"]!]],
        ]
        let body = try Translating.body(try Translating.request(turns.encoded, of: .anthropic), to: .openaiResponses)
        #expect(
            body["input"]?[1] == [
                "type": "reasoning", "id": "rs_1",
                "summary": [["type": "summary_text", "text": "First the moon.\n\nThen the sun."]],
                "encrypted_content": "gAAAAABo.sealed",
            ]
        )
    }

    @Test("a seal of Gemini on a tool call comes back to the call through every dialect", arguments: dialects)
    func toolSealSurvives(_ caller: Dialect) throws {
        var answer = NeutralAnswer()
        let use = NeutralToolUse(
            id: "c1",
            name: "f",
            arguments: .emptyObject,
            signature: NeutralSignature("c2lnbmF0dXJl", from: .gemini)
        )
        answer.blocks = [.toolUse(use)]
        let whole = try JSON(Translating.codec(caller).encodeAnswer(answer, Translating.context))
        let user: JSON = ["role": "user", "content": "a"]
        let turns: JSON =
            switch caller {
            case .anthropic:
                [
                    "model": "m",
                    "messages": .array([user, ["role": "assistant", "content": whole["content"]!]]),
                ]
            case .openaiChat: ["model": "m", "messages": .array([user, whole["choices"]![0]!["message"]!])]
            case .gemini: ["contents": .array([whole["candidates"]![0]!["content"]!])]
            case .openaiResponses: ["model": "m", "input": .array([user] + whole["output"]!.array!)]
            }
        let request = try Translating.request(turns.encoded, of: caller)
        #expect(request.messages.last?.parts == [NeutralPart(.toolUse(use))])
    }
}

/// What a conversation says, whichever way it is cut into messages.
private struct Said: Equatable {
    var words: [String] = []
    var calls: [String] = []
    var images: [String] = []

    init(_ request: NeutralRequest) {
        for part in request.system + request.messages.flatMap(\.parts) { read(part) }
        words.sort()
        images.sort()
    }

    private mutating func read(_ part: NeutralPart) {
        switch part.content {
        // Several prompts are one text in some dialects.
        case .text(let text), .refusal(let text): words += text.components(of: "\n\n")
        case .image(let media): images.append("\(media.source)")
        case .audio: break
        case .document(let media):
            if case .text(let text) = media.source {
                words += [media.title, media.context, text].compactMap(\.self)
            } else {
                images.append("\(media.source)")
            }
        case .toolUse(let use): calls.append("\(use.id) \(use.name) \(use.arguments.text)")
        case .toolResult(let result):
            for part in result.parts {
                if let text = part.text { words.append(text.replacing("Error: ", with: "")) } else { read(part) }
            }
        case .thinking, .redactedThinking: break
        }
    }
}

extension String {
    fileprivate func components(of separator: String) -> [String] {
        split(separator: separator).map(String.init)
    }
}
