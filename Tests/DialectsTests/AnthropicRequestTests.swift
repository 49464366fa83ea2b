import Dialects
import Domain
import Formats
import Testing

@Suite("What a Messages request must be")
struct AnthropicRequestTests {
    private func summary(_ text: String) throws -> CallSummary {
        do {
            return try JSONParser().outline(Array(text.utf8)) {
                try Dialect.anthropic.wire.summary(of: $0, CallRoute(.anthropic))
            }
        } catch let error as JSONError {
            throw RequestFields.refusal(of: error)
        }
    }

    @Test("model and stream are read, and the model's place in the body is known")
    func reads() throws {
        let text = #" { "messages": [], "metadata": {"model": "no"}, "model" : "claude-x", "stream":true}"#
        let found = try summary(text)
        #expect(found.model == "claude-x")
        #expect(found.isStream)
        #expect(Array(text.utf8)[try #require(found.modelRange)] == Array(#""claude-x""#.utf8)[...])
    }

    @Test("splicing the model leaves every other byte as it was, escapes and white space included")
    func splices() throws {
        let text = #"{"a":"\u00e9\/", "model":  "m\u006fdel" ,"messages":[ ],"z":1.50}"#
        let found = try summary(text)
        #expect(found.model == "model")
        let spliced = Splice.replacing(try #require(found.modelRange), in: Array(text.utf8), with: #"q"uote"#)
        #expect(
            String(decoding: spliced, as: UTF8.self)
                == #"{"a":"\u00e9\/", "model":  "q\"uote" ,"messages":[ ],"z":1.50}"#
        )
    }

    @Test(
        "wrong fields are refused by name",
        arguments: [
            (#"{"messages":[]}"#, "model"), (#"{"model":5,"messages":[]}"#, "model"),
            (#"{"model":"","messages":[]}"#, "model"), (#"{"model":"a\u0000b","messages":[]}"#, "model"),
            (#"{"model":"a","model":"b","messages":[]}"#, "model"),
            (#"{"model":"a","messages":[],"stream":"yes"}"#, "stream"),
            (#"{"model":"a","messages":[],"stream":1}"#, "stream"),
            (#"{"model":"a","messages":[],"stream":true,"stream":false}"#, "stream"),
            (#"{"model":"a"}"#, "messages"), (#"{"model":"a","messages":{}}"#, "messages"),
        ]
    )
    func refusesField(text: String, field: String) {
        let error = #expect(throws: GatewayError.self) { try summary(text) }
        #expect(error?.field == field)
        #expect(error?.status == 400)
    }

    @Test("what is no JSON object is refused", arguments: ["", "[]", "nul", "{", #"{"model":"a"}}"#, "\"x\""])
    func refusesText(text: String) {
        let error = #expect(throws: GatewayError.self) { try summary(text) }
        #expect(error?.status == 400)
    }

    @Test("a null stream counts as absent")
    func nullStream() throws {
        #expect(try summary(#"{"model":"a","messages":[],"stream":null}"#).isStream == false)
    }

    @Test(
        "a bound of the answer is read where it is a whole number that fits; any other means as much as there can be",
        arguments: [
            ("9", 9), ("0", 0), ("9223372036854775807", .max), ("9223372036854775808", nil),
            ("9999999999999999999", nil),
            ("-5", nil), ("1e3", nil), ("12345678901234567890", nil), (#""9""#, nil), ("null", nil),
        ] as [(String, Int64?)]
    )
    func answerTokens(value: String, expected: Int64?) throws {
        #expect(try summary(#"{"model":"m","messages":[],"max_tokens":\#(value)}"#).answerTokens == expected)
    }
}
