import Dialects
import Domain
import Formats
import TestSupport
import Testing

@Suite("Requests of the Gemini API")
struct GeminiRequestTests {
    static func decode(_ text: String, stream: Bool = false) throws -> NeutralRequest {
        let envelope = RequestEnvelope(model: "gemini-x", isStream: stream, isSSE: true)
        let inner = JSONParser()
        return try JSONParser().parse(Array(text.utf8)) { try GeminiCodec.decodeRequest($0, envelope, inner) }
    }

    static func encode(_ request: NeutralRequest) throws -> JSON {
        try JSON(try GeminiCodec.encodeRequest(request, JSONParser()))
    }

    static func field(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch let fault as TranslationFault {
            switch fault.place {
            case .caller(let name): return name
            case .neutral(let field): return GeminiCodec.name(of: field)
            }
        } catch {
            return "\(error)"
        }
    }

    // MARK: Reading

    /// The documented examples of system instructions, sampling and structured output, in both spellings.
    @Test(
        "prompts, sampling and format are read in Google's two spellings",
        arguments: [
            """
            {"systemInstruction":{"parts":[{"text":"You are a cat."}]},
             "contents":[{"role":"user","parts":[{"text":"Hello"}]},{"role":"model","parts":[{"text":"Meow"}]},
                         {"parts":[{"text":"Again"}]}],
             "generationConfig":{"stopSequences":["Title"],"temperature":1.0,"maxOutputTokens":800,"topP":0.8,"topK":10,
                "seed":7,"presencePenalty":0.5,"frequencyPenalty":-0.5,"responseMimeType":"application/json",
                "responseSchema":{"type":"OBJECT","properties":{"n":{"type":"STRING","nullable":true}},
                  "propertyOrdering":["n"]},
                "thinkingConfig":{"thinkingBudget":1024,"includeThoughts":true}},
             "safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]}
            """,
            """
            {"system_instruction":{"parts":[{"text":"You are a cat."}]},
             "contents":[{"role":"user","parts":[{"text":"Hello"}]},{"role":"model","parts":[{"text":"Meow"}]},
                         {"role":"user","parts":[{"text":"Again"}]}],
             "generation_config":{"stop_sequences":["Title"],"temperature":1.0,"max_output_tokens":800,"top_p":0.8,
                "top_k":10.0,"seed":7,"presence_penalty":0.5,"frequency_penalty":-0.5,
                "response_mime_type":"application/json",
                "response_schema":{"type":"object","properties":{"n":{"type":"string","nullable":true}}},
                "thinking_config":{"thinking_budget":1024,"include_thoughts":true}}}
            """,
        ]
    )
    func reads(text: String) throws {
        let request = try Self.decode(text, stream: true)
        #expect(request.model == "gemini-x" && request.isStream && request.answer.isSSE)
        #expect(request.system == [.text("You are a cat.")])
        #expect(request.messages.map(\.role) == [.user, .assistant, .user])
        #expect(request.messages.flatMap(\.parts).compactMap(\.text) == ["Hello", "Meow", "Again"])
        #expect(request.maxTokens == 800 && request.topK == 10 && request.seed == 7)
        #expect(request.temperature?.value == 1 && request.topP?.value == 0.8)
        #expect(request.presencePenalty?.value == 0.5 && request.frequencyPenalty?.value == -0.5)
        #expect(request.stopSequences == ["Title"])
        let schema = RawJSON(trusted: Array(#"{"type":"object","properties":{"n":{"type":["string","null"]}}}"#.utf8))
        #expect(request.responseFormat == .jsonSchema(name: nil, description: nil, schema: schema, isStrict: nil))
        #expect(request.reasoning == NeutralReasoning(budget: 1024, includesThoughts: true))
    }

    @Test("functions, parallel calls without ids and their results find each other, always by the same ids")
    func tools() throws {
        let text = """
            {"contents":[
              {"role":"user","parts":[{"text":"Weather in Paris and Rome?"}]},
              {"role":"model","parts":[
                {"functionCall":{"name":"weather","args":{"city":"Paris","n":1.50}},"thoughtSignature":"c2VhbA=="},
                {"functionCall":{"name":"weather","args":{"city":"Rome"}}},
                {"functionCall":{"id":"own","name":"time"}}]},
              {"role":"user","parts":[
                {"functionResponse":{"name":"weather","response":{"result":"sunny"}}},
                {"functionResponse":{"id":"own","name":"time","response":{"error":"no clock"}}},
                {"functionResponse":{"name":"weather","response":{"temp":3,"unit":"C"}}}]}],
             "tools":[{"functionDeclarations":[
                {"name":"weather","description":"d","parameters":{"type":"OBJECT","properties":{"city":{"type":"STRING",
                  "minLength":"2"}},"required":["city"]}},
                {"name":"time","parametersJsonSchema":{"type":"object","x":1.0}}]},{"googleSearch":{}}],
             "toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["weather"]}}}
            """
        let request = try Self.decode(text)
        let uses = request.messages[1].parts.compactMap { part -> NeutralToolUse? in
            if case .toolUse(let use) = part.content { use } else { nil }
        }
        #expect(uses.map(\.id) == ["call_1_0", "call_1_1", "own"])
        #expect(uses[0].arguments.text == #"{"city":"Paris","n":1.50}"#)
        #expect(uses[0].signature == NeutralSignature("c2VhbA==", from: .gemini) && uses[1].signature == nil)
        #expect(uses[2].arguments == .emptyObject)
        let results = request.messages[2].parts.compactMap { part -> NeutralToolResult? in
            if case .toolResult(let result) = part.content { result } else { nil }
        }
        #expect(results.map(\.id) == ["call_1_0", "own", "call_1_1"])
        #expect(results.map(\.isError) == [false, true, false])
        #expect(results.map { $0.parts.compactMap(\.text) } == [["sunny"], ["no clock"], [#"{"temp":3,"unit":"C"}"#]])
        #expect(request.tools.map(\.name) == ["weather", "time"])
        #expect(
            request.tools[0].parameters?.text
                == #"{"type":"object","properties":{"city":{"type":"string","minLength":2}},"required":["city"]}"#
        )
        #expect(request.tools[1].parameters?.text == #"{"type":"object","x":1.0}"#)
        #expect(request.toolChoice == .named("weather"))
        #expect(request.serverTools == [.webSearch(NeutralWebSearch())])
        #expect(try Self.decode(text) == request)
    }

    @Test("images, documents and files are read, base 64 in either alphabet")
    func media() throws {
        let request = try Self.decode(
            """
            {"contents":[{"parts":[
              {"inlineData":{"mimeType":"image/png","data":"_-8="}},
              {"inline_data":{"mime_type":"application/pdf","data":"JVBERg"}},
              {"inlineData":{"mimeType":"text/plain","data":"aGk="}},
              {"fileData":{"fileUri":"https://x.example/a.jpg","mimeType":"image/jpeg"}},
              {"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/f","mimeType":"image/png"}},
              {"inlineData":{"mimeType":"audio/wav","data":"AAAA"}}]}]}
            """
        )
        let contents = request.messages[0].parts.map(\.content)
        func media(_ source: NeutralMedia.Source, _ at: Int, _ key: String) -> NeutralMedia {
            NeutralMedia(source, field: "contents[0].parts[\(at)].\(key)")
        }
        #expect(contents[0] == .image(media(.base64(mediaType: "image/png", data: "/+8="), 0, "inlineData")))
        #expect(
            contents[1] == .document(media(.base64(mediaType: "application/pdf", data: "JVBERg=="), 1, "inline_data"))
        )
        #expect(contents[2] == .document(media(.text("hi"), 2, "inlineData")))
        #expect(contents[3] == .image(media(.url("https://x.example/a.jpg"), 3, "fileData")))
        #expect(
            contents[4]
                == .image(media(.file(id: "https://generativelanguage.googleapis.com/v1beta/files/f"), 4, "fileData"))
        )
        #expect(contents[5] == .audio(media(.base64(mediaType: "audio/wav", data: "AAAA"), 5, "inlineData")))
    }

    @Test("another maker's seal comes through a caller's thoughtSignature, in whatever alphabet its client writes")
    func foreignSeals() throws {
        var answer = NeutralAnswer()
        let seal = NeutralSignature("EqoB+/x==", from: .anthropic)
        answer.blocks = [
            .thinking(NeutralThinking(text: "hm", signature: seal)), .redactedThinking(seal),
            .text("yes", citations: []),
        ]
        let context = AnswerContext(model: "m", requestID: "r", created: 0, options: NeutralAnswerOptions())
        let body = try JSON(GeminiCodec.encodeAnswer(answer, context))
        var parts = try #require(body["candidates"]?[0]?["content"]?["parts"]?.array)
        for at in parts.indices {
            guard let text = parts[at]["thoughtSignature"]?.string else { continue }
            // What Google's Python package makes of it.
            let bytes = try #require(Base64.decode(text))
            parts[at]["thoughtSignature"] = .string(Base64.encode(bytes, .url))
        }
        let request: JSON = ["contents": [["role": "model", "parts": .array(parts)]]]
        let read = try Self.decode(request.text).messages[0].parts.map(\.content)
        #expect(
            read == [.thinking(NeutralThinking(text: "hm", signature: seal)), .redactedThinking(seal), .text("yes")]
        )
    }

    @Test(
        "what no other platform can do is refused by the caller's own name",
        arguments: [
            (#"{}"#, "contents"), (#"{"contents":{}}"#, "contents"), (#"{"contents":[],"contents":[]}"#, "contents"),
            (#"{"contents":[],"cachedContent":"x"}"#, "cachedContent"),
            (#"{"contents":[],"cached_content":"x"}"#, "cached_content"),
            (#"{"contents":[{"role":"wizard"}]}"#, "contents[0].role"),
            (
                #"{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"!"}}]}]}"#,
                "contents[0].parts[0].inlineData.data"
            ),
            (
                #"{"contents":[{"parts":[{"inlineData":{"mimeType":"video/mp4","data":"AAAA"}}]}]}"#,
                "contents[0].parts[0].inlineData.mimeType"
            ),
            (#"{"contents":[{"parts":[{"videoMetadata":{}}]}]}"#, "contents[0].parts[0]"),
            (
                #"{"contents":[{"parts":[{"functionResponse":{"name":"f","response":{}}}]}]}"#,
                "contents[0].parts[0].functionResponse.name"
            ),
            (#"{"contents":[{"role":"user","parts":[{"functionCall":{"name":"f"}}]}]}"#, "contents[0].parts[0]"),
            (#"{"contents":[],"tools":[{"urlContext":{}}]}"#, "tools[0].urlContext"),
            (#"{"contents":[],"tools":[{"functionDeclarations":[{}]}]}"#, "tools[0].functionDeclarations[0].name"),
            (
                #"{"contents":[],"toolConfig":{"functionCallingConfig":{"mode":"X"}}}"#,
                "toolConfig.functionCallingConfig.mode"
            ),
            (#"{"contents":[],"generationConfig":{"candidateCount":2}}"#, "generationConfig.candidateCount"),
            (
                #"{"contents":[],"generationConfig":{"responseModalities":["IMAGE"]}}"#,
                "generationConfig.responseModalities"
            ),
            (
                #"{"contents":[],"generationConfig":{"responseMimeType":"text/x.enum"}}"#,
                "generationConfig.responseMimeType"
            ),
            (#"{"contents":[],"generationConfig":{"maxOutputTokens":1e30}}"#, "generationConfig.maxOutputTokens"),
            (#"{"contents":[],"generationConfig":{"maxOutputTokens":-1}}"#, "generationConfig.maxOutputTokens"),
            (#"{"contents":[],"generationConfig":{"temperature":"hot"}}"#, "generationConfig.temperature"),
            (#"{"contents":[],"generationConfig":{"topP":1,"top_p":1}}"#, "generationConfig.topP"),
            (
                #"{"contents":[],"generationConfig":{"thinkingConfig":{"thinkingLevel":"WILD"}}}"#,
                "generationConfig.thinkingConfig.thinkingLevel"
            ),
        ]
    )
    func refuses(text: String, field: String) {
        #expect(Self.field { _ = try Self.decode(text) } == field)
    }

    @Test("mutated requests never crash, and what is read can be written again", arguments: 0..<3)
    func fuzz(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let text = Array(
            """
            {"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"é😀"},
            {"inlineData":{"mimeType":"image/png","data":"AAAA"}}]},{"role":"model","parts":[{"text":"t","thought":true,
            "thoughtSignature":"c2VhbA=="},{"functionCall":{"name":"f","args":{"a":[1,2.5e3,null]}}}]},{"role":"user",
            "parts":[{"functionResponse":{"name":"f","response":{"output":"x"}}}]}],"tools":[{"functionDeclarations":
            [{"name":"f","parameters":{"type":"OBJECT","anyOf":[{"type":"STRING"}]}}]}],"generationConfig":{"topK":40}}
            """.utf8
        )
        let parser = JSONParser()
        let inner = JSONParser()
        var read = 0
        for _ in 0..<3000 {
            let bytes = random.mutated(text, alphabet: Array(#"{}[]",:0123456789.eE-\u""#.utf8))
            let request = try? parser.parse(bytes) {
                try GeminiCodec.decodeRequest($0, RequestEnvelope(model: "m"), inner)
            }
            guard let request else { continue }
            read += 1
            if let body = try? GeminiCodec.encodeRequest(request, inner) {
                #expect(throws: Never.self) { try JSON(body) }
            }
        }
        #expect(read > 0)
    }

    @Test("a schema as deep as the parser goes is converted, and a deeper one refused")
    func depth() throws {
        func schema(_ depth: Int) -> String {
            String(repeating: #"{"type":"ARRAY","items":"#, count: depth) + #"{"type":"STRING"}"#
                + String(repeating: "}", count: depth)
        }
        func text(_ depth: Int) -> String {
            #"{"contents":[],"tools":[{"functionDeclarations":[{"name":"f","parameters":\#(schema(depth))}]}]}"#
        }
        #expect(try Self.decode(text(480)).tools.count == 1)
        #expect(throws: JSONError.tooDeep) { try Self.decode(text(600)) }
    }

    // MARK: Writing

    static var conversation: NeutralRequest {
        var request = NeutralRequest(model: "gemini-2.5-flash")
        request.system = [.text("Be brief.")]
        request.messages = [
            NeutralMessage(
                .user,
                [
                    .text("Look"),
                    NeutralPart(.image(NeutralMedia(.base64(mediaType: "image/png", data: "AAAA"), field: "f"))),
                ]
            ),
            NeutralMessage(
                .assistant,
                [
                    NeutralPart(
                        .thinking(NeutralThinking(text: "x", signature: NeutralSignature("s", from: .anthropic)))
                    ),
                    NeutralPart(
                        .toolUse(
                            NeutralToolUse(id: "a", name: "f", arguments: RawJSON(trusted: Array(#"{"n":1.0}"#.utf8)))
                        )
                    ),
                    NeutralPart(.toolUse(NeutralToolUse(id: "b", name: "g", arguments: .emptyObject))),
                ]
            ),
            NeutralMessage(.user, [NeutralPart(.toolResult(NeutralToolResult(id: "a", parts: [.text("1")])))]),
            NeutralMessage(
                .user,
                [NeutralPart(.toolResult(NeutralToolResult(id: "b", parts: [.text("bad")], isError: true)))]
            ),
            NeutralMessage(.system, [.text("Later rule.")]),
        ]
        return request
    }

    @Test("a conversation is written as Gemini wants it: results together, system prompts apart, digits kept")
    func writes() throws {
        let body = String(decoding: try GeminiCodec.encodeRequest(Self.conversation, JSONParser()), as: UTF8.self)
        #expect(
            body == #"{"contents":["#
                + #"{"role":"user","parts":[{"text":"Look"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]},"#
                + #"{"role":"model","parts":[{"functionCall":{"id":"a","name":"f","args":{"n":1.0}}},"#
                + #"{"functionCall":{"id":"b","name":"g","args":{}}}]},"#
                + #"{"role":"user","parts":[{"functionResponse":{"id":"a","name":"f","response":{"output":"1"}}},"#
                + #"{"functionResponse":{"id":"b","name":"g","response":{"error":"bad"}}}]}],"#
                + #""systemInstruction":{"parts":[{"text":"Be brief."},{"text":"Later rule."}]}}"#
        )
    }

    @Test("newer models get the seals of their calls back, and the documented word for calls of other makers")
    func seals() throws {
        var request = Self.conversation
        request.model = "gemini-3-pro-preview"
        var parts = try #require(try Self.encode(request)["contents"]?[1]?["parts"]?.array)
        #expect(parts.map { $0["thoughtSignature"]?.string } == ["skip_thought_signature_validator", nil])
        guard case .toolUse(var use) = request.messages[1].parts[1].content else { return }
        use.signature = NeutralSignature("own", from: .gemini)
        request.messages[1].parts[1].content = .toolUse(use)
        parts = try #require(try Self.encode(request)["contents"]?[1]?["parts"]?.array)
        #expect(parts.map { $0["thoughtSignature"]?.string } == ["own", nil])
    }

    @Test("tools, choice, sampling and format are written in Gemini's words")
    func options() throws {
        var request = NeutralRequest(model: "gemini-2.5-pro")
        request.messages = [NeutralMessage(.user, [.text("x")])]
        let schema = RawJSON(trusted: Array(##"{"$schema":"http://x","type":"object","$ref":"#/a","m":1e2}"##.utf8))
        request.tools = [
            NeutralTool(name: "f", description: "d", parameters: schema, isStrict: true),
            NeutralTool(name: "g", parameters: .emptyObject),
        ]
        request.serverTools = [.webSearch(NeutralWebSearch()), .codeExecution]
        request.toolChoice = .named("f")
        request.maxTokens = 5
        request.temperature = JSONNumber(3)
        request.topP = JSONNumber(0.5)
        request.topK = 4
        request.stopSequences = ["a", "", "b", "c", "d", "e", "f"]
        request.responseFormat = .jsonSchema(name: "n", description: nil, schema: schema, isStrict: true)
        request.reasoning = NeutralReasoning(effort: .low)
        let body = try GeminiCodec.encodeRequest(request, JSONParser())
        #expect(
            String(decoding: body, as: UTF8.self)
                == #"{"contents":[{"role":"user","parts":[{"text":"x"}]}],"tools":[{"functionDeclarations":["#
                + ##"{"name":"f","description":"d","parametersJsonSchema":{"type":"object","$ref":"#/a","m":1e2}},"##
                + #"{"name":"g"}]},{"googleSearch":{}},{"codeExecution":{}}],"#
                + #""toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}},"#
                + #""generationConfig":{"maxOutputTokens":5,"temperature":2.0,"topP":0.5,"topK":4,"stopSequences":["a","b","c","d","e"],"#
                + ##""responseMimeType":"application/json","responseJsonSchema":{"type":"object","$ref":"#/a","m":1e2},"##
                + #""thinkingConfig":{"thinkingBudget":1024,"includeThoughts":true}}}"#
        )
    }

    @Test(
        "a wish to think is told in the model's own terms",
        arguments: [
            ("gemini-2.5-pro", NeutralReasoning(budget: 0), #"{"thinkingBudget":128,"includeThoughts":false}"#),
            ("gemini-2.5-flash", NeutralReasoning(budget: 0), #"{"thinkingBudget":0,"includeThoughts":false}"#),
            ("gemini-2.5-flash-lite", NeutralReasoning(budget: 100), #"{"thinkingBudget":512,"includeThoughts":true}"#),
            ("gemini-2.5-flash", NeutralReasoning(budget: 99_999), #"{"thinkingBudget":24576,"includeThoughts":true}"#),
            ("gemini-2.5-flash", NeutralReasoning(isAdaptive: true), #"{"thinkingBudget":-1,"includeThoughts":true}"#),
            (
                "gemini-3-pro-preview", NeutralReasoning(effort: .minimal),
                #"{"thinkingLevel":"LOW","includeThoughts":true}"#
            ),
            (
                "gemini-3-flash-preview", NeutralReasoning(budget: 20_000),
                #"{"thinkingLevel":"HIGH","includeThoughts":true}"#
            ),
            (
                "gemini-3-flash-preview", NeutralReasoning(budget: 0),
                #"{"thinkingLevel":"MINIMAL","includeThoughts":false}"#
            ),
            (
                "gemini-3.8-flash", NeutralReasoning(budget: 0), #"{"thinkingLevel":"LOW","includeThoughts":false}"#
            ),
            (
                "gemini-flash-lite-latest", NeutralReasoning(budget: 0),
                #"{"thinkingLevel":"MINIMAL","includeThoughts":false}"#
            ),
            ("gemini-2.0-flash", NeutralReasoning(effort: .high), nil),
            ("claude-sonnet-4-5", NeutralReasoning(effort: .high), nil),
        ] as [(String, NeutralReasoning, String?)]
    )
    func thinking(model: String, reasoning: NeutralReasoning, expected: String?) throws {
        var request = NeutralRequest(model: model)
        request.reasoning = reasoning
        #expect(try Self.encode(request)["generationConfig"]?["thinkingConfig"]?.text == expected)
    }

    @Test("what Gemini cannot do is refused by the caller's field")
    func refusesToWrite() {
        func field(_ change: (inout NeutralRequest) -> Void) -> String? {
            var request = Self.conversation
            change(&request)
            return Self.field { _ = try Self.encode(request) }
        }
        #expect(field { $0.seed = 1 << 40 } == "generationConfig.seed")
        #expect(field { $0.tools = [NeutralTool(name: "1x")] } == "tools")
        #expect(field { $0.tools = [NeutralTool(name: "a b")] } == "tools")
        #expect(field { $0.messages.remove(at: 1) } == "contents")
        var search = NeutralWebSearch()
        search.allowedDomains = ["x.example"]
        #expect(field { $0.serverTools = [.webSearch(search)] } == "tools")
        let file = NeutralPart(.image(NeutralMedia(.file(id: "file-1"), field: "messages.0.content.0.source")))
        #expect(field { $0.messages[0].parts.append(file) } == "messages.0.content.0.source")
    }

    @Test("one call at a time is asked for in words, and a lone system prompt becomes the question")
    func inWords() throws {
        var request = NeutralRequest(model: "gemini-2.5-flash")
        request.system = [.text("Hello")]
        request.tools = [NeutralTool(name: "f")]
        request.allowsParallelTools = false
        let body = try Self.encode(request)
        #expect(body["contents"]?[0]?["parts"]?[0]?["text"]?.string == "Hello")
        #expect(body["systemInstruction"]?["parts"]?[0]?["text"]?.string?.contains("at most one function") == true)
    }
}
