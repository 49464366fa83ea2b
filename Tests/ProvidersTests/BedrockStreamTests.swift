import Formats
import Providers
import TestSupport
import Testing

@Suite("Bedrock's streams")
struct BedrockStreamTests {
    static func frame(_ headers: [(String, String)], _ payload: String) -> [UInt8] {
        var out: [UInt8] = []
        AWSEventStreamWriter.append(
            headers: headers.map { (name: $0.0, value: .string($0.1)) },
            payload: Array(payload.utf8),
            to: &out
        )
        return out
    }

    static func chunk(_ event: String) -> [UInt8] {
        frame(
            [(":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event")],
            #"{"bytes":"\#(Base64.encode(Array(event.utf8)))","p":"abcdefgh"}"#
        )
    }

    static func exception(_ type: String, _ payload: String) -> [UInt8] {
        frame(
            [(":exception-type", type), (":content-type", "application/json"), (":message-type", "exception")],
            payload
        )
    }

    /// The events of the Messages API's documented stream, as Bedrock sends them.
    static let events = [
        #"{"type":"message_start","message":{"id":"msg_bdrk_1","type":"message","role":"assistant","model":"claude-x","#
            + #""content":[],"stop_reason":null,"usage":{"input_tokens":25,"output_tokens":1}}}"#,
        #"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        #"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Grüße\n"}}"#,
        #"{"type":"content_block_stop","index":0}"#,
        #"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}"#,
    ]
    static let stop =
        #"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":25,"outputTokenCount":15,"#
        + #""invocationLatency":900,"firstByteLatency":300}}"#

    static let stream = (events + [stop]).flatMap { chunk($0) }
    static let sse: String = {
        let names = [
            "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        ]
        let whole = zip(names, events).map { "event: \($0)\ndata: \($1)\n\n" }.joined()
        return whole + "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
    }()

    static func convert(_ chunks: [ArraySlice<UInt8>]) throws -> String {
        let stream = BedrockStream()
        let parser = JSONParser()
        var out: [UInt8] = []
        for chunk in chunks { try chunk.withUnsafeBytes { try stream.feed($0, parser, into: &out) } }
        return String(decoding: out, as: UTF8.self)
    }

    @Test("chunks become the events of the Messages API, without AWS' own figures, wherever they are cut")
    func converts() throws {
        #expect(try Self.convert([Self.stream[...]]) == Self.sse)
        for cut in Self.stream.indices {
            let found = try Self.convert([Self.stream[..<cut], Self.stream[cut...]])
            if found != Self.sse { Issue.record("cut at \(cut)") }
        }
        #expect(try Self.convert(Self.stream.indices.map { Self.stream[$0...$0] }) == Self.sse)
    }

    @Test(
        "the figures go wherever they stand, and only they",
        arguments: [
            #"{"amazon-bedrock-invocationMetrics":{},"type":"message_stop"}"#,
            #"{ "type":"message_stop" , "amazon-bedrock-invocationMetrics":{"a":[1,2]} }"#,
        ]
    )
    func metrics(event: String) throws {
        let found = try Self.convert([Self.chunk(event)[...]])
        let data = try #require(found.split(separator: "data: ").last)
        #expect(try JSON(text: String(data)) == ["type": "message_stop"])
    }

    static let exceptions: [(type: String, payload: String, kind: String, message: String)] = [
        (
            "throttlingException", #"{"message":"Too many tokens, slow down."}"#, "rate_limit_error",
            "Too many tokens, slow down."
        ),
        (
            "modelStreamErrorException", #"{"message":"It broke.","originalStatusCode":500}"#, "api_error", "It broke."
        ),
        ("internalServerException", #"{"message":"Oops."}"#, "api_error", "Oops."),
        ("validationException", #"{"message":"Bad input."}"#, "invalid_request_error", "Bad input."),
        ("serviceUnavailableException", #"{"message":"Full."}"#, "overloaded_error", "Full."),
        ("modelTimeoutException", #"{"message":"Slow."}"#, "timeout_error", "Slow."),
        ("somethingNewException", #"{"message":"New."}"#, "api_error", "New."),
    ]

    @Test("an exception in the stream is an error event, and nothing follows it", arguments: exceptions)
    func thrown(type: String, payload: String, kind: String, message: String) throws {
        let bytes = Self.chunk(Self.events[0]) + Self.exception(type, payload) + Self.chunk(Self.events[1])
        let expected =
            "event: message_start\ndata: \(Self.events[0])\n\n"
            + #"event: error"# + "\n"
            + #"data: {"type":"error","error":{"type":"\#(kind)","message":"\#(message)"}}"# + "\n\n"
        #expect(try Self.convert([bytes[...]]) == expected)
    }

    @Test("an exception's text that names an account is not for callers")
    func leak() throws {
        for text in ["User: arn:aws:iam::123456789012:user/x is not allowed", "account 123456789012", ""] {
            let bytes = Self.exception("validationException", #"{"message":"\#(text)"}"#)
            #expect(try Self.convert([bytes[...]]).contains("The model's provider refused the call"))
        }
        let bytes = Self.exception("internalServerException", "no JSON")
        #expect(try Self.convert([bytes[...]]).contains("api_error"))
    }

    @Test("a message of type error is one as well")
    func errorMessage() throws {
        let bytes = Self.frame(
            [(":message-type", "error"), (":error-code", "InternalFailure"), (":error-message", "Gone.")],
            ""
        )
        #expect(try Self.convert([bytes[...]]).contains(#""message":"Gone.""#))
    }

    @Test("kinds of events that are not known are left out")
    func unknownEvents() throws {
        let bytes = Self.frame([(":event-type", "news"), (":message-type", "event")], "{}") + Self.stream
        #expect(try Self.convert([bytes[...]]) == Self.sse)
    }

    @Test(
        "a chunk that holds no event ends the stream",
        arguments: [
            frame([(":event-type", "chunk"), (":message-type", "event")], "{}"),
            frame([(":event-type", "chunk"), (":message-type", "event")], "not JSON"),
            frame([(":event-type", "chunk"), (":message-type", "event")], #"{"bytes":"%%%"}"#),
            frame([(":event-type", "chunk"), (":message-type", "event")], #"{"bytes":7}"#),
            chunk("not JSON"), chunk("[]"), chunk(#"{"type":"a\nevent: b"}"#), chunk(#"{"type":""}"#),
        ]
    )
    func unreadable(bytes: [UInt8]) {
        #expect(throws: BedrockStream.Fault.unreadableChunk) { try Self.convert([bytes[...]]) }
    }

    @Test("mutated streams never crash and never break an event's line", arguments: 0..<3)
    func fuzz(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<1500 {
            // Within the frames, because checksums keep out what happens to the frames themselves.
            let bytes = Self.events.flatMap { event in
                Self.chunk(String(decoding: random.mutated(Array(event.utf8)), as: UTF8.self))
            }
            let stream = BedrockStream()
            var out: [UInt8] = []
            try? bytes.withUnsafeBytes { try stream.feed($0, JSONParser(), into: &out) }
            var parser = SSEParser()
            var isCut = false
            try parser.feed(out) { event in if !event.hasData { isCut = true } }
            #expect(try !parser.finish() && !isCut)
        }
    }

    // MARK: Error bodies

    @Test("error bodies are read with the kind from the header, else from the body")
    func bodies() throws {
        let parser = JSONParser()
        func read(_ text: String, _ type: String? = nil) -> BedrockError? {
            BedrockError(Array(text.utf8), errorType: type, parser)
        }
        let throttled = try #require(
            read(#"{"message":"Too many requests"}"#, "ThrottlingException:http://internal.amazon.com/coral/")
        )
        #expect(throttled.type == "ThrottlingException" && throttled.status == 429)
        let coral = try #require(
            read(#"{"__type":"com.amazon.coral.service#UnrecognizedClientException","Message":"bad token"}"#)
        )
        #expect(coral.type == "UnrecognizedClientException" && coral.message == "bad token" && coral.status == 403)
        #expect(read(#"{"message":"x"}"#)?.type == "")
        for text in ["<html>", "[]", "{}", ""] { #expect(read(text) == nil) }
    }

    @Test("a missing model is known by its kind or its words")
    func missing() {
        func says(_ type: String, _ message: String) -> Bool {
            BedrockError(type: type, message: message).saysModelIsMissing
        }
        #expect(says("ResourceNotFoundException", ""))
        #expect(says("ValidationException", "The provided model identifier is invalid."))
        #expect(
            says("ValidationException", "Invocation of model ID x with on-demand throughput isn\u{2019}t supported.")
        )
        #expect(says("AccessDeniedException", "You don't have access to the model with the specified model ID."))
        #expect(!says("ValidationException", "max_tokens: must be positive"))
        #expect(!says("ThrottlingException", "The provided model identifier is invalid."))
    }
}
