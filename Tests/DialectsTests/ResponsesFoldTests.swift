import Dialects
import Formats
import Testing

@Suite("Whole answers out of Responses streams")
struct ResponsesFoldTests {
    private func fold(_ events: [(name: String, data: String)], isNamed: Bool) -> OpenAIResponsesFold {
        let stream = events.map { (isNamed ? "event: \($0.name)\n" : "") + "data: \($0.data)\n\n" }.joined()
        return OpenAIResponsesFold(Array(stream.utf8), JSONParser())
    }

    private func done(_ item: String, at place: Int) -> (String, String) {
        let name = "response.output_item.done"
        return (name, #"{"type":"\#(name)","output_index":\#(place),"item":\#(item)}"#)
    }

    private func completed(_ output: String) -> (String, String) {
        ("response.completed", #"{"type":"response.completed","response":{"id":"r","output":\#(output),"x":1.50}}"#)
    }

    @Test(
        "an output that names none of the items that were brought has them, in their order",
        arguments: [true, false]
    )
    func items(isNamed: Bool) {
        let events = [done(#"{"id":"b"}"#, at: 1), done(#"{"id":"a"}"#, at: 0), completed("[]")]
        let found = fold(events, isNamed: isNamed)
        #expect(found.response == Array(#"{"id":"r","output":[{"id":"a"},{"id":"b"}],"x":1.50}"#.utf8))
        #expect(!found.isEmpty)
    }

    @Test("an output that has items stays as it is, and one without any is empty")
    func given() {
        let given = fold([done(#"{"id":"b"}"#, at: 0), completed(#"[{"id":"c"}]"#)], isNamed: true)
        #expect(given.response == Array(#"{"id":"r","output":[{"id":"c"}],"x":1.50}"#.utf8))
        let nothing = fold([completed("[]")], isNamed: true)
        #expect(nothing.response == Array(#"{"id":"r","output":[],"x":1.50}"#.utf8) && nothing.isEmpty)
    }
}
