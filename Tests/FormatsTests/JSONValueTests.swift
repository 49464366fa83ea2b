import Formats
import Testing

@Suite("Values of a document")
struct JSONValueTests {
    private let parser = JSONParser()

    private func parsed<Result>(_ text: String, _ body: (JSONValue) throws -> Result) throws -> Result {
        try parser.parse(Array(text.utf8)) { try body($0.root) }
    }

    @Test(
        "every kind is told apart",
        arguments: [
            ("null", JSONValue.Kind.null), ("true", .bool), ("false", .bool), ("0", .number), ("-1.5e2", .number),
            ("18446744073709551615", .number), (#""""#, .string), ("[]", .array), ("{}", .object),
        ]
    )
    func kinds(text: String, kind: JSONValue.Kind) throws {
        #expect(try parsed(text) { $0.kind } == kind)
        #expect(try parsed("[\(text)]") { $0.elements.first { _ in true }?.kind } == kind)
    }

    @Test(
        "integers are those written without fraction and exponent that fit",
        arguments: [
            ("0", 0), ("-0", 0), ("7", 7), ("-7", -7), ("9223372036854775807", Int64.max),
            ("-9223372036854775808", Int64.min), ("9223372036854775808", nil), ("18446744073709551615", nil),
            ("18446744073709551616", nil), ("-9223372036854775809", nil), ("1.0", nil), ("1e3", nil),
            (#""1""#, nil), ("true", nil), ("null", nil),
        ] as [(String, Int64?)]
    )
    func integers(text: String, value: Int64?) throws {
        #expect(try parsed(text) { $0.int64 } == value)
    }

    @Test(
        "any number reads as a double, exactly rounded",
        arguments: [
            ("0", 0), ("-2", -2), ("0.1", 0.1), ("1e3", 1000), ("1E-7", 1e-7),
            ("2.2250738585072014e-308", 2.2250738585072014e-308),
            ("5e-324", Double.leastNonzeroMagnitude), ("1e-400", 0),
            ("1.7976931348623157e308", Double.greatestFiniteMagnitude),
            ("18446744073709551615", 0x1p64), ("18446744073709551616", 0x1p64),
            ("-9223372036854775809", -0x1p63),
            ("123456789012345678901234567890", 1.2345678901234568e29),
            ("1e400", 9e307), ("-1e400", -9e307), ("1\(String(repeating: "0", count: 400))", 9e307),
        ]
    )
    func doubles(text: String, value: Double) throws {
        #expect(try parsed(text) { $0.double } == value)
        #expect(try parsed(#"{"a":[\#(text) ]}"#) { $0["a"]?.elements.first { _ in true }?.double } == value)
    }

    @Test("doubles survive a round trip through text")
    func doubleRoundTrip() throws {
        for _ in 0..<2000 {
            let value = Double(bitPattern: UInt64.random(in: 0..<0x7FF0_0000_0000_0000))
            #expect(try parsed(value.description) { $0.double } == value)
        }
    }

    @Test(
        "strings are decoded",
        arguments: [
            (#""""#, ""), (#""a""#, "a"), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
            (#""\u0041\u00e9\u20AC""#, "Aé€"),
            (#""\ud83d\ude00""#, "😀"), (#""é€😀""#, "é€😀"), (#""\u0000""#, "\0"), (#""\ud800""#, "\u{FFFD}"),
            (#""a\udc00b\ud83d""#, "a\u{FFFD}b\u{FFFD}"), (#""\ud83d\ud83d\ude00""#, "\u{FFFD}😀"),
            (#""\\ud800""#, #"\ud800"#), (#""\ud800\u0041""#, "\u{FFFD}A"), ("\"\u{7F}\u{80}\"", "\u{7F}\u{80}"),
        ]
    )
    func strings(text: String, value: String) throws {
        try parsed(text) {
            #expect($0.string == value)
            #expect($0.stringBytes.map { Array($0) } == Array(value.utf8))
        }
        #expect(try parsed("{\(text):1}") { $0.members.map(\.key.string) } == [value])
    }

    @Test("a member is found by its decoded key; the first of several wins")
    func members() throws {
        try parsed(#"{"a":1,"b":{"a":2},"\u0061":3,"":4,"aa":5}"#) { root in
            #expect(root.count == 5)
            #expect(root["a"]?.int64 == 1)
            #expect(root["b"]?["a"]?.int64 == 2)
            #expect(root[""]?.int64 == 4)
            #expect(root["aa"]?.int64 == 5)
            #expect(root["c"]?.int64 == nil)
            #expect(root["a"]?["a"]?.int64 == nil)
            #expect(root.members.map(\.key.string) == ["a", "b", "a", "", "aa"])
            #expect(root.elements.map(\.kind) == [])
        }
    }

    @Test("elements come in order, past nested ones")
    func elements() throws {
        try parsed(#"[1,[2,[3]],{"x":[4]},"s",-1.5,null,true,18446744073709551615]"#) { root in
            #expect(root.count == 8)
            #expect(root.elements.map(\.kind) == [.number, .array, .object, .string, .number, .null, .bool, .number])
            #expect(root.elements.compactMap(\.int64) == [1])
            #expect(root.members.map(\.key.string) == [])
            #expect(root["x"]?.kind == nil)
            var kinds: [JSONValue.Kind] = []
            root.forEachElement { kinds.append($0.kind) }
            #expect(kinds.count == 8)
        }
        let pairs = try parsed(#"{"k":"v","n":null}"#) { root in
            root.members.map { "\($0.key.string)=\($0.value.string ?? "-")" }
        }
        #expect(pairs == ["k=v", "n=-"])
    }

    @Test("counts beyond what the tape can note, 0xFFFFFF, are still right, and so are places")
    func hugeCount() throws {
        var bytes = Array("[1,".utf8)
        for _ in 0..<24 { bytes += bytes.dropFirst() }
        bytes[bytes.count - 1] = UInt8(ascii: "]")
        try JSONParser(maximumStructurals: .max).parse(bytes) { document in
            var last = document.root
            for element in document.root.elements { last = element }
            #expect(document.root.count == 0x100_0000)
            #expect(document.location(of: last).value == (bytes.count - 2)..<(bytes.count - 1))
        }
    }

    @Test("texts are compared without copying them")
    func comparison() throws {
        try parsed(#"["tool_use",""]"#) { root in
            let texts = Array(root.elements)
            #expect(texts[0].equals("tool_use"))
            #expect(!texts[0].equals("tool_us") && !texts[0].equals("tool_usee") && !texts[0].equals(""))
            #expect(texts[1].equals(""))
            #expect(!root.equals(""))
        }
    }
}
