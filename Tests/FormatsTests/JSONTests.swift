import Formats
import Testing

@Suite("JSON trees and merge patches")
struct JSONTests {
    @Test(
        "a tree is what its text says, and writes it again",
        arguments: [
            ("null", JSON.null), ("true", true), ("-12", -12), ("1.5", 1.5), (#""a\nb""#, "a\nb"), ("[]", []),
            (#"[1,[2],{"b":1,"a":null}]"#, [1, [2], ["b": 1, "a": .null]]), (#"{"a":1,"a":2}"#, ["a": 1, "a": 2]),
            (#"{"\u0001\"":"\\"}"#, ["\u{1}\"": "\\"]),
        ] as [(String, JSON)]
    )
    func roundTrip(text: String, tree: JSON) throws {
        #expect(try JSON(text: text) == tree)
        #expect(tree.text == text)
    }

    @Test("trees read by kind, key and index")
    func access() throws {
        let tree = try JSON(text: #"{"s":"x","n":-3,"d":0.5,"b":false,"z":null,"a":[10,20],"o":{"k":"v"}}"#)
        #expect(tree["s"]?.string == "x" && tree["n"]?.int64 == -3 && tree["n"]?.int == -3 && tree["n"]?.double == -3)
        #expect(tree["d"]?.double == 0.5 && tree["d"]?.int64 == nil && tree["b"]?.bool == false)
        #expect(tree["z"]?.isNull == true && tree["none"] == nil && tree["s"]?["k"] == nil)
        #expect(tree["a"]?[1]?.int64 == 20 && tree["a"]?[2] == nil && tree["a"]?[-1] == nil && tree[0] == nil)
        #expect(tree["o"]?["k"]?.string == "v" && tree["a"]?.array?.count == 2 && tree.object?.count == 7)
    }

    @Test("members are set, replaced and removed in place")
    func editing() {
        var tree: JSON = ["a": 1, "b": 2]
        tree["a"] = "new"
        tree["c"] = [true]
        tree["b"] = nil
        #expect(tree == ["a": "new", "c": [true]])
        var other: JSON = 1
        other["a"] = 2
        #expect(other == 1)
    }

    @Test("bytes that are no document are refused with the reason")
    func refused() {
        #expect(throws: JSONError.malformed) { try JSON(text: "{") }
        #expect(throws: JSONError.empty) { try JSON(text: "") }
        #expect(throws: JSONError.invalidUTF8) { try JSON([0x22, 0xFF, 0x22]) }
    }

    @Test(
        "merge patches do what RFC 7386's appendix says",
        arguments: [
            (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#),
            (#"{"a":"b"}"#, #"{"b":"c"}"#, #"{"a":"b","b":"c"}"#),
            (#"{"a":"b"}"#, #"{"a":null}"#, #"{}"#),
            (#"{"a":"b","b":"c"}"#, #"{"a":null}"#, #"{"b":"c"}"#),
            (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#),
            (#"{"a":"c"}"#, #"{"a":["b"]}"#, #"{"a":["b"]}"#),
            (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#),
            (#"{"a":[{"b":"c"}]}"#, #"{"a":[1]}"#, #"{"a":[1]}"#),
            (#"["a","b"]"#, #"["c","d"]"#, #"["c","d"]"#),
            (#"{"a":"b"}"#, #"["c"]"#, #"["c"]"#),
            (#"{"a":"foo"}"#, "null", "null"),
            (#"{"a":"foo"}"#, #""bar""#, #""bar""#),
            (#"{"e":null}"#, #"{"a":1}"#, #"{"e":null,"a":1}"#),
            ("[1,2]", #"{"a":"b","c":null}"#, #"{"a":"b"}"#),
            ("{}", #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
        ]
    )
    func mergePatch(original: String, patch: String, result: String) throws {
        #expect(try JSON(text: original).merged(with: JSON(text: patch)) == JSON(text: result))
    }

    @Test("a patch of very many members is applied in time proportional to it")
    func largePatch() {
        let keys = (0..<20_000).map { "k\($0)" }
        let original = JSON.object(keys.map { ($0, .int(0)) })
        let patch = JSON.object(keys.map { ($0, $0.hasSuffix("7") ? .null : .int(1)) } + [("new", ["a": .null])])
        let merged = original.merged(with: patch)
        #expect(merged.object?.count == 18_001)
        #expect(merged["k1"] == 1 && merged["k7"] == nil && merged["new"] == [:])
    }
}
