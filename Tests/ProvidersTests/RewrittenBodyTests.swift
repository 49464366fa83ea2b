import Formats
import TestSupport
import Testing

@testable import Providers

@Suite("Bodies that providers write anew")
struct RewrittenBodyTests {
    private static let rewrites: [@Sendable ([UInt8]) throws -> [UInt8]] = [
        { try OpenAILoginBody.convert($0) },
        { try OpenAICountBody.convert($0) },
        { body in
            var json = JSONWriter()
            json.object { CountBody.appendMembers(of: body, without: "model", to: &$0) }
            return json.bytes
        },
    ]

    @Test("cost what their length allows, however many members a caller gives them", arguments: rewrites.indices)
    func cost(_ place: Int) throws {
        let rewrite = Self.rewrites[place]
        func time(_ count: Int) throws -> Duration {
            let members = (0..<count).map { _ in #""tools":[1]"# }.joined(separator: ",")
            let body = Array("{\(members)}".utf8)
            return try threadTime { _ = try rewrite(body) }
        }
        let few = try time(1000)
        // Twenty times as many: a walk from the beginning for each would take 400 times as long.
        #expect(try time(20_000) < few * 80)
    }

    @Test("keep every member's bytes, in order", arguments: rewrites.indices)
    func bytes(_ place: Int) throws {
        let body = #"{ "tools" : [ {"a":"\u00e9" }, 1.50 ] ,"text":{"x":[]}, "input":[[],{}, "b\/c"] }"#
        let rewritten = String(decoding: try Self.rewrites[place](Array(body.utf8)), as: UTF8.self)
        let kept = #""tools":[ {"a":"\u00e9" }, 1.50 ],"text":{"x":[]},"input":[[],{}, "b\/c"]}"#
        #expect(rewritten.hasSuffix(kept))
    }

    @Test("a login's service is asked in its own terms")
    func loginTerms() throws {
        func converted(_ body: String) throws -> String {
            String(decoding: try OpenAILoginBody.convert(Array(body.utf8)), as: UTF8.self)
        }
        let opening = #"{"stream":true,"store":false,"instructions":"""#
        #expect(
            try converted(
                #"{"model":"m","user":"u","metadata":{"a":1},"truncation":"auto","prompt_cache_retention":"24h","text":1}"#
            ) == opening + #","model":"m","text":1}"#
        )
        for (asked, told) in [("fast", "priority"), ("priority", "priority"), ("ultrafast", "ultrafast")] {
            #expect(try converted(#"{"service_tier":"\#(asked)"}"#) == opening + #","service_tier":"\#(told)"}"#)
        }
        for asked in [#""flex""#, #""auto""#, "null", "7"] {
            #expect(try converted(#"{"service_tier":\#(asked)}"#) == opening + "}")
        }
        let system = #"{"type":"message", "role":"system","content":[ {"type":"input_text","text":"a\u00e9"} ]}"#
        let user = #"{ "role" : "user" ,"content":"b"}"#
        let developer = #"{"type":"message","role":"developer","content":[ {"type":"input_text","text":"a\u00e9"} ]}"#
        #expect(
            try converted(#"{"input":[\#(user),\#(system),\#(user)],"text":2}"#)
                == opening + #","input":[\#(user),\#(developer),\#(user)],"text":2}"#
        )
    }
}
