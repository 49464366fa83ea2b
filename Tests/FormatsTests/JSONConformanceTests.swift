import Formats
import TestSupport
import Testing

@Suite("What is a JSON document")
struct JSONConformanceTests {
    private let parser = JSONParser()

    @Test(
        "valid documents are accepted (RFC 8259)",
        arguments: [
            "[]", "{}", " [ ] ", "\t\n\r {\r\n}\n", "0", "-0", "1E+2", "-0.0e-0", #""x""#, "true", "null", #"{"":""}"#,
            #"{"a":1,"a":2}"#, #"["\u0000\uFFFF\ud834\udd1e"]"#, "[1e400,-1e400,1e-400]",
            "[123456789012345678901234567890]",
            #"["\ud800"]"#, #"{"\udfff":1}"#, "[[[[[[]]]]]]", "\"\u{2028}\u{FEFF}\u{10FFFF}\"",
            "[-9223372036854775809]",
        ]
    )
    func valid(text: String) throws {
        try parser.parse(Array(text.utf8)) { _ in }
        try parser.parse(Array(" \(text)\n".utf8)) { _ in }
        try parser.parse(Array("[\(text),{\"k\":\(text)}]".utf8)) { _ in }
    }

    @Test(
        "other texts are refused",
        arguments: [
            "[", "]", "{", "}", "[1", "[1,]", "[,1]", "[1 2]", "[1,,2]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{:1}",
            "{1:1}",
            "{\"a\" 1}", "{\"a\":1 \"b\":2}", "{\"a\":1]", "[1}", "[]]", "{}}", "{} {}", "1 2", "[] x", "01", "-", "+1",
            ".5",
            "1.", "1.e1", "1e", "1e+", "0x1", "1_000", "Infinity", "NaN", "-Infinity", "tru", "truee", "True", "nul",
            "undefined",
            "'a'", "\"", "\"a", "\"\\\"", "\"\\x41\"", "\"\\u12\"", "\"\\u12G4\"", "\"\n\"", "\"\t\"", "\"\0\"", "a",
            "//x\n[]",
            "[1]/**/", "\u{FEFF}[]", "[1\u{A0}]", "\0", "[]\0", "[\"a\"\0]", "[1\0,2]", "01234567890123456789012",
            "[12345678901234567890123.]",
            "[-]", "[1234567890123456789012345x]", "[\"\\ud800\\x\"]", "[\"\\ud8\"]", "[1e400", "{\"a\":\"\\udc00\"",
        ]
    )
    func malformed(text: String) throws {
        #expect(throws: JSONError.malformed) { try parser.parse(Array(text.utf8)) { _ in } }
        #expect(throws: JSONError.malformed) { try parser.parse(Array("{\"k\":\(text)}".utf8)) { _ in } }
    }

    @Test("no document is not a document", arguments: ["", " ", "\n\t\r "])
    func empty(text: String) {
        #expect(throws: JSONError.empty) { try parser.parse(Array(text.utf8)) { _ in } }
        #expect(throws: JSONError.empty) { try parser.parse(UnsafeRawBufferPointer(start: nil, count: 0)) { _ in } }
    }

    @Test(
        "bytes that are not UTF-8 are refused wherever they stand",
        arguments: [
            [0x80], [0xFF], [0xC3], [0xC0, 0x80], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
            [0xF8, 0x88, 0x80, 0x80, 0x80],
        ] as [[UInt8]]
    )
    func invalidUTF8(bytes: [UInt8]) {
        for fill in [0, 1, 29, 30, 31, 32, 62, 63, 64, 65, 200] {
            let text = Array("[\"\(String(repeating: "x", count: fill))".utf8) + bytes + Array("\"]".utf8)
            #expect(throws: JSONError.invalidUTF8) { try parser.parse(text) { _ in } }
        }
    }

    @Test("nesting is allowed up to the limit", arguments: [("[", "]"), ("{\"a\":", "}")])
    func depth(open: String, close: String) throws {
        func nested(_ depth: Int) -> [UInt8] {
            Array((String(repeating: open, count: depth) + "1" + String(repeating: close, count: depth)).utf8)
        }
        let parser = JSONParser(maximumDepth: 16)
        try parser.parse(nested(15)) { _ in }
        #expect(throws: JSONError.tooDeep) { try parser.parse(nested(17)) { _ in } }
        #expect(throws: JSONError.tooDeep) { try self.parser.parse(nested(100_000)) { _ in } }
        try self.parser.parse(nested(500)) { _ in }
    }

    @Test("an unclosed flood of brackets is refused", arguments: ["[", "{\"a\":", "[[{\"a\":["])
    func unclosed(text: String) {
        let bytes = Array(String(repeating: text, count: 1_000_000 / text.utf8.count).utf8)
        #expect(throws: JSONError.self) { try parser.parse(bytes) { _ in } }
    }

    @Test("a document of too many parts is refused")
    func structurals() throws {
        let parser = JSONParser(maximumStructurals: 9)
        try parser.parse(Array("[1,2,3,4]".utf8)) { _ in }
        #expect(throws: JSONError.tooComplex) { try parser.parse(Array("[1,2,3,4,5]".utf8)) { _ in } }
        try parser.parse(Array("[1,2,3,\"\(String(repeating: ",", count: 1000))\"]".utf8)) { _ in }
    }

    @Test("a parser serves documents of any size one after the other, failures in between included")
    func reuse() throws {
        for size in [1, 100, 5000, 3_000_000, 70, 200_000, 4096, 4095, 2_000_000, 1] {
            let text = String(repeating: "é", count: size)
            #expect(
                try parser.parse(Array("[\"\(text)\",[1.5,\(size)]]".utf8)) { $0.root.elements.map { $0.string } } == [
                    text, nil,
                ]
            )
            #expect(throws: JSONError.malformed) { try parser.parse(Array("[\"\(text)\",".utf8)) { _ in } }
            #expect(throws: JSONError.malformed) {
                try parser.parse(Array("[1234567890123456789012,\"\(text)\",".utf8)) { _ in }
            }
            #expect(try parser.parse(Array("[1234567890123456789012,\"\(text)\"]".utf8)) { $0.root.count } == 2)
        }
    }

    @Test(
        "worst cases of a length fit the buffers",
        arguments: ["1,", "\"\",", "{},", "[],", "1.5,", "[1],", "{\"\":\"\"},", "\"\\n\","]
    )
    func dense(unit: String) throws {
        for count in [1, 2, 3, 10, 500, 1000, 2000, 100_000] {
            let text = "[" + String(repeating: unit, count: count).dropLast() + "]"
            #expect(try parser.parse(Array(text.utf8)) { $0.root.count } == count)
        }
    }

    @Test("the bytes after a document parsed in place do not matter")
    func padding() throws {
        var random = SeededGenerator(seed: 1)
        let endings = Array(#"]}":,0123456789eE.-+tfn[{ "#.utf8)
        for text in [
            "[[1]", "12", "1", "\"a", "[1,2]", "{\"a\":1}", "{\"a\":{}", "tru", "true", "nul", "-", "[1", "\"a\"",
            "{\"a\":[1]", "1.", "1e",
        ] {
            let exact = Array(text.utf8)
            let expected = try? parser.parse(exact[...]) { JSON($0.root) }
            for _ in 0..<300 {
                let padded = exact + (0..<JSONParser.padding).map { _ in endings[random.below(endings.count)] }
                let found = try? padded.withUnsafeBytes { bytes in
                    try parser.parse(padded: UnsafeRawBufferPointer(rebasing: bytes[..<exact.count])) { JSON($0.root) }
                }
                #expect(
                    found == expected,
                    "\(text) before \(String(decoding: padded.dropFirst(exact.count), as: UTF8.self))"
                )
            }
            for ending in endings {
                let padded = exact + [UInt8](repeating: ending, count: JSONParser.padding)
                let found = try? padded.withUnsafeBytes { bytes in
                    try parser.parse(padded: UnsafeRawBufferPointer(rebasing: bytes[..<exact.count])) { JSON($0.root) }
                }
                #expect(found == expected)
            }
        }
    }

    @Test("mutated documents are refused or readable, never a crash")
    func fuzz() throws {
        var random = SeededGenerator(seed: 42)
        let alphabet = Array(#"{}[]":,\u0123456789abcdefnrtlsE.+- "#.utf8) + [0, 0x80, 0xC3, 0xED, 0xFF]
        let seeds = [
            #"{"model":"claude","max_tokens":1024,"messages":[{"role":"user","content":[{"type":"text","text":"h\u00e9\ud83d\ude00"}]}],"x":[1,-2.5e3,12345678901234567890123,true,false,null,1e999]}"#,
            #"[[[["\ud800",{"a":{"b":{"c":[]}}}]]],"",{},"\\\"\/"]"#,
        ].map { Array($0.utf8) }
        for round in 0..<8000 {
            var bytes = random.mutated(seeds[round % seeds.count], alphabet: alphabet)
            if round % 2 == 0 { bytes.reserveCapacity(bytes.count + JSONParser.padding) }
            _ = try? parser.parse(bytes) { document in
                let tree = JSON(document.root)
                _ = document.locateTopLevel("model")
                visit(document.root) { value in
                    let place = document.location(of: value)
                    #expect(place.value.upperBound <= bytes.count && place.member.lowerBound <= place.value.lowerBound)
                }
                #expect((try? JSON(tree.encoded)) == tree)
            }
        }
    }

    private func visit(_ value: JSONValue, _ body: (JSONValue) -> Void) {
        body(value)
        for element in value.elements { visit(element, body) }
        for (_, member) in value.members { visit(member, body) }
    }
}
