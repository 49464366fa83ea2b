import Crypto
import Dialects
import Domain
import Formats
import TestSupport
import Testing

private let uuid = "1f7a4d52-8f5e-4b0a-9a3c-0123456789aB"

private func scope(
    user: Int64 = 1,
    key: Int64 = 7,
    ip: String = "192.0.2.1",
    agent: String = "test/1",
    stated: String? = nil
)
    -> SessionScope
{
    SessionScope(
        user: UserID(user),
        key: KeyID(key),
        clientIP: ip,
        userAgent: Array(agent.utf8),
        stated: stated.map { Array($0.utf8) }
    )
}

private func session(_ text: String, _ dialect: Dialect = .anthropic, _ scope: SessionScope = scope()) throws
    -> CallSession?
{
    let route = CallRoute(dialect, model: dialect == .gemini ? "m" : nil)
    return try JSONParser().outline(Array(text.utf8)) { request in
        _ = try dialect.wire.summary(of: request, route)
        return SessionReader.session(of: request, route, scope)
    }
}

private func chain(_ session: CallSession?) throws -> DigestChain {
    guard case .turns(let chain) = session else {
        throw Wrong()
    }
    return chain
}
private struct Wrong: Error {}

private func metadata(_ userID: String) -> String {
    var json = JSONWriter()
    json.object {
        $0.member("model", "m")
        $0.key("messages")
        $0.array { _ in }
        $0.key("metadata")
        $0.object { $0.member("user_id", userID) }
    }
    return String(decoding: json.bytes, as: UTF8.self)
}

@Suite("Sessions that callers name")
struct NamedSessionTests {
    @Test(
        "the session of a user id names the call, in both of its forms",
        arguments: [
            "user_\(String(repeating: "a", count: 64))_account__session_\(uuid)", "_session_\(uuid)",
            "user_x_account_\(uuid)_session_\(uuid)", #"{"device_id":"d","account_uuid":"","session_id":"\#(uuid)"}"#,
            #"{"session_id":"\#(uuid)","more":[1,{"session_id":"no"}]}"#,
        ]
    )
    func userID(text: String) throws {
        let expected = try session(metadata("_session_\(uuid)"))
        #expect(try session(metadata(text)) == expected)
        guard case .named = expected else { throw Wrong() }
        #expect(try session(metadata(text), .anthropic, scope(key: 8, ip: "::1", agent: "other")) == expected)
        #expect(try session(metadata(text), .anthropic, scope(user: 2)) != expected)
    }

    @Test(
        "what only looks like one names nothing",
        arguments: [
            "", "user-5", "_session_", "_session_\(uuid)x", "_session_\(uuid.dropLast())", "session_\(uuid)",
            "_session_" + String(repeating: "-", count: 36), "_session_" + String(repeating: "a", count: 36),
            "{", "{}", #"{"session_id":5}"#, #"{"session_id":""}"#, #"{"session_id":["\#(uuid)"]}"#,
            #"{"session_id":"\#(String(repeating: "x", count: 257))"}"#,
            #"{"a":\#(String(repeating: "[", count: 100))\#(String(repeating: "]", count: 100)),"session_id":"x"}"#,
            #"{"a":"\#(String(repeating: "x", count: 5000))","session_id":"x"}"#, "\u{0}", "é_session_",
        ]
    )
    func noSession(text: String) throws { #expect(try session(metadata(text)) == nil) }

    @Test(
        "metadata of any other kind is no session and no fault",
        arguments: ["null", "5", "\"x\"", "[]", "{}", #"{"user_id":null}"#, #"{"user_id":{"session_id":"x"}}"#]
    )
    func otherMetadata(value: String) throws {
        #expect(try session(#"{"model":"m","messages":[],"metadata":\#(value)}"#) == nil)
    }

    @Test(
        "prompt_cache_key names the calls of both OpenAI dialects",
        arguments: [Dialect.openaiChat, .openaiResponses]
    )
    func promptCacheKey(dialect: Dialect) throws {
        func ask(_ value: String, _ text: String) throws -> CallSession? {
            try session(
                #"{"model":"m","prompt_cache_key":\#(value),"input":"\#(text)","messages":[{"role":"user","content":"\#(text)"}]}"#,
                dialect
            )
        }
        let first = try ask("\"k\"", "a")
        guard case .named = first else { throw Wrong() }
        #expect(try ask("\"k\"", "b") == first)
        #expect(try ask("\"l\"", "a") != first)
        for other in ["null", "5", "\"\"", "[\"k\"]", "\"\(String(repeating: "k", count: 257))\""] {
            _ = try chain(ask(other, "a"))
        }
    }

    @Test("a header's name comes before all else")
    func header() throws {
        let body = #"{"model":"m","prompt_cache_key":"k","messages":[]}"#
        let stated = try session(body, .openaiChat, scope(stated: "s"))
        #expect(stated != nil)
        #expect(try stated == session(#"{"model":"m","messages":[]}"#, .openaiChat, scope(stated: "s")))
        #expect(try stated != session(body, .openaiChat))
        #expect(try stated == session(#"{"model":"m","prompt_cache_key":"s","messages":[]}"#, .openaiChat))
    }
}

@Suite("Sessions by marked content")
struct MarkedSessionTests {
    private func body(system: String, _ messages: String) -> String {
        #"{"model":"m","system":\#(system),"messages":[\#(messages)]}"#
    }
    private func block(_ text: String, marked: Bool = false, type: String = "ephemeral") -> String {
        #"{"type":"text","text":"\#(text)"\#(marked ? #","cache_control":{"type":"\#(type)"}"# : "")}"#
    }

    @Test("marked content of the system prompt names all calls of a key that have it, whatever else they say")
    func system() throws {
        func ask(_ marked: String, _ rest: String, key: Int64 = 7) throws -> CallSession? {
            try session(
                body(
                    system: "[\(block("x" + rest)),\(block(marked, marked: true))]",
                    #"{"role":"user","content":[\#(block(rest, marked: true))]}"#
                ),
                .anthropic,
                scope(key: key, ip: rest)
            )
        }
        let first = try ask("big", "a")
        guard case .named = first else { throw Wrong() }
        #expect(try ask("big", "b") == first)
        #expect(try ask("bigger", "a") != first)
        #expect(try ask("big", "a", key: 8) != first)
    }

    @Test("without it, the first marked content of the messages counts, and stays when further marks come")
    func messages() throws {
        let first = #"{"role":"user","content":[\#(block("doc", marked: true)),\#(block("question"))]}"#
        let second = #"{"role":"user","content":[\#(block("doc", marked: true)),\#(block("another"))]}"#
        let more = first + #",{"role":"user","content":[\#(block("next", marked: true))]}"#
        let named = try session(body(system: "\"s\"", first))
        guard case .named = named else { throw Wrong() }
        #expect(try session(body(system: "\"t\"", second)) == named)
        #expect(try session(body(system: "\"s\"", more)) == named)
        #expect(try session(body(system: "\"s\"", second.replacing("doc", with: "dog"))) != named)
    }

    @Test("marks on what is no text count with all the text that is in it")
    func otherBlocks() throws {
        func ask(_ data: String) throws -> CallSession? {
            try session(
                body(
                    system: "null",
                    #"{"role":"user","content":[{"type":"image","source":{"data":"\#(data)"},"cache_control":{"type":"ephemeral"}}]}"#
                )
            )
        }
        guard case .named = try ask("a") else { throw Wrong() }
        #expect(try ask("a") == ask("a"))
        #expect(try ask("a") != ask("b"))
    }

    @Test("marks of another kind are none", arguments: ["persistent", ""])
    func otherMarks(type: String) throws {
        _ = try chain(session(body(system: "[\(block("a", marked: true, type: type))]", "")))
    }

    @Test("parts of Chat messages can be marked as well")
    func chat() throws {
        let text =
            #"{"model":"m","messages":[{"role":"system","content":[\#(block("s", marked: true))]},{"role":"user","content":"u"}]}"#
        guard case .named = try session(text, .openaiChat) else { throw Wrong() }
    }
}

/// A conversation written in each dialect.
private struct Talk {
    var system: String?
    var turns: [(isModel: Bool, text: String)]

    func body(_ dialect: Dialect) -> String {
        func content(_ text: String) -> String { String(decoding: JSON.string(text).encoded, as: UTF8.self) }
        let system = system.map { content($0) }
        func messages(_ model: String, _ write: (String) -> String, opening: String? = nil) -> String {
            let all = turns.map { #"{"role":"\#($0.isModel ? model : "user")",\#(write(content($0.text)))}"# }
            return "[" + ([opening].compactMap { $0 } + all).joined(separator: ",") + "]"
        }
        switch dialect {
        case .anthropic:
            let head = system.map { #""system":\#($0),"# } ?? ""
            return #"{"model":"m",\#(head)"messages":\#(messages("assistant", { #""content":\#($0)"# }))}"#
        case .openaiChat:
            let opening = system.map { #"{"role":"system","content":\#($0)}"# }
            return #"{"model":"m","messages":\#(messages("assistant", { #""content":\#($0)"# }, opening: opening))}"#
        case .openaiResponses:
            let head = system.map { #""instructions":\#($0),"# } ?? ""
            let input = messages("assistant", { #""content":[{"type":"input_text","text":\#($0)}]"# })
            return #"{"model":"m",\#(head)"input":\#(input)}"#
        case .gemini:
            let head = system.map { #""systemInstruction":{"parts":[{"text":\#($0)}]},"# } ?? ""
            return #"{\#(head)"contents":\#(messages("model", { #""parts":[{"text":\#($0)}]"# }))}"#
        }
    }
}

private let dialects: [Dialect] = [.anthropic, .openaiChat, .openaiResponses, .gemini]

@Suite("Chains of turns")
struct DigestChainTests {
    private static func talk(_ random: inout SeededGenerator, _ turns: Int) -> Talk {
        let words = ["", "a", "b", "hi", "é\"\\\n", String(repeating: "long ", count: 50)]
        return Talk(
            system: random.below(2) == 0 ? nil : words[random.below(words.count)],
            turns: (0..<turns).map { ($0 % 2 == 1, words[random.below(words.count)] + "\($0)") }
        )
    }

    @Test("what a conversation was is a prefix of what it becomes", arguments: dialects)
    func grows(dialect: Dialect) throws {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<200 {
            let talk = Self.talk(&random, 1 + random.below(12))
            var seen: [UInt64] = []
            for count in 1...talk.turns.count {
                var part = talk
                part.turns = Array(talk.turns.prefix(count))
                let chain = try chain(session(part.body(dialect), dialect))
                #expect(Array(chain.prefixes.dropLast().suffix(seen.count)) == seen)
                seen = chain.prefixes
            }
        }
    }

    @Test("a word changed anywhere leaves only the turns before it in common", arguments: dialects)
    func branches(dialect: Dialect) throws {
        var random = SeededGenerator(seed: 12)
        for _ in 0..<200 {
            let talk = Self.talk(&random, 2 + random.below(10))
            var other = talk
            let at = random.below(talk.turns.count)
            other.turns[at].text += "!"
            let (one, two) = (
                try chain(session(talk.body(dialect), dialect)), try chain(session(other.body(dialect), dialect))
            )
            let common = at + (talk.system == nil ? 0 : 1)
            #expect(one.prefixes.prefix(common) == two.prefixes.prefix(common))
            #expect(Set(one.prefixes.dropFirst(common)).isDisjoint(with: two.prefixes.dropFirst(common)))
            #expect(one.name != two.name)
        }
    }

    @Test("who says something matters, and where one text ends")
    func speakers() throws {
        func prefixes(_ system: String?, _ turns: [(Bool, String)]) throws -> [UInt64] {
            try chain(session(Talk(system: system, turns: turns).body(.anthropic))).prefixes
        }
        let all = try [
            prefixes(nil, [(false, "a")]), prefixes("a", []), prefixes(nil, [(true, "a")]),
            prefixes("a", [(false, "b")]), prefixes(nil, [(false, "ab")]), prefixes(nil, [(false, "a"), (false, "b")]),
        ]
        #expect(Set(all).count == all.count)
    }

    @Test("a conversation is called by its start, before the model has spoken", arguments: dialects)
    func likelyName(dialect: Dialect) throws {
        let start = Talk(system: "s", turns: [(false, "hi")])
        var later = start
        later.turns += [(true, "hello"), (false, "how are you"), (true, "fine"), (false, "good")]
        let (first, last) = (
            try chain(session(start.body(dialect), dialect)), try chain(session(later.body(dialect), dialect))
        )
        #expect(first.name == first.likelyName)
        #expect(last.likelyName == first.name && last.name != first.name)
    }

    @Test("the name is XXH64 of clientIP:userAgent:apiKeyID| and the texts")
    func name() throws {
        let chain = try chain(session(Talk(system: "sys", turns: [(false, "hi"), (true, "yo")]).body(.anthropic)))
        #expect(chain.name.raw == XXH64.hash("192.0.2.1:test/1:7|syshiyo"))
        #expect(chain.context == XXH64.hash("192.0.2.1:test/1:7"))
    }

    @Test("callers that differ in address, program or key share nothing")
    func contexts() throws {
        let body = Talk(system: nil, turns: [(false, "hi")]).body(.anthropic)
        let all = try [scope(), scope(key: 8), scope(ip: "::1"), scope(agent: "x")].map {
            try chain(session(body, .anthropic, $0))
        }
        #expect(Set(all.map(\.context)).count == 4 && Set(all.map(\.name)).count == 4)
    }

    @Test("of a long conversation only the last turns are kept, and a call more still finds them")
    func long() throws {
        var talk = Talk(system: "s", turns: (0..<1001).map { ($0 % 2 == 1, "turn \($0)") })
        let before = try chain(session(talk.body(.anthropic)))
        #expect(before.prefixes.count == DigestChain.maximumPrefixes)
        talk.turns += [(true, "more"), (false, "and more")]
        let after = try chain(session(talk.body(.anthropic)))
        #expect(after.prefixes.count == DigestChain.maximumPrefixes)
        #expect(after.prefixes.dropLast(2).last == before.prefixes.last)
        #expect(after.likelyName == before.likelyName)
    }

    @Test("what is said counts as it is written, and how the JSON round it is written does not")
    func written() throws {
        let one = ##"{"model":"m","messages":[{"role":"assistant","content":"caf\u00e9"}]}"##
        let same =
            ##"{ "model" : "m" , "messages" : [ { "content" : "caf\u00e9" , "\u0072ole" : "assist\u0061nt" } ] }"##
        #expect(try session(one) == session(same))
        #expect(try session(one) != session(one.replacing(##"\u00e9"##, with: "é")))
    }

    @Test("thoughts and tools' data do not make another conversation")
    func texts() throws {
        let plain = #"{"contents":[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"a"}]}]}"#
        let thinking =
            #"{"contents":[{"parts":[{"text":"q"},{"inlineData":{"data":"AA"}}]},{"role":"model","parts":[{"text":"hm","thought":true},{"text":"a","thoughtSignature":"x"}]}]}"#
        #expect(try session(plain, .gemini) == session(thinking, .gemini))
        let text = #"{"model":"m","input":"q"}"#
        let items = #"{"model":"m","input":[{"role":"user","content":"q"},{"type":"reasoning","summary":[]}]}"#
        #expect(try session(text, .openaiResponses) == session(items, .openaiResponses))
    }
}

@Suite("Sessions of hostile bodies")
struct HostileSessionTests {
    private static let odd = [
        "null", "5", "\"x\"", "[]", "{}", "[[]]", "[null,5,\"x\",[],{}]", #"[{"role":5,"content":7}]"#,
        #"[{"role":"user","content":[null,5,[],{"text":5},{"text":{}},{"cache_control":5},{"cache_control":{"type":[]}}]}]"#,
        #"[{"parts":{}},{"parts":"x"},{"parts":[[],{"text":null}]}]"#, #"{"parts":[{"text":"x"},5]}"#,
        #"[{"role":"user","content":{"parts":{"parts":5}}}]"#, #"[{"text":"x","cache_control":{"type":"ephemeral"}}]"#,
        #"[{"type":"function_call"},{"type":"function_call_output","output":5},{"type":5}]"#,
    ]

    @Test("any value in any place is read without a fault", arguments: dialects)
    func values(dialect: Dialect) throws {
        for value in Self.odd {
            for other in Self.odd {
                for field in ["system", "instructions", "systemInstruction", "metadata", "prompt_cache_key", "input"] {
                    let text =
                        #"{"model":"m","messages":\#(value),"contents":\#(value),"input":\#(value),"\#(field)":\#(other)}"#
                    _ = try? session(text, dialect)
                }
            }
        }
    }

    @Test("damaged bodies neither trap nor give a session that a valid one would not", arguments: dialects)
    func damaged(dialect: Dialect) throws {
        var random = SeededGenerator(seed: 13)
        let whole = Array(
            Talk(system: "s", turns: [(false, "a"), (true, "b"), (false, "c")]).body(dialect).utf8
        )
        let parser = JSONParser()
        for _ in 0..<3000 {
            let body = random.mutated(whole, alphabet: Array("{}[],:\"\\ut".utf8))
            let isValid = (try? parser.parse(body) { _ in true }) ?? false
            let isRead = try? parser.outline(body) { request in
                _ = SessionReader.session(of: request, CallRoute(dialect), scope())
                return true
            }
            #expect(isRead ?? false == isValid)
        }
    }

    @Test("deep nesting within a marked part is walked, not trapped on")
    func deep() throws {
        let nested = String(repeating: "[", count: 500) + String(repeating: "]", count: 500)
        let text =
            #"{"model":"m","messages":[{"content":[{"x":\#(nested),"cache_control":{"type":"ephemeral"}}]}]}"#
        guard case .named = try session(text) else { throw Wrong() }
    }

    @Test("tokens counted and vectors have no session", arguments: [CallRoute.Action.countTokens, .embed])
    func actions(action: CallRoute.Action) throws {
        let body = Array(Talk(system: "s", turns: [(false, "a")]).body(.anthropic).utf8)
        let found = try JSONParser().outline(body) {
            SessionReader.session(of: $0, CallRoute(.anthropic, action), scope())
        }
        #expect(found == nil)
    }
}
