import Dialects
import Domain
import Formats
import Testing

@Suite("Following a Messages stream")
struct AnthropicStreamTests {
    static let start = """
        event: message_start
        data: {"type":"message_start","message":{"id":"m","model":"up","usage":{"input_tokens":25,"output_tokens":1,\
        "cache_creation_input_tokens":30,"cache_read_input_tokens":7,\
        "cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20}}}}


        """
    static let ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n"
    static let block = """
        event: content_block_start
        data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}


        """
    static let delta = """
        event: content_block_delta
        data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"0123456789"}}


        """
    static let final = """
        event: message_delta
        data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15,\
        "server_tool_use":{"web_search_requests":2}}}


        """
    static let stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
    static let whole = start + ping + block + delta + delta + final + stop

    private func follow(
        _ chunks: [ArraySlice<UInt8>]
    ) throws -> (AnthropicStreamMeter, [AnthropicStreamMeter.Event]) {
        let meter = AnthropicStreamMeter()
        var parser = SSEParser()
        let json = JSONParser()
        var events: [AnthropicStreamMeter.Event] = []
        for chunk in chunks { try parser.feed(Array(chunk)) { events.append(meter.receive($0, json)) } }
        return (meter, events)
    }

    @Test("every token class is metered and every event known for what it is")
    func whole() throws {
        let (meter, events) = try follow([Array(Self.whole.utf8)[...]])
        #expect(events == [.preamble, .preamble, .content, .content, .content, .trailer, .end])
        #expect(
            meter.usage
                == TokenUsage(input: 25, output: 15, cacheWrite5m: 10, cacheWrite1h: 20, cacheRead: 7, webSearches: 2)
        )
        #expect(meter.hasFinalUsage && meter.hasEnded && !meter.hasFailed)
    }

    @Test("cut at any byte, the stream is metered the same")
    func everySplit() throws {
        let bytes = Array(Self.whole.utf8)
        let (expected, expectedEvents) = try follow([bytes[...]])
        for cut in bytes.indices {
            let (meter, events) = try follow([bytes[..<cut], bytes[cut...]])
            #expect(meter.usage == expected.usage)
            #expect(events == expectedEvents)
        }
    }

    @Test("a stream cut before its last word is estimated from the text that came")
    func estimate() throws {
        let (meter, _) = try follow([Array((Self.start + Self.block + Self.delta + Self.delta).utf8)[...]])
        #expect(!meter.hasFinalUsage)
        #expect(meter.estimatedUsage(input: 7).input == 25)
        #expect((4...8).contains(meter.estimatedUsage(input: 7).output))
    }

    @Test(
        "a last word that says nothing of usage is none: the text that came is estimated",
        arguments: ["{}", "{", "[]"]
    )
    func emptyLastWord(data: String) throws {
        let last = "event: message_delta\ndata: \(data)\n\n"
        let (meter, _) = try follow([Array((Self.start + Self.block + Self.delta + Self.delta + last).utf8)[...]])
        #expect(!meter.hasFinalUsage && (4...8).contains(meter.estimatedUsage(input: 7).output))
    }

    @Test("content that is not delivered any more is not estimated, its reported usage counts")
    func undelivered() throws {
        var parser = SSEParser()
        let meter = AnthropicStreamMeter()
        func feed(_ text: String) throws { try parser.feed(Array(text.utf8)) { _ = meter.receive($0, JSONParser()) } }
        try feed(Self.start + Self.block + Self.delta)
        let delivered = meter.contentBytes
        meter.stopCountingContent()
        try feed(Self.delta + Self.delta)
        #expect(meter.contentBytes == delivered && delivered > 0 && meter.estimatedUsage(input: 7).output <= 4)
        try feed(Self.final)
        #expect(meter.hasFinalUsage)
    }

    @Test("an error event is known, also without an event name")
    func error() throws {
        let named = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n"
        let bare = "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n"
        for text in [named, bare] {
            let (meter, events) = try follow([Array(text.utf8)[...]])
            #expect(events == [.error])
            #expect(meter.hasFailed)
        }
    }

    @Test("absurd counts and broken JSON change nothing")
    func absurd() throws {
        let text = """
            event: message_start
            data: {"type":"message_start","message":{"usage":{"input_tokens":-5,"output_tokens":1e30}}}

            event: message_delta
            data: {"usage":{"output_tokens":

            event: message_delta
            data: {"type":"message_delta","usage":[]}


            """
        let (meter, _) = try follow([Array(text.utf8)[...]])
        #expect(meter.usage.isZero)
    }

    @Test("the caller's model name replaces the upstream's in message_start, and nothing else changes")
    func rename() throws {
        var parser = SSEParser()
        var renamed: [UInt8]?
        try parser.feed(Array(Self.start.utf8)) {
            renamed = AnthropicModelName.renaming($0, to: "mine", JSONParser())
        }
        let expected = Self.start.replacingModel("\"up\"", "\"mine\"")
        #expect(renamed.map { String(decoding: $0, as: UTF8.self) } == expected)
    }
}

extension String {
    fileprivate func replacingModel(_ old: String, _ new: String) -> String {
        split(separator: old, maxSplits: 1, omittingEmptySubsequences: false).joined(separator: new)
    }
}

@Suite("Reading a whole Messages answer")
struct AnthropicAnswerTests {
    @Test("usage without a breakdown of cache writes counts them as 5-minute ones")
    func noBreakdown() throws {
        let body = Array(
            #"{"model":"up","usage":{"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":9}}"#.utf8
        )
        let answer = try #require(AnthropicWire().answer(body, JSONParser()))
        #expect(answer.usage == TokenUsage(input: 1, output: 2, cacheWrite5m: 9))
        #expect(answer.modelRange.map { Array(body[$0]) } == Array(#""up""#.utf8))
    }

    @Test("an answer that is no object is none", arguments: ["", "[]", "<html>", "{"])
    func unreadable(text: String) { #expect(AnthropicWire().answer(Array(text.utf8), JSONParser()) == nil) }

    @Test("errors have the shape of the dialect")
    func errors() throws {
        let body = AnthropicErrors.body(status: 429, message: "slow \"down\"", requestID: "req_1")
        #expect(
            String(decoding: body, as: UTF8.self)
                == #"{"type":"error","error":{"type":"rate_limit_error","message":"slow \"down\""},"request_id":"req_1"}"#
        )
        let read = try #require(AnthropicWire().error(body, JSONParser()))
        #expect(read.type == "rate_limit_error")
        #expect(AnthropicWire().error(Array("<html>".utf8), JSONParser()) == nil)
    }
}
