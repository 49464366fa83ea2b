import Formats
import Testing

@Suite("Places of values in a document")
struct JSONLocationTests {
    private let parser = JSONParser()

    private func top(_ text: String, _ key: StaticString) throws -> String? {
        let bytes = Array(text.utf8)
        return try parser.parse(bytes) { document in
            switch document.locateTopLevel(key) {
            case .absent: nil
            case .duplicate: "duplicate"
            case .found(let location): String(decoding: bytes[location.value], as: UTF8.self)
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
        ]
    )
    func topLevel(text: String, expected: String) throws {
        #expect(try top(text, "model") == expected)
    }

    @Test(
        "what is not a member of the outermost object is absent",
        arguments: [
            "{}", "[]", #""model""#, "12", #"{"x":{"model":1}}"#, #"[{"model":1}]"#, #"{"Model":1}"#, #"{"model ":1}"#,
        ]
    )
    func absent(text: String) throws {
        #expect(try top(text, "model") == nil)
    }
}
