import Dialects
import Domain
import Formats
import Testing

@Suite("Translated streams")
struct StreamTests {
    @Test(
        "any split of the bytes gives the same output",
        arguments: Fixture.streams.map { "\($0.dialect.rawValue)/\($0.name)" }
    )
    func splits(_ path: String) throws {
        let (dialect, name) = try place(path)
        let bytes = Fixture.bytes(dialect, name)
        let parser = JSONParser()
        let whole = Translating.dialects.map {
            Translating.stream([bytes[...]], from: dialect, to: $0, parser).bytes
        }
        for offset in bytes.indices {
            // The decoder is what a cut could confuse, so that the callers take turns.
            let turn = offset % whole.count
            let parts = [bytes[..<offset], bytes[offset...]]
            guard Translating.stream(parts, from: dialect, to: Translating.dialects[turn], parser).bytes == whole[turn]
            else {
                Issue.record("cut at \(offset) the \(Translating.dialects[turn]) output differs")
                break
            }
        }
        for (caller, whole) in zip(Translating.dialects, whole) {
            #expect(!whole.isEmpty)
            let single = bytes.indices.map { bytes[$0...$0] }
            #expect(Translating.stream(single, from: dialect, to: caller, parser).bytes == whole)
        }
    }

    @Test(
        "a translated stream means what the upstream's meant",
        arguments: Fixture.streams.map { "\($0.dialect.rawValue)/\($0.name)" }
    )
    func keepsMeaning(_ path: String) throws {
        let (dialect, name) = try place(path)
        let original = try Translating.fold(Fixture.bytes(dialect, name), of: dialect)
        for caller in Translating.dialects {
            let translated = Translating.stream([Fixture.bytes(dialect, name)[...]], from: dialect, to: caller).bytes
            let read = try Translating.fold(translated, of: caller)
            #expect(read.error?.message == original.error?.message)
            guard original.error == nil else { continue }
            #expect(read.hasEnded)
            #expect(Meaning(read.answer) == Meaning(original.answer), "as \(caller)")
            let whole = Translating.codec(caller).encodeAnswer(original.answer, Translating.context)
            let fold = NeutralFold()
            try JSONParser().parse(whole) { Translating.codec(caller).decodeAnswer($0, into: fold) }
            #expect(Meaning(fold.answer) == Meaning(original.answer), "whole, as \(caller)")
        }
    }

    /// Those files were read by the official packages, strictly, when they were recorded.
    @Test(
        "a caller gets byte for byte what is on record",
        arguments: Fixture.streams.map { "\($0.dialect.rawValue)/\($0.name)" }
    )
    func golden(_ path: String) throws {
        let (dialect, name) = try place(path)
        for caller in Translating.dialects where caller != dialect {
            let bytes = Translating.stream([Fixture.bytes(dialect, name)[...]], from: dialect, to: caller).bytes
            let record = "\(dialect.rawValue)-\(name.split(separator: ".")[0])-as-\(caller.rawValue).sse"
            #expect(Fixture.matchesGolden(bytes, record), "\(record)")
        }
    }

    @Test("what a Responses stream repeats of a request that is laid out in lines stands on one line")
    func echo() throws {
        let request = try Translating.request(
            """
            {"model":"m","input":"x","stream":true,"metadata":{
              "a": "b"
            },\r
            "tools":[
              {"type":"function","name":"f",

               "parameters":{"type":"object"}}
            ]}
            """,
            of: .openaiResponses
        )
        var context = Translating.context
        context.options = request.answer
        let translator = StreamTranslator(
            from: Translating.codec(.anthropic).makeStreamDecoder(),
            to: Translating.codec(.openaiResponses).makeStreamEncoder(context)
        )
        let parser = JSONParser()
        var out: [UInt8] = []
        let name = try #require(Fixture.streams.first { $0.dialect == .anthropic }?.name)
        Fixture.bytes(.anthropic, name).withUnsafeBytes { translator.feed($0, parser, into: &out) }
        translator.finish(into: &out)
        var events = SSEParser()
        var tools: Set<String> = []
        try events.feed(out) { event in
            let json = try? JSON(Array(event.data))
            #expect(json != nil, "\(String(decoding: event.data.prefix(200), as: UTF8.self))")
            if let tool = json?["response"]?["tools"]?.array?.first?["name"]?.string { tools.insert(tool) }
        }
        #expect(tools == ["f"])
    }

    @Test("parallel calls that share an index and have no ids are told apart by their names")
    func sameIndex() throws {
        let calls = ["f", "g"].map {
            #"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"","function":{"name":"\#($0)","arguments":"{\"a\":1}"}}]}}]}"#
        }
        let end = [#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#, "data: [DONE]"]
        let fold = try Translating.fold(Array((calls + end).map { $0 + "\n\n" }.joined().utf8), of: .openaiChat)
        let names = fold.answer.blocks.compactMap { part -> String? in
            if case .toolUse(let use) = part { use.name } else { nil }
        }
        #expect(names == ["f", "g"] && fold.error == nil)
    }

    @Test("an empty thinking delta changes nothing")
    func emptyThinking() throws {
        func stream(_ deltas: [String]) -> [UInt8] {
            let events =
                [
                    #"{"type":"message_start","message":{"id":"m","model":"x"}}"#,
                    #"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
                ]
                + deltas.map {
                    #"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"\#($0)"}}"#
                } + [
                    #"{"type":"content_block_stop","index":0}"#,
                    #"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}"#,
                    #"{"type":"message_stop"}"#,
                ]
            return Array(("event: ping\ndata:\n\n" + events.map { "data: \($0)\n\n" }.joined()).utf8)
        }
        for caller in Translating.dialects {
            let with = Translating.stream([stream(["", "abc", ""])[...]], from: .anthropic, to: caller).bytes
            let without = Translating.stream([stream(["abc"])[...]], from: .anthropic, to: caller).bytes
            #expect(with == without, "\(caller)")
        }
    }

    @Test("deltas mean the same however their JSON is spelt")
    func spellings() throws {
        let texts = [
            #"plain"#, #"a \"quote\" and\n\ttabs \\ \/"#, #"\u6f6e 潮 🌊 \ud83c\udf0a"#, #""#, #"} }"#, #"\ud800 lone"#,
        ]
        for text in texts {
            func stream(_ delta: String) -> [UInt8] {
                Array(
                    """
                    data: {"type":"message_start","message":{"id":"m","model":"x"}}

                    data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

                    \(delta)data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}

                    data: {"type":"message_stop"}


                    """.utf8
                )
            }
            let usual = stream(
                "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"\(text)\"} }\n\n"
            )
            let spelt = stream(
                "data: {\"index\": 0, \"type\": \"content_block_delta\", \"delta\": {\"text\": \"\(text)\", \"type\":\"text_delta\"}}\n\n"
            )
            for caller in Translating.dialects {
                let expected = Translating.stream([spelt[...]], from: .anthropic, to: caller).bytes
                #expect(Translating.stream([usual[...]], from: .anthropic, to: caller).bytes == expected, "\(text)")
            }
        }
    }

    @Test("arguments may be laid out in lines: they reach every caller whole", arguments: ["\\n", "\\r\\n", "\\n\\n"])
    func argumentsInLines(_ lineEnd: String) throws {
        let arguments = #"{\#(lineEnd) \"city\": \"a\\nb\",\#(lineEnd) \"days\": 3\#(lineEnd)}"#
        let stream = """
            data: {"id":"c","model":"x","choices":[{"index":0,"delta":{"role":"assistant","tool_calls":\
            [{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"\(arguments)"}}]}}]}

            data: {"id":"c","model":"x","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

            data: [DONE]


            """
        for caller in Translating.dialects where caller != .openaiChat {
            let bytes = Translating.stream([Array(stream.utf8)[...]], from: .openaiChat, to: caller).bytes
            let answer = try Translating.fold(bytes, of: caller).answer
            guard case .toolUse(let use) = answer.blocks.first else {
                Issue.record("as \(caller): \(String(decoding: bytes, as: UTF8.self))")
                continue
            }
            #expect(try JSON(use.arguments.bytes) == ["city": "a\nb", "days": 3], "as \(caller)")
        }
    }

    private func place(_ path: String) throws -> (Dialect, String) {
        let parts = path.split(separator: "/").map(String.init)
        return (try #require(Dialect(rawValue: parts[0])), parts[1])
    }
}

/// What every dialect can tell of an answer.
struct Meaning: Equatable {
    var text = ""
    var thoughts = ""
    var calls: [String] = []
    var input: Int64
    var output: Int64
    var cacheRead: Int64
    var reachedLimit: Bool

    init(_ answer: NeutralAnswer) {
        for block in answer.blocks {
            switch block {
            case .text(let piece, _), .refusal(let piece): text += piece
            case .thinking(let thinking): thoughts += thinking.text
            case .toolUse(let use): calls.append("\(use.id) \(use.name) \(use.arguments.text)")
            case .image(let mediaType, let data): text += MarkdownImage.text(mediaType: mediaType, data: data)
            case .redactedThinking: break
            }
        }
        input = answer.usage.allInput
        output = answer.usage.tokens.output
        cacheRead = answer.usage.tokens.cacheRead
        reachedLimit = answer.stop == .maxTokens
    }
}
