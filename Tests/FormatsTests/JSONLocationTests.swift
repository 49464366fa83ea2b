import Formats
import TestSupport
import Testing

@Suite("Places of values in a document")
struct JSONLocationTests {
    private let parser = JSONParser()

    private func found(_ text: String, _ path: StaticString...) throws -> String? {
        let bytes = Array(text.utf8)
        return try parser.parse(bytes) { document in
            let lookup = document.locate(path: path)
            if path.count == 1 { #expect(document.locateTopLevel(path) == [lookup]) }
            switch lookup {
            case .absent: return nil
            case .duplicate: return "duplicate"
            case .found(let location):
                #expect(lookup.value == location.value)
                return String(decoding: bytes[location.value], as: UTF8.self)
            }
        }
    }

    @Test(
        "a member of the outermost object is found whatever stands around it",
        arguments: [
            (#"{"model":"a"}"#, #""a""#),
            (#"{"model" : "a" }"#, #""a""#),
            (" \n{ \"x\" : [1,2,{\"model\":3}] ,\t\"model\"\n:\r\n 12.5e3 , \"z\":{\"model\":null}}\n", "12.5e3"),
            (#"{"a":{"model":"no"},"model":{"model":"inner"},"b":[]}"#, #"{"model":"inner"}"#),
            (#"{"mod\u0065l":"escaped"}"#, #""escaped""#),
            (#"{"model":"a","x":1,"mod\u0065l":"b"}"#, "duplicate"),
            (#"{"model":"}],:{[\"\\","x":1}"#, #""}],:{[\"\\""#),
            (#"{"model":[],"x":1}"#, "[]"),
            (#"{"x":{},"model":{}}"#, "{}"),
            (#"{"model":true   }"#, "true"),
            (#"{"big":123456789012345678901234,"s":"\ud800","model":"a"}"#, #""a""#),
            (#"{"model":123456789012345678901234 ,"s":1}"#, "123456789012345678901234"),
        ]
    )
    func topLevel(text: String, expected: String) throws {
        #expect(try found(text, "model") == expected)
    }

    @Test(
        "what is not a member of the outermost object is absent",
        arguments: [
            "{}", "[]", #""model""#, "12", #"{"x":{"model":1}}"#, #"[{"model":1}]"#, #"{"Model":1}"#, #"{"model ":1}"#,
        ]
    )
    func absent(text: String) throws {
        #expect(try found(text, "model") == nil)
    }

    @Test("a nested value is found by its path")
    func paths() throws {
        let start =
            #"event {"type":"message_start","model":"no","message":{"id":"m","usage":{"model":0},"model" : "yes"} }"#
            .dropFirst(6)
        #expect(try found(String(start), "message", "model") == #""yes""#)
        #expect(try found(String(start), "message", "usage", "model") == "0")
        #expect(try found(String(start), "message", "nothing") == nil)
        #expect(try found(String(start), "type", "model") == nil)
        #expect(try found(String(start)) == String(start))
        #expect(try found(#"{"a":{"m":1},"a":{"m":2}}"#, "a", "m") == "duplicate")
        #expect(try found(#"{"a":{"m":1,"m":2}}"#, "a", "m") == "duplicate")
    }

    @Test("splicing a value leaves every other byte as it was")
    func splice() throws {
        let bytes = Array(#"{ "stream":true, "mod\u0065l" : "old-model" , "messages":["model"] }"#.utf8)
        let spliced = try parser.parse(bytes) { document in
            var copy = bytes
            let range = try #require(document.locateTopLevel("model").value)
            copy.replaceSubrange(range, with: #""new""#.utf8)
            return String(decoding: copy, as: UTF8.self)
        }
        #expect(spliced == #"{ "stream":true, "mod\u0065l" : "new" , "messages":["model"] }"#)
    }

    @Test("the place of every value of generated documents is the one where it was written", arguments: 0..<8)
    func generated(seed: UInt64) throws {
        for round in 0..<200 {
            var writer = DocumentWriter(seed: seed << 32 | UInt64(round))
            let node = writer.document()
            let bytes = round % 2 == 0 ? writer.bytes : Array(writer.bytes)
            try parser.parse(bytes) { document in
                #expect(Array(document.source) == bytes)
                check(document.root, node, in: document)
                for key in DocumentWriter.keys {
                    let same = node.children.filter { $0.key == "\(key)" }
                    let expected: JSONLookup =
                        switch same.count {
                        case 0: .absent
                        case 1: .found(same[0].location)
                        default: .duplicate
                        }
                    #expect(document.locateTopLevel(key) == expected)
                }
            }
        }
    }

    private func check(_ value: JSONValue, _ node: DocumentWriter.Node, in document: JSONDocument) {
        #expect(document.location(of: value) == node.location)
        #expect(value.count == node.children.count)
        for (element, child) in zip(value.elements, node.children) { check(element, child, in: document) }
        for (member, child) in zip(value.members, node.children) {
            #expect(member.key.string == child.key)
            check(member.value, child, in: document)
        }
    }
}

/// Writes random documents and notes where each value stands.
private struct DocumentWriter {
    struct Node {
        var key: String?
        var location: JSONLocation
        var children: [Node] = []
    }

    static let keys: [StaticString] = ["model", "a", "", "stream", "é", "a\"b"]
    private static let scalars = [
        "1", "-2.5e3", "true", "null", "false", #""model""#, #""]},:[{ \\\" x""#, #""""#, "123456789012345678901234",
        #""\ud800""#, "1e999", #""\u006d""#,
    ]
    private static let spaces = ["", "", "", " ", "\n", "\t\r\n "]

    private(set) var bytes: [UInt8] = []
    private var random: SeededGenerator

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    mutating func document() -> Node {
        space()
        let node = value(depth: 0)
        space()
        return node
    }

    private mutating func value(depth: Int) -> Node {
        let start = bytes.count
        var children: [Node] = []
        switch random.below(depth > 4 ? 1 : 3) + (depth == 0 ? 1 : 0) {
        case 0: bytes += Self.scalars[random.below(Self.scalars.count)].utf8
        case 1:
            container("[", "]") { writer in
                children.append(writer.value(depth: depth + 1))
            }
        default:
            container("{", "}") { writer in
                let keyStart = writer.bytes.count
                let key = writer.key()
                writer.space()
                writer.bytes.append(UInt8(ascii: ":"))
                writer.space()
                var child = writer.value(depth: depth + 1)
                child.key = key
                child.location.member = keyStart..<child.location.value.upperBound
                children.append(child)
            }
        }
        return Node(location: JSONLocation(member: start..<bytes.count, value: start..<bytes.count), children: children)
    }

    private mutating func container(_ open: String, _ close: String, _ child: (inout DocumentWriter) -> Void) {
        bytes += open.utf8
        space()
        for index in 0..<random.below(6) {
            if index > 0 {
                bytes.append(UInt8(ascii: ","))
                space()
            }
            child(&self)
            space()
        }
        bytes += close.utf8
    }

    private mutating func key() -> String {
        let key = "\(Self.keys[random.below(Self.keys.count)])"
        bytes.append(UInt8(ascii: "\""))
        for scalar in key.unicodeScalars {
            if scalar == "\"" || random.below(6) == 0 {
                let digits = String(scalar.value, radix: 16, uppercase: random.below(2) == 0)
                bytes += ("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8
            } else {
                bytes += String(scalar).utf8
            }
        }
        bytes.append(UInt8(ascii: "\""))
        return key
    }

    private mutating func space() { bytes += Self.spaces[random.below(Self.spaces.count)].utf8 }
}
