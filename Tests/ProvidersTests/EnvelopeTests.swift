import Formats
import Providers
import TestSupport
import Testing

@Suite("Antigravity's wrapping")
struct EnvelopeTests {
    @Test("a request is wrapped byte for byte, with credits only where they may be used")
    func wraps() {
        let body = Array(#" { "contents" : [ ] , "n":1.50 } "#.utf8)
        func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        #expect(
            text(Envelope.wrap(body, model: "gemini-\"x", project: "p"))
                == #"{"model":"gemini-\"x","project":"p","request": { "contents" : [ ] , "n":1.50 } }"#
        )
        #expect(
            text(Envelope.wrap(Array("{}".utf8), model: "m", project: nil, usesCredits: true))
                == #"{"model":"m","request":{},"enabledCreditTypes":["GOOGLE_ONE_AI"]}"#
        )
    }

    @Test(
        "an answer is what stands in the envelope, an error stands as it came, and anything else is none",
        arguments: [
            (#"{"response": {"candidates":[1.0]} ,"traceId":"t"}"#, #"{"candidates":[1.0]}"#),
            (#"{"traceId":"t","response":{}}"#, "{}"),
            (#"{"error":{"code":429}}"#, #"{"error":{"code":429}}"#),
            (#"{"response":{"a":1},"response":{"a":2}}"#, nil), (#"{}"#, nil), ("[]", nil), ("<html>", nil), ("", nil),
            (#"{"response":"# + String(repeating: "[", count: 9000), nil),
        ] as [(String, String?)]
    )
    func opens(text: String, inner: String?) {
        #expect(Envelope.open(Array(text.utf8), JSONParser()).map { String(decoding: $0, as: UTF8.self) } == inner)
    }

    static let stream = Array(
        ("data: {\"response\": {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"é\"}]}}]},\"traceId\": \"t\"}\r\n\r\n"
            + ": keep\n\ndata: {\"response\": {\"usageMetadata\": {}}}\n\ndata: {\"error\": {\"code\": 503}}\n\n").utf8
    )
    static let opened =
        "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"é\"}]}}]}\n\n: keep\n\n"
        + "data: {\"usageMetadata\": {}}\n\ndata: {\"error\": {\"code\": 503}}\n\n"

    private static func open(_ pieces: [ArraySlice<UInt8>]) throws -> [UInt8] {
        let transform = try #require(AnswerForm.enveloped.makeTransform())
        let parser = JSONParser()
        var out: [UInt8] = []
        for piece in pieces { try piece.withUnsafeBytes { try transform.feed($0, parser, into: &out) } }
        return out
    }

    @Test("a stream is opened event by event, wherever it is cut")
    func streams() throws {
        for cut in 0...Self.stream.count {
            let out = try Self.open([Self.stream[..<cut], Self.stream[cut...]])
            if out != Array(Self.opened.utf8) { Issue.record("cut at \(cut)") }
        }
        #expect(try Self.open(Self.stream.indices.map { Self.stream[$0...$0] }) == Array(Self.opened.utf8))
    }

    @Test("mutated streams never crash and stay streams")
    func fuzz() throws {
        var random = SeededGenerator(seed: 3)
        for _ in 0..<3000 {
            let bytes = random.mutated(Self.stream, alphabet: Array("{}[]\",:\n\r".utf8))
            let cut = random.below(bytes.count + 1)
            #expect(try Self.open([bytes[...]]) == Self.open([bytes[..<cut], bytes[cut...]]))
        }
    }
}
