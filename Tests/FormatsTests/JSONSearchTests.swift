import Formats
import TestSupport
import Testing

@Suite("Members by their keys, however deep")
struct JSONSearchTests {
    private static let keys: [StaticString] = ["id", "data", "source", "image_url", "input_audio"]
    private let parser = JSONParser()

    /// Key and first text of each member found.
    private func found(_ bytes: [UInt8]) throws -> [String] {
        try parser.outline(bytes) { outline in
            var found: [String] = []
            outline.forEachMember(of: Self.keys) { member in
                let text = member.value.text.map { String(decoding: $0, as: UTF8.self) } ?? ""
                found.append("\(Self.keys[member.key])=\(text)")
            }
            return found
        }
    }

    /// The same, by a walk through a document that owns its parts.
    private func walked(_ json: JSON, into found: inout [String]) {
        for (key, value) in json.object ?? [] {
            if Self.keys.contains(where: { "\($0)" == key }) { found.append("\(key)=\(value.string ?? "")") }
            walked(value, into: &found)
        }
        for element in json.array ?? [] { walked(element, into: &found) }
    }

    private func written(_ random: inout SeededGenerator, depth: Int) -> JSON {
        let keys = [
            "id", "ID", "i", "data", "date", "source", "sources", "image_url", "input_audio", "a longer key", "",
        ]
        switch random.below(depth > 4 ? 2 : 4) {
        case 0: return .string(["id", "x", "", "source\\:"][random.below(4)])
        case 1: return .int(1)
        case 2: return .array((0..<random.below(4)).map { _ in written(&random, depth: depth + 1) })
        default:
            return .object(
                (0..<random.below(5)).map { _ in (keys[random.below(keys.count)], written(&random, depth: depth + 1)) }
            )
        }
    }

    @Test("a search finds what a walk through the document finds, in its order")
    func walks() throws {
        var random = SeededGenerator(seed: 5)
        for _ in 0..<2_000 {
            let document = JSON.object([("id", written(&random, depth: 0)), ("rest", written(&random, depth: 0))])
            var expected: [String] = []
            walked(document, into: &expected)
            let strings = try found(document.encoded)
            #expect(strings.count == expected.count)
            #expect(strings.map { $0.prefix(3) } == expected.map { $0.prefix(3) })
        }
    }

    @Test("each letter of a key may be escaped, and white space may follow it")
    func escapes() throws {
        let letters = Array("input_audio".utf8)
        for mask in 0..<(1 << letters.count) {
            let key = letters.enumerated().map { place, byte in
                let hex = String(byte, radix: 16)
                return mask >> place & 1 == 0 ? String(UnicodeScalar(byte)) : "\\u00\(hex)"
            }
            #expect(try found(Array(#"{"a":[{"\#(key.joined())":"x"}]}"#.utf8)) == ["input_audio=x"])
        }
        #expect(try found(Array("{\"id\" \n:\"x\"}".utf8)) == ["id=x"])
        #expect(try found(Array(#"{"\u0069d":"x","i\u0064":"y","\u0069\u0064":"z"}"#.utf8)).count == 3)
        #expect(try found(Array(#"["id","data"]"#.utf8)).isEmpty)
        #expect(try found(Array(#""id""#.utf8)).isEmpty)
    }

    @Test("the object of a member is told, if it begins near enough")
    func objects() throws {
        let siblings = (0..<10).map { #""s\#($0)":{"a":[]}"# }.joined(separator: ",")
        let text = #"{"type":"outer","in":{"type":"inner",\#(siblings),"id":"x"},"data":"y"}"#
        try parser.outline(Array(text.utf8)) { outline in
            var types: [String] = []
            outline.forEachMember(of: Self.keys) { member in
                let type = member.object(within: 200)?["type"]?.text
                types.append(type.map { String(decoding: $0, as: UTF8.self) } ?? "none")
                #expect(member.object(within: 8) == nil)
                #expect(member.object(within: 200)?.isElement == false && !member.value.isElement)
            }
            #expect(types == ["inner", "outer"])
        }
    }
}
