import Domain
import Formats
import Testing

@testable import Dialects

/// A report of usage in each dialect, as a whole answer and as a stream have it, and what it amounts to.
struct UsageReport: Sendable, CustomTestStringConvertible {
    let name: String
    let dialect: Dialect
    /// The whole answer; as the data of an event it ends a stream.
    let answer: String
    let usage: TokenUsage
    var testDescription: String { name }

    private static func chat(_ usage: String, model: String = "m", annotations: String = "[]") -> String {
        let message = #"{"content":"x","annotations":\#(annotations)}"#
        return #"{"model":"\#(model)","choices":[{"index":0,"delta":\#(message),"message":\#(message),"#
            + #""finish_reason":"stop"}],"usage":\#(usage)}"#
    }
    private static func responses(_ usage: String, output: String = "") -> String {
        #"{"id":"r","output":[\#(output)],"usage":\#(usage)}"#
    }
    private static func served(as tier: String) -> String {
        #"{"id":"r","object":"response","status":"completed","model":"gpt","service_tier":"\#(tier)","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"x"}]}],"usage":{"input_tokens":5,"output_tokens":6}}"#
    }
    private static func gemini(_ usage: String, model: String = "gemini-3-pro", grounding: String = "{}") -> String {
        #"{"modelVersion":"\#(model)","candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP","#
            + #""groundingMetadata":\#(grounding)}],"usageMetadata":\#(usage)}"#
    }
    private static func messages(_ usage: String) -> String {
        #"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"content":[],"usage":\#(usage)}"#
    }
    private static let queries = #"{"webSearchQueries":["tide calais","","tide calais","moon"]}"#

    static let all = [
        UsageReport(
            name: "chat with sound and images",
            dialect: .openaiChat,
            answer: chat(
                #"{"prompt_tokens":1000,"completion_tokens":90,"prompt_tokens_details":{"cached_tokens":200,"audio_tokens":300,"image_tokens":50},"completion_tokens_details":{"audio_tokens":60,"reasoning_tokens":5}}"#
            ),
            usage: TokenUsage(
                input: 800,
                output: 90,
                cacheRead: 200,
                inputMedia: .init(image: 50, audio: 300),
                outputMedia: .init(audio: 60)
            )
        ),
        UsageReport(
            name: "chat with writes to the cache",
            dialect: .openaiChat,
            answer: chat(
                #"{"prompt_tokens":1000,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":200,"cache_write_tokens":500}}"#
            ),
            usage: TokenUsage(input: 300, output: 9, cacheWrite5m: 500, cacheRead: 200)
        ),
        UsageReport(
            name: "chat whose parts are more than the whole",
            dialect: .openaiChat,
            answer: chat(
                #"{"prompt_tokens":10,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":900,"audio_tokens":99},"completion_tokens_details":{"audio_tokens":99,"image_tokens":-1}}"#
            ),
            usage: TokenUsage(output: 3, cacheWrite5m: 6, cacheRead: 4, outputMedia: .init(audio: 3))
        ),
        UsageReport(
            name: "chat that cites pages: one search",
            dialect: .openaiChat,
            answer: chat(
                #"{"prompt_tokens":5,"completion_tokens":6}"#,
                annotations: #"[{"type":"file"},{"type":"url_citation","url_citation":{"url":"https://a.example/"}}]"#
            ),
            usage: TokenUsage(input: 5, output: 6, webSearches: 1)
        ),
        UsageReport(
            name: "chat of a model that always searches, without citing anything",
            dialect: .openaiChat,
            answer: chat(#"{"prompt_tokens":5,"completion_tokens":6}"#, model: "gpt-4o-mini-search-preview-2025-03-11"),
            usage: TokenUsage(input: 5, output: 6, webSearches: 1)
        ),
        UsageReport(
            name: "chat that cites nothing of the web",
            dialect: .openaiChat,
            answer: chat(
                #"{"prompt_tokens":5,"completion_tokens":6}"#,
                model: "my-search-preview",
                annotations: #"[7,{"type":null},{"type":"file_citation"}]"#
            ),
            usage: TokenUsage(input: 5, output: 6)
        ),
        UsageReport(
            name: "responses with images, writes and searches",
            dialect: .openaiResponses,
            answer: responses(
                #"{"input_tokens":500,"output_tokens":70,"input_tokens_details":{"cached_tokens":100,"cache_write_tokens":50,"image_tokens":120},"output_tokens_details":{"image_tokens":40,"audio_tokens":2}}"#,
                output: #"{"type":"web_search_call","id":"a"},{"type":"message"},{"type":"web_search_call","id":"b"}"#
            ),
            usage: TokenUsage(
                input: 350,
                output: 70,
                cacheWrite5m: 50,
                cacheRead: 100,
                webSearches: 2,
                inputMedia: .init(image: 120),
                outputMedia: .init(image: 40, audio: 2)
            )
        ),
        UsageReport(
            name: "a response that opened pages and looked for words in them: the searches alone",
            dialect: .openaiResponses,
            answer: responses(
                #"{"input_tokens":5,"output_tokens":6}"#,
                output: ["search", "open_page", "find_in_page", "open_page", "search"].map {
                    #"{"type":"web_search_call","action":{"type":"\#($0)"}}"#
                }.joined(separator: ",")
            ),
            usage: TokenUsage(input: 5, output: 6, webSearches: 2)
        ),
        UsageReport(
            name: "messages whose context was compacted on the way: the sum, what another model advised apart",
            dialect: .anthropic,
            answer: messages(
                #"{"input_tokens":23000,"output_tokens":1000,"cache_read_input_tokens":70,"iterations":[{"type":"compaction","input_tokens":180000,"output_tokens":3500,"cache_creation_input_tokens":40,"cache_creation":{"ephemeral_1h_input_tokens":40}},{"type":"advisor_message","model":"other","input_tokens":9,"output_tokens":9},{"type":"message","input_tokens":22000,"output_tokens":900,"cache_read_input_tokens":70},{"type":"message","input_tokens":1000,"output_tokens":100}]}"#
            ),
            usage: TokenUsage(input: 203_000, output: 4500, cacheWrite1h: 40, cacheRead: 70)
        ),
        UsageReport(
            name: "messages in several iterations without a compaction: what is said of all",
            dialect: .anthropic,
            answer: messages(
                #"{"input_tokens":30,"output_tokens":7,"iterations":[{"type":"message","input_tokens":20,"output_tokens":3},{"type":"message","input_tokens":10,"output_tokens":4}]}"#
            ),
            usage: TokenUsage(input: 30, output: 7)
        ),
        UsageReport(
            name: "gemini by modality, what the cache had taken out",
            dialect: .gemini,
            answer: gemini(
                #"{"promptTokenCount":1000,"cachedContentTokenCount":400,"toolUsePromptTokenCount":30,"candidatesTokenCount":1300,"thoughtsTokenCount":20,"promptTokensDetails":[{"modality":"TEXT","tokenCount":200},{"modality":"IMAGE","tokenCount":500},{"modality":"AUDIO","tokenCount":250},{"modality":"VIDEO","tokenCount":50}],"cacheTokensDetails":[{"modality":"IMAGE","tokenCount":390},{"modality":"AUDIO","tokenCount":10}],"toolUsePromptTokensDetails":[{"modality":"IMAGE","tokenCount":30}],"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1290},{"modality":"TEXT","tokenCount":10}]}"#
            ),
            usage: TokenUsage(
                input: 630,
                output: 1320,
                cacheRead: 400,
                inputMedia: .init(image: 140, audio: 240),
                outputMedia: .init(image: 1290)
            )
        ),
        UsageReport(
            name: "gemini 3 that searched: each different query",
            dialect: .gemini,
            answer: gemini(#"{"promptTokenCount":5,"candidatesTokenCount":6}"#, grounding: queries),
            usage: TokenUsage(input: 5, output: 6, webSearches: 2)
        ),
        UsageReport(
            name: "gemini 2.5 that searched: the answer",
            dialect: .gemini,
            answer: gemini(
                #"{"promptTokenCount":5,"candidatesTokenCount":6}"#,
                model: "gemini-2.5-flash",
                grounding: queries
            ),
            usage: TokenUsage(input: 5, output: 6, webSearches: 1)
        ),
        UsageReport(
            name: "chat that was served as flex",
            dialect: .openaiChat,
            answer:
                #"{"id":"c","object":"chat.completion","model":"gpt","service_tier":"flex","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"delta":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":6}}"#,
            usage: TokenUsage(input: 5, output: 6, tier: .flex)
        ),
        UsageReport(
            name: "a response that was served with priority",
            dialect: .openaiResponses,
            answer: served(as: "priority"),
            usage: TokenUsage(input: 5, output: 6, tier: .priority)
        ),
        UsageReport(
            name: "a response in fast mode, which is priority by its later name",
            dialect: .openaiResponses,
            answer: served(as: "fast"),
            usage: TokenUsage(input: 5, output: 6, tier: .priority)
        ),
        UsageReport(
            name: "a response in ultrafast mode",
            dialect: .openaiResponses,
            answer: served(as: "ultrafast"),
            usage: TokenUsage(input: 5, output: 6, tier: .ultrafast)
        ),
        UsageReport(
            name: "a response that was served as somebody's own kind of standard",
            dialect: .openaiResponses,
            answer: served(as: "scale"),
            usage: TokenUsage(input: 5, output: 6)
        ),
        UsageReport(
            name: "gemini that was served with priority",
            dialect: .gemini,
            answer: gemini(#"{"promptTokenCount":5,"candidatesTokenCount":6,"serviceTier":"PRIORITY"}"#),
            usage: TokenUsage(input: 5, output: 6, tier: .priority)
        ),
        UsageReport(
            name: "messages in fast mode",
            dialect: .anthropic,
            answer: messages(
                #"{"input_tokens":5,"output_tokens":6,"service_tier":"standard","speed":"fast","inference_geo":"global"}"#
            ),
            usage: TokenUsage(input: 5, output: 6, tier: .fast)
        ),
        UsageReport(
            name: "messages in the United States alone",
            dialect: .anthropic,
            answer: messages(
                #"{"input_tokens":5,"output_tokens":6,"service_tier":"priority","speed":null,"inference_geo":"us"}"#
            ),
            usage: TokenUsage(input: 5, output: 6, tier: .us)
        ),
        UsageReport(
            name: "messages in some other way",
            dialect: .anthropic,
            answer: messages(
                #"{"input_tokens":5,"output_tokens":6,"speed":"standard","inference_geo":"not_available"}"#
            ),
            usage: TokenUsage(input: 5, output: 6)
        ),
        UsageReport(
            name: "gemini with figures that are none",
            dialect: .gemini,
            answer: gemini(
                #"{"promptTokenCount":5,"candidatesTokenCount":6,"promptTokensDetails":{"modality":"IMAGE"},"candidatesTokensDetails":[7,{"modality":"AUDIO","tokenCount":"9"},{"modality":8,"tokenCount":9}]}"#,
                grounding: #"{"webSearchQueries":[1,null,{}]}"#
            ),
            usage: TokenUsage(input: 5, output: 6)
        ),
    ]

    /// The end of a stream that says so.
    var stream: String {
        switch dialect {
        case .openaiResponses:
            "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":\(answer)}\n\n"
        case .openaiChat: "data: \(answer)\n\ndata: [DONE]\n\n"
        case .gemini, .anthropic: "data: \(answer)\n\n"
        }
    }
}

@Suite("What upstreams report")
struct UsageTests {
    private let parser = JSONParser()

    @Test("a whole answer is read class by class", arguments: UsageReport.all)
    func whole(report: UsageReport) throws {
        let answer = try #require(report.dialect.wire.answer(Array(report.answer.utf8), parser))
        #expect(answer.usage == report.usage && answer.hasUsage)
    }

    @Test("a stream is read class by class, passed through and translated", arguments: UsageReport.all)
    func stream(report: UsageReport) throws {
        let caller = Dialect.allCases.first { $0 != report.dialect } ?? .anthropic
        let translator = try #require(Translator(caller: caller, upstream: report.dialect))
        let context = AnswerContext(model: "m", requestID: "r", created: 0, options: NeutralAnswerOptions())
        let translating = TranslatingMeter(translator.stream(context))
        for meter in [report.dialect.wire.makeMeter(), translating] {
            var events = SSEParser()
            try events.feed(Array(report.stream.utf8)) { _ = meter.receive($0, parser) }
            (meter as? TranslatingMeter)?.finish()
            var usage = meter.usage
            // The translation counts searches where their items appear, of which this stream has none.
            if meter is TranslatingMeter, report.dialect == .openaiResponses {
                usage.webSearches = report.usage.webSearches
            }
            #expect(usage == report.usage && meter.hasFinalUsage)
        }
    }

    @Test("counts of a Gemini stream grow, and a query that comes again is the same search")
    func growing() throws {
        let meter = GeminiMeter()
        var events = SSEParser()
        for queries in [#"["a"]"#, #"["a","b"]"#, #"["b","c"]"#] {
            let chunk =
                #"{"modelVersion":"gemini-4","candidates":[{"content":{"parts":[{"text":"x"}]},"groundingMetadata":{"webSearchQueries":\#(queries)}}]}"#
            try events.feed(Array("data: \(chunk)\n\n".utf8)) { _ = meter.receive($0, parser) }
        }
        #expect(meter.usage.webSearches == 3)
    }

    /// A stream that broke off after these events.
    private func meter(_ dialect: Dialect, _ events: [String]) throws -> StreamMeter {
        let meter = dialect.wire.makeMeter()
        var parser = SSEParser()
        try parser.feed(Array(events.map { "data: \($0)\n\n" }.joined().utf8)) { _ = meter.receive($0, self.parser) }
        return meter
    }

    @Test("how a stream of messages is served stands in its first event, and holds unless the last one says otherwise")
    func served() throws {
        let usage = #"{"input_tokens":9,"speed":"fast","inference_geo":"us"}"#
        let start = #"{"type":"message_start","message":{"usage":\#(usage)}}"#
        func tier(last more: String) throws -> ServiceTier {
            let usage = #"{"output_tokens":3\#(more)}"#
            let end = #"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":\#(usage)}"#
            return try meter(.anthropic, [start, end]).usage.tier
        }
        #expect(try meter(.anthropic, [start]).usage.tier == .fastUS)
        #expect(try tier(last: "") == .fastUS)
        #expect(try tier(last: #","service_tier":"standard""#) == .fastUS)
        #expect(try tier(last: #","speed":"standard""#) == .us)
        #expect(try tier(last: #","speed":"standard","inference_geo":"global""#) == .standard)
    }

    @Test("what other models have done of a call is told apart, whole and streamed")
    func others() throws {
        func read(_ usage: String) throws -> (TokenUsage, [ModelUsage]) {
            let answer = try #require(
                Dialect.anthropic.wire.answer(Array(#"{"type":"message","usage":\#(usage)}"#.utf8), parser)
            )
            let end = #"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":\#(usage)}"#
            let streamed = try meter(.anthropic, [end])
            #expect(streamed.usage == answer.usage && streamed.others == answer.others && answer.hasUsage)
            return (answer.usage, answer.others)
        }
        let advisor = #"{"type":"advisor_message","model":"claude-opus-5","input_tokens":800,"output_tokens":500,"#
        let cached = #""cache_read_input_tokens":70,"cache_creation_input_tokens":30}"#
        let message = #"{"type":"message","input_tokens":9,"output_tokens":4}"#
        let advised = try read(
            #"{"input_tokens":9,"output_tokens":8,"speed":"fast","iterations":[\#(message),\#(advisor)\#(cached),\#(message)]}"#
        )
        #expect(advised.0 == TokenUsage(input: 9, output: 8, tier: .fast))
        let advice = TokenUsage(input: 800, output: 500, cacheWrite5m: 30, cacheRead: 70, tier: .fast)
        #expect(advised.1 == [ModelUsage("claude-opus-5", advice)])
        func attempt(_ type: String, _ model: String, _ output: Int) -> String {
            #"{"type":"\#(type)","model":"\#(model)","input_tokens":20,"output_tokens":\#(output)}"#
        }
        let fallback = try read(
            #"{"input_tokens":20,"output_tokens":6,"cache_creation_input_tokens":3,"iterations":["#
                + [attempt("message", "a", 2), attempt("message", "b", 0), attempt("fallback_message", "c", 6)]
                .joined(separator: ",") + "]}"
        )
        #expect(fallback.0.isZero)
        #expect(
            fallback.1 == [
                ModelUsage("a", TokenUsage(input: 20, output: 2)), ModelUsage("c", TokenUsage(input: 20, output: 6)),
            ]
        )
        let compacted = try read(
            #"{"input_tokens":20,"output_tokens":6,"iterations":[{"type":"compaction","input_tokens":90,"output_tokens":3},"#
                + attempt("fallback_message", "c", 6) + "]}"
        )
        #expect(compacted.0 == TokenUsage(input: 90, output: 3))
        #expect(compacted.1 == [ModelUsage("c", TokenUsage(input: 20, output: 6))])
        let takenOver = #"{"output_tokens":1,"iterations":[\#(attempt("fallback_message", "c", 1))]}"#
        let goesOn = try meter(
            .anthropic,
            [
                #"{"type":"message_start","message":{"usage":\#(takenOver)}}"#,
                #"{"type":"content_block_delta","delta":{"text":"four by four letters"}}"#,
                #"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":500}}"#,
            ]
        )
        #expect(goesOn.estimatedUsage(input: 7).isZero)
        #expect(goesOn.others == [ModelUsage("c", TokenUsage(input: 20, output: 500))])
        let plain = try read(#"{"input_tokens":20,"output_tokens":6,"iterations":[\#(attempt("message", "a", 6))]}"#)
        #expect(plain.0 == TokenUsage(input: 20, output: 6) && plain.1.isEmpty)
        let hostile = try read(
            #"{"input_tokens":1,"output_tokens":1,"iterations":[7,null,{"type":"advisor_message"},"#
                + #"{"type":"advisor_message","model":7},{"type":3,"model":"m"}]}"#
        )
        #expect(hostile.0 == TokenUsage(input: 1, output: 1) && hostile.1.isEmpty)
    }

    @Test("figures that come before the end are not the last word")
    func early() throws {
        let chat = try meter(
            .openaiChat,
            [
                #"{"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":9,"completion_tokens":0}}"#,
                #"{"choices":[{"delta":{"content":"four by four letters"}}]}"#,
            ]
        )
        #expect(!chat.hasFinalUsage && chat.estimatedUsage(input: 1) == TokenUsage(input: 9, output: 6))
        let responses = try meter(
            .openaiResponses,
            [
                #"{"type":"response.created","response":{"id":"r","usage":{"input_tokens":0,"output_tokens":0}}}"#,
                #"{"type":"response.in_progress","response":{"id":"r","usage":{"input_tokens":0,"output_tokens":0}}}"#,
                #"{"type":"response.output_text.delta","delta":"four by four letters"}"#,
            ]
        )
        #expect(!responses.hasFinalUsage && responses.estimatedUsage(input: 7) == TokenUsage(input: 7, output: 5))
    }

    @Test("signs of life of a Responses stream, and what the service says of itself, are no content")
    func signsOfLife() throws {
        let begun = try meter(
            .openaiResponses,
            [
                #"{"type":"response.created","response":{"id":"r"}}"#,
                #"{"type":"keepalive","sequence_number":2}"#,
                #"{"type":"codex.rate_limits","plan_type":"pro"}"#,
                #"{"type":"response.metadata","sequence_number":3}"#,
            ]
        )
        #expect(!begun.hasContent)
    }

    @Test(
        "a report without a single figure is none",
        arguments: ["{}", #"{"prompt_tokens":null}"#, #"{"output_tokens":-1}"#]
    )
    func wordless(usage: String) throws {
        for dialect in Dialect.allCases {
            let name = dialect == .gemini ? "usageMetadata" : "usage"
            let answer = try #require(dialect.wire.answer(Array(#"{"\#(name)":\#(usage)}"#.utf8), parser))
            #expect(!answer.hasUsage, "\(dialect)")
        }
        let end = #"{"choices":[{"delta":{"content":"abcd"},"finish_reason":"stop"}],"usage":\#(usage)}"#
        let chat = try meter(.openaiChat, [end])
        #expect(!chat.hasFinalUsage && chat.estimatedUsage(input: 3) == TokenUsage(input: 3, output: 1))
    }

    @Test(
        "searches of a Responses stream count where its last event has lost them",
        arguments: ["", "event: message\n"]
    )
    func lostSearches(name: String) throws {
        let meter = OpenAIResponsesMeter()
        var events = SSEParser()
        let done = ["search", "open_page", "search"].map {
            #"{"type":"response.output_item.done","item":{"type":"web_search_call","action":{"type":"\#($0)"}}}"#
        }
        let end =
            #"{"type":"response.completed","response":{"output":[],"usage":{"input_tokens":1,"output_tokens":2}}}"#
        for data in done + [end] {
            try events.feed(Array("\(name)data: \(data)\n\n".utf8)) { _ = meter.receive($0, parser) }
        }
        #expect(meter.usage == TokenUsage(input: 1, output: 2, webSearches: 2) && meter.hasFinalUsage && meter.hasEnded)
    }

    @Test("what a server's tool has found is no text of the model's")
    func found() throws {
        let pages = String(repeating: "x", count: 80_000)
        let meter = try meter(
            .anthropic,
            [
                #"{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#,
                #"{"type":"content_block_start","index":0,"content_block":{"type":"web_search_tool_result","tool_use_id":"a","content":[{"encrypted_content":"\#(pages)"}]}}"#,
                #"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"12345678"}}"#,
            ]
        )
        let usage = meter.estimatedUsage(input: 1)
        #expect(meter.hasContent && (2...3).contains(usage.output) && usage.input == 5)
    }
}
