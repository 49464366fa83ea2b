import Formats
import TestSupport
import Testing

@Suite("JSON outline")
struct JSONOutlineTests {
    private let parser = JSONParser()

    private func locate(_ text: String, _ keys: [StaticString] = ["a", "b"]) throws -> [JSONLookup]? {
        try parser.locate(keys, in: Array(text.utf8))
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
                (nil, document.root.isObject ? document.locateTopLevel(["a", "b"]) : nil)
            }
        } catch {
            return (error as? JSONError, nil)
        }
    }

    private func located(_ bytes: [UInt8]) -> (JSONError?, [JSONLookup]?) {
        do { return (nil, try parser.locate(["a", "b"], in: bytes)) } catch { return (error as? JSONError, nil) }
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
        expectSame(
            Array(String(repeating: "[", count: levels).utf8) + Array(String(repeating: "]", count: levels).utf8)
        )
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

    @Test("a document that is shared reads as it does alone, whatever else the parser reads in between")
    func sharing() throws {
        var bytes = Array(#"{"a":[1,{"b":"x\u0041"}],"b":1e999,"c":"y"}"#.utf8)
        for isPadded in [false, true] {
            if isPadded { bytes.reserveCapacity(bytes.count + JSONParser.padding) }
            let alone = try (parser.locate(["a", "b", "c"], in: bytes), parser.parse(bytes) { $0.root["a"]?.count })
            try parser.sharing(bytes) { () throws in
                for _ in 0..<2 {
                    #expect(try parser.locate(["a", "b", "c"], in: bytes) == alone.0)
                    #expect(try parser.parse(bytes) { $0.root["a"]?.count } == alone.1)
                    #expect(try parser.parse(Array("[7]".utf8)) { $0.root.count } == 1)
                    #expect(try parser.parse(bytes[5..<24]) { $0.root.count } == 2)
                    #expect((try? parser.parse(Array("[7".utf8)) { $0.root.count }) == nil)
                }
                #expect(try parser.parse(bytes) { $0.root["c"]?.string } == "y")
            }
            // Others may have come to stand in its place since.
            bytes[bytes.count - 3] = UInt8(ascii: "z")
            #expect(try parser.parse(bytes) { $0.root["c"]?.string } == "z")
            bytes[bytes.count - 3] = UInt8(ascii: "y")
        }
    }

    @Test("what is wrong with a shared document is found each time")
    func sharingBad() throws {
        for text in [#"{"a":1"#, #"{"a":tru}"#, "{\"a\":\"\u{1}\"}", ""] {
            var bytes = Array(text.utf8)
            bytes.reserveCapacity(bytes.count + JSONParser.padding)
            parser.sharing(bytes) {
                for _ in 0..<2 {
                    #expect((try? parser.locate(["a"], in: bytes)) == nil)
                    #expect((try? parser.parse(bytes) { $0.root.count }) == nil)
                }
            }
        }
    }
}
