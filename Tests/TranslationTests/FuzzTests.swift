import Dialects
import Domain
import Formats
import Testing

/// Broken bytes from either side: nothing traps, nothing grows without bound, and nothing that was read is lost.
@Suite("Mutated input")
struct FuzzTests {
    /// SplitMix64, so that a failure can be repeated.
    private struct Chance: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
            return mixed ^ (mixed >> 31)
        }
    }

    private static let snippets = [
        "null", "-1", "1e999", "99999999999999999999", "{}", "[]", "\"\"", "true", "\\ud800", "\u{0}", "[[[[", "}}",
        "\n\n", "data: ", "event: error\n", "\"type\":", "\"tool_calls\":[{}]", "\"index\":-5", "\r",
    ].map { Array($0.utf8) }

    private static func mutate(_ bytes: [UInt8], times: Int, _ chance: inout Chance) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...times, using: &chance) where !bytes.isEmpty {
            let at = Int.random(in: 0..<bytes.count, using: &chance)
            switch Int.random(in: 0..<5, using: &chance) {
            case 0: bytes[at] = UInt8.random(in: 0...255, using: &chance)
            case 1: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...40, using: &chance)))
            case 2: bytes.insert(contentsOf: snippets.randomElement(using: &chance) ?? [], at: at)
            case 3:
                let end = min(bytes.count, at + Int.random(in: 1...200, using: &chance))
                bytes.insert(contentsOf: Array(bytes[at..<end]), at: Int.random(in: 0...bytes.count, using: &chance))
            default:
                // Another value in the place of one: the shape stays, the kind does not.
                guard let colon = bytes[at...].firstIndex(of: UInt8(ascii: ":")) else { continue }
                let stops = Set(",}]".utf8)
                let end = bytes[colon...].firstIndex(where: stops.contains) ?? bytes.endIndex
                bytes.replaceSubrange((colon + 1)..<end, with: snippets.randomElement(using: &chance) ?? [])
            }
        }
        return bytes
    }

    @Test("streams", arguments: Fixture.streams.map { "\($0.dialect.rawValue)/\($0.name)" })
    func streams(_ path: String) throws {
        let parts = path.split(separator: "/").map(String.init)
        let dialect = try #require(Dialect(rawValue: parts[0]))
        let original = Fixture.bytes(dialect, parts[1])
        var chance = Chance(state: UInt64(original.count))
        let parser = JSONParser()
        for round in 0..<120 {
            let bytes = Self.mutate(original, times: 6, &chance)
            let caller = Translating.dialects[round % Translating.dialects.count]
            let (out, translator) = Translating.stream([bytes[...]], from: dialect, to: caller, parser)
            // Each event is repeated a few times at most (Responses), whatever was sent.
            #expect(out.count <= 16 * bytes.count + 65536)
            #expect(!(translator.hasEnded && translator.hasFailed))
            #expect(translator.usage.input >= 0 && translator.usage.output >= 0 && translator.usage.cacheRead >= 0)
            guard translator.hasEnded else { continue }
            // What was written is a sound stream of the caller's dialect.
            let fold = try Translating.fold(out, of: caller)
            #expect(fold.hasEnded && fold.error == nil)
        }
    }

    @Test("requests", arguments: [Dialect.anthropic, .openaiChat, .openaiResponses])
    func requests(_ dialect: Dialect) throws {
        let original = Fixture.bytes(dialect, "request-full.json")
        var chance = Chance(state: 7)
        var read = 0
        for _ in 0..<1500 {
            guard let request = try? Translating.request(Self.mutate(original, times: 2, &chance), of: dialect) else {
                continue
            }
            read += 1
            for upstream in Translating.dialects {
                guard let body = try? Translating.codec(upstream).encodeRequest(request, JSONParser()) else { continue }
                #expect((try? JSON(body))?.object != nil, "what goes upstream is JSON")
            }
        }
        #expect(read > 50)
    }

    @Test("whole answers and error bodies", arguments: [Dialect.anthropic, .openaiChat, .openaiResponses])
    func answers(_ dialect: Dialect) throws {
        let original = Fixture.bytes(dialect, "answer.json")
        var chance = Chance(state: 11)
        let parser = JSONParser()
        for _ in 0..<1500 {
            let bytes = Self.mutate(original, times: 3, &chance)
            for caller in Translating.dialects where caller != dialect {
                let translator = try #require(Translator(caller: caller, upstream: dialect))
                if let answer = try? translator.answer(from: bytes, parser) {
                    #expect((try? JSON(translator.callerBody(for: answer, Translating.context)))?.object != nil)
                }
                let error = translator.callerError(from: bytes, status: 500, requestID: "r", parser)
                #expect((try? JSON(error))?["error"] != nil)
            }
        }
    }
}
