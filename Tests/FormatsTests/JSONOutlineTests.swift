import Formats
import TestSupport
import Testing

@Suite("JSON outline")
struct JSONOutlineTests {
    private let parser = JSONParser()

    private func locate(_ text: String) throws -> [JSONLookup]? { try locate(Array(text.utf8)) }

    /// Where the members `a` and `b` of the outermost object stand; nil where there is none.
    private func locate(_ bytes: [UInt8]) throws -> [JSONLookup]? {
        try parser.outline(bytes) { outline in
            guard outline.root.isObject else { return nil }
            return (["a", "b"] as [StaticString]).map { key in
                switch outline.root.uniqueMember(key) {
                case .absent: .absent
                case .duplicate: .duplicate
                case .found(let value):
                    // The key's place is not told.
                    .found(JSONLocation(member: value.range, value: value.range))
                }
            }
        }
    }

    private func texts(_ text: String) throws -> [String?] {
        try (locate(text) ?? []).map { lookup in
            lookup.value.map { String(decoding: Array(text.utf8)[$0], as: UTF8.self) }
        }
    }

    @Test("members are found where they stand, whatever surrounds them")
    func places() throws {
        #expect(try texts(#"{"a":1,"b":2}"#) == ["1", "2"])
        #expect(try texts(#" { "b" : [ {"a":3} ] , "c":{"a":4} , "a" : "x\"}" } "#) == [#""x\"}""#, #"[ {"a":3} ]"#])
        #expect(try texts(#"{"a":{},"b":[]}"#) == ["{}", "[]"])
        #expect(try texts(#"{"a":null}"#) == ["null", nil])
        #expect(try texts("{}") == [nil, nil])
        #expect(try locate("[1]") == nil)
        #expect(try locate(" \"a\" ") == nil)
    }

    @Test("a key that stands twice is told, also when one of them is escaped")
    func duplicates() throws {
        #expect(try locate(#"{"a":1,"a":2}"#)?.first == .duplicate)
        #expect(try locate(##"{"a":1,"\u0061":2}"##)?.first == .duplicate)
        #expect(try texts(##"{"\u0061":2}"##).first == "2")
        #expect(try locate(##"{"\u0061b":2,"\n":1,"a\u0000":3}"##)?.first == .absent)
    }

    /// What a parse says of the bytes.
    private func parsed(_ bytes: [UInt8]) -> (JSONError?, [JSONLookup]?) {
        do {
            return try parser.parse(bytes) { document in
                guard document.root.isObject else { return (nil, nil) }
                return (
                    nil,
                    document.locateTopLevel(["a", "b"]).map { lookup in
                        lookup.value.map { .found(JSONLocation(member: $0, value: $0)) } ?? lookup
                    }
                )
            }
        } catch {
            return (error as? JSONError, nil)
        }
    }

    private func located(_ bytes: [UInt8]) -> (JSONError?, [JSONLookup]?) {
        do { return (nil, try locate(bytes)) } catch { return (error as? JSONError, nil) }
    }

    private func expectSame(_ bytes: [UInt8]) {
        let parse = parsed(bytes)
        let outline = located(bytes)
        // Which of several faults is named first may differ.
        #expect((parse.0 == nil) == (outline.0 == nil), "\(String(decoding: bytes, as: UTF8.self))")
        #expect(parse.1 == outline.1, "\(String(decoding: bytes, as: UTF8.self))")
    }

    @Test(
        "it takes and refuses what a parse takes and refuses",
        arguments: [
            "", " ", "{", "}", "[", "]", "{}", "[]", "{]", "[}", "{}{}", "{},", "[1,]", "[,1]", "[1 2]", "{\"a\"}",
            "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "{1:2}", "\"a", "\"a\"b", "\"\\x\"", "\"\\u12g4\"",
            "\"\\u123\"", "\"\\ud800\"", "\"\\\"", "\"\\\\\"", "tru", "true", "truee", "nul", "null,", "false ", "01",
            "-",
            "-0", "1.", "1.e3", "1e", "1e+", "1e999", "123456789012345678901234567890", "+1", ".5", "1 ", "[[[[]]]]",
            "{\"a\":{\"a\":1},\"b\":2}", "{\"a\":\"\t\"}", "\u{feff}{}", "{\"a\":1}x", "[\"\u{e9}\",\"\u{1f600}\"]",
            "\\", "[1]\\",
        ]
    )
    func sameAsParse(text: String) { expectSame(Array(text.utf8)) }

    @Test("depth is bounded like a parse's", arguments: [1, 2, 510, 511, 512, 513, 2000])
    func depth(levels: Int) {
        for inside in ["", "1", "{}", #"{"a":1}"#, "[],[]"] {
            expectSame(
                Array(String(repeating: "[", count: levels).utf8) + Array(inside.utf8)
                    + Array(String(repeating: "]", count: levels).utf8)
            )
        }
    }

    @Test("20,000 mutations of a document are taken or refused like by a parse")
    func mutations() {
        let seed = Array(
            #"{"a":"text \"q\" \u00e9 \n","b":[1,-2.5e3,true,false,null,{"a":[]},""],"c":{"b":"é😀","d":{}} , "e" : 12}"#
                .utf8
        )
        let pieces = Array(#"{}[]",:\ \u0ntf-1.eE+/xé"#.utf8) + [0, 9, 10, 31, 127, 0xC3, 0xFF]
        var random = SeededGenerator(seed: 7)
        for _ in 0..<20_000 {
            var bytes = seed
            for _ in 0...Int(random.next() % 3) {
                let at = Int(random.next() % UInt64(bytes.count))
                let piece = pieces[Int(random.next() % UInt64(pieces.count))]
                switch random.next() % 3 {
                case 0: bytes[at] = piece
                case 1: bytes.insert(piece, at: at)
                default: bytes.remove(at: at)
                }
            }
            expectSame(bytes)
        }
        for end in seed.indices { expectSame(Array(seed[..<end])) }
    }

    @Test(
        "an escape is judged alike wherever it stands",
        arguments: [
            #"\n"#, #"\""#, #"\\"#, #"\/"#, #"\b"#, #"\f"#, #"\r"#, #"\t"#, #"\u00e9"#, #"\uABcd"#, #"\u12\n3"#,
            #"\u123"#,
            #"\u"#, #"\ug000"#, #"\u000g"#, #"\x"#, #"\U0041"#, #"\ "#, #"\é"#, #"\\\"#, #"\\\n"#, #"\\\\"#,
            #"\ud83d\ude00"#,
            #"\u0041\u0042\n\\\"\u0043"#, #"\1"#, #"\B"#, #"\N"#, #"\2"#, #"\e"#, #"\v"#, #"\a"#, #"\0"#, #"\'"#,
            #"\?"#, #"\["#,
        ]
    )
    func escapes(escape: String) {
        for before in 0...130 {
            let pad = String(repeating: "a", count: before)
            expectSame(Array(#"["\#(pad)\#(escape)"]"#.utf8))
            expectSame(Array(#"["\#(pad)\#(escape)\#(String(repeating: "f", count: 130 - before))"]"#.utf8))
        }
    }

    @Test("every other backslash of a row is escaped, however long it is and wherever it begins")
    func rows() {
        for length in [0, 1, 2, 3, 4, 5, 31, 32, 33, 62, 63, 64, 65, 66, 127, 128, 129] {
            for before in 55..<67 {
                let row = String(repeating: "a", count: before) + String(repeating: "\\", count: length)
                expectSame(Array("[\"\(row)\"]".utf8))
                expectSame(Array("[\"\(row)n\",\"\(row)x\"]".utf8))
            }
        }
    }

    @Test("escapes of all kinds, one after another, are judged like by a parse")
    func mixedEscapes() {
        let pieces = [
            #"\n"#, #"\""#, #"\\"#, #"\/"#, #"\t"#, #"\u00e9"#, #"\u0041"#, "a", "é", String(repeating: "x", count: 50),
            String(repeating: #"\n"#, count: 40),
        ]
        let wrong = [#"\x"#, #"\u12"#, #"\"#, #"\é"#]
        var random = SeededGenerator(seed: 9)
        for _ in 0..<5_000 {
            var text = (0..<random.below(20)).map { _ in pieces[random.below(pieces.count)] }
            if random.below(3) == 0 { text.insert(wrong[random.below(wrong.count)], at: random.below(text.count + 1)) }
            expectSame(Array("{\"\(text.joined())\":\"\(text.reversed().joined())\"}".utf8))
        }
    }
}

@Suite("Values as they stand in the source")
struct JSONSourceValueTests {
    private let parser = JSONParser()

    /// What a value says, told by its view of the source.
    private func json(_ value: JSONSourceValue) -> JSON {
        if let text = value.text {
            let decoded =
                (try? parser.parse(Array("\"".utf8) + Array(text) + Array("\"".utf8)) { $0.root.string }) ?? nil
            return decoded.map { .string($0) } ?? .null
        }
        if value.isArray { return .array(value.elements.map { json($0) }) }
        if value.isObject {
            return .object(value.members.map { (String(decoding: $0.key, as: UTF8.self), json($0.value)) })
        }
        return value.isNull ? .null : value.bool == true ? .bool(true) : .int(0)
    }

    private func written(_ random: inout SeededGenerator, depth: Int) -> JSON {
        let texts = ["", "a", "é😀", "\"q\"\n\\", String(repeating: "long ", count: 30), "]", "},{"]
        switch random.below(depth > 4 ? 4 : 6) {
        case 0: return .null
        case 1: return .bool(true)
        case 2: return .int(0)
        case 3: return .string(texts[random.below(texts.count)])
        case 4: return .array((0..<random.below(5)).map { _ in written(&random, depth: depth + 1) })
        default: return .object((0..<random.below(5)).map { ("k\($0)", written(&random, depth: depth + 1)) })
        }
    }

    @Test("a document reads as it was written, with white space anywhere between")
    func documents() throws {
        var random = SeededGenerator(seed: 21)
        for _ in 0..<500 {
            let document = JSON.array([written(&random, depth: 0)])
            #expect(try reading(document.encoded) == document)
            var spaced: [UInt8] = [0x20, 0x0A]
            var isInText = false
            var isEscaped = false
            for byte in document.encoded {
                let isQuote = byte == UInt8(ascii: "\"") && !isEscaped
                isEscaped = byte == UInt8(ascii: "\\") && !isEscaped
                if isQuote { isInText.toggle() }
                spaced.append(byte)
                let isSign = isQuote || [0x2C, 0x3A, 0x5B, 0x5D, 0x7B, 0x7D].contains(byte)
                if !isInText, isSign { spaced += [0x20, 0x09, 0x0D, 0x0A].prefix(random.below(5)) }
            }
            #expect(try reading(spaced) == document)
        }
    }

    private func reading(_ bytes: [UInt8]) throws -> JSON {
        try JSONParser().outline(bytes) { json($0.root) }
    }

    @Test("a lone value is the whole document")
    func lone() throws {
        #expect(try reading(Array(" \"a\" ".utf8)) == "a")
        #expect(try reading(Array("\"\"".utf8)) == "")
        #expect(try reading(Array("null".utf8)) == .null)
        #expect(try reading(Array("[ ]".utf8)) == [])
        #expect(try reading(Array("{ }".utf8)) == .object([]))
    }

    @Test("members are found by their decoded keys, the first of them where there are more")
    func members() throws {
        try parser.outline(Array(##"{"b":1,"\u0061":"x\n","a":null,"s":"tr\u0075e"}"##.utf8)) { outline in
            let root = outline.root
            #expect(root["a"]?.text?.elementsEqual("x\\n".utf8) == true)
            #expect(root["s"]?.equals("true") == true && root["s"]?.equals("tru") == false)
            #expect(root["s"]?.bool == nil && root["b"]?.bool == nil)
            #expect(root["c"] == nil && root["b"]?["a"] == nil && root["a"]?["a"] == nil)
            #expect(root["b"]?.text == nil && root["b"]?.equals("1") == false)
            #expect(Array(root.elements.map(\.isNull)).isEmpty)
        }
    }

    @Test(
        "numbers are read like by a parse",
        arguments: [
            "0", "-0", "7", "-12", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
            "-9223372036854775809", "123456789012345678901234567890", "1.0", "1e2", "0.5", "true", "null", "\"7\"",
            "[7]",
        ]
    )
    func numbers(text: String) throws {
        let bytes = Array("{\"n\":\(text) }".utf8)
        let parsed = try parser.parse(bytes) { $0.root["n"]?.int64 }
        #expect(try parser.outline(bytes) { $0.root["n"]?.int64 } == parsed)
    }

    @Test(
        "strings are decoded like by a parse",
        arguments: ["", "a", #"é\n\"\/"#, #"\u00e9\ud83d\ude00"#, #"\ud800"#, "7"]
    )
    func strings(inside: String) throws {
        let bytes = Array("{\"s\" : \"\(inside)\" }".utf8)
        let parsed = try parser.parse(bytes) { $0.root["s"]?.string }
        #expect(try parser.outline(bytes) { $0.root["s"]?.string } == parsed)
    }

    @Test("the only member with a key is told from one of several, and an empty object from another")
    func unique() throws {
        try parser.outline(Array(##"{"a":{"a":1},"b":[],"\u0062":2,"c":{ }}"##.utf8)) { outline in
            let root = outline.root
            #expect(root.uniqueMember("a").value?["a"]?.int64 == 1)
            guard case .duplicate = root.uniqueMember("b") else { throw JSONError.malformed }
            guard case .absent = root.uniqueMember("d") else { throw JSONError.malformed }
            #expect(root["b"]?.isEmpty == true && root["c"]?.isEmpty == true && root["a"]?.isEmpty == false)
            #expect(root["a"]?.range == 5..<12)
        }
    }
}
