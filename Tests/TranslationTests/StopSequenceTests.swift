import Dialects
import Domain
import Formats
import Testing

@Suite("Stop sequences where the upstream has none")
struct StopSequenceTests {
    private static func options(_ stops: [String]) -> AnswerContext {
        var context = Translating.context
        context.options.stopSequences = stops
        return context
    }

    private static func stream(_ pieces: [String]) -> [UInt8] {
        var text = #"data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"# + "\n\n"
        for piece in pieces {
            text += #"data: {"id":"c","choices":[{"index":0,"delta":{"content":"\#(piece)"}}]}"# + "\n\n"
        }
        text += #"data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"length"}],"#
        text += #""usage":{"prompt_tokens":5,"completion_tokens":9}}"# + "\n\ndata: [DONE]\n\n"
        return Array(text.utf8)
    }

    @Test(
        "a stream's text ends before the first one, wherever it is cut",
        arguments: [
            (["one two three four"], ["three"], "one two ", "three"),
            (["one t", "wo th", "ree four"], ["three"], "one two ", "three"),
            (["aab"], ["ab"], "a", "ab"), (["a", "a", "b"], ["ab"], "a", "ab"), (["xEND"], ["ND", "END"], "x", "END"),
            (["STOP now"], ["STOP"], "", "STOP"), (["潮", "汐", "!"], ["汐!"], "潮", "汐!"),
            (["no", " such"], ["such!"], "no such", nil), (["ends in th"], ["three"], "ends in th", nil),
        ] as [([String], [String], String, String?)]
    )
    func streams(_ pieces: [String], _ stops: [String], _ text: String, _ reached: String?) throws {
        let translator = try #require(Translator(caller: .anthropic, upstream: .openaiChat))
        let stream = translator.stream(Self.options(stops))
        var out: [UInt8] = []
        Self.stream(pieces).withUnsafeBytes { stream.feed($0, JSONParser(), into: &out) }
        let answer = try Translating.fold(out, of: .anthropic).answer
        #expect(answer.blocks == [.text(text, citations: [])])
        #expect(answer.stop == (reached.map { .stopSequence($0) } ?? .maxTokens))
        #expect(stream.usage.output == 9, "what the upstream wrote is what it costs")
    }

    @Test("a whole answer ends there too, and what came after it is gone")
    func whole() throws {
        var answer = NeutralAnswer()
        let use = NeutralToolUse(id: "a", name: "f", arguments: .emptyObject)
        answer.blocks = [.text("one two three", citations: []), .toolUse(use)]
        answer.stop = .toolUse
        let cut = StopSequences.cut(answer, at: ["four", "two"])
        #expect(cut.blocks == [.text("one ", citations: [])] && cut.stop == .stopSequence("two"))
        #expect(StopSequences.cut(answer, at: ["four"]) == answer)
    }

    @Test(
        "a request names them where its model takes them",
        arguments: [("gpt-4.1", true), ("gpt-5.1", false), ("o3", false)]
    )
    func named(_ model: String, _ isNamed: Bool) throws {
        let text =
            #"{"model":"\#(model)","max_tokens":5,"stop_sequences":["a"],"messages":[{"role":"user","content":"x"}]}"#
        let request = try Translating.request(text, of: .anthropic)
        #expect((try Translating.body(request, to: .openaiChat)["stop"] != nil) == isNamed)
        #expect(try Translating.body(request, to: .openaiResponses)["stop"] == nil)
    }
}
