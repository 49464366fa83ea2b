import Formats
import Testing

@Suite("JSONSourceCursor")
struct JSONSourceCursorTests {
    private static let documents = [
        #"{}"#, #"[]"#, #" {"a" : 1 , "b":[ 2, -3.5e2 , 18446744073709551615 ], "c":{ "d" : "x,:\"]}" , "e":null} } "#,
        #"[[[]],[{}],{"a":{"a":{"a":true}}},"é\n",false ]"#, #"{"n":[1,2.0,3],"s":"\ud83d\ude00","t":[[ ],{ } ]}"#,
        #"  17 "#, #""only text""#,
    ]

    @Test("finds the bytes that a walk from the root finds", arguments: documents)
    func agrees(_ text: String) throws {
        try JSONParser().parse(Array(text.utf8)) { document in
            var values: [JSONValue] = []
            collect(document.root, into: &values)
            var forward = JSONSourceCursor(document)
            for value in values { #expect(forward.range(of: value) == document.location(of: value).value) }
            var backward = JSONSourceCursor(document)
            for value in values.reversed() {
                #expect(backward.range(of: value) == document.location(of: value).value)
            }
        }
    }

    @Test("a long document costs one pass, not one a value")
    func isLinear() throws {
        let text = "[" + (0..<60_000).map { #"{"k\#($0)":[\#($0),{"a":"b"}]}"# }.joined(separator: ",") + "]"
        let clock = ContinuousClock()
        let time = try clock.measure {
            try JSONParser().parse(Array(text.utf8)) { document in
                var cursor = JSONSourceCursor(document)
                for element in document.root.elements { _ = cursor.range(of: element) }
            }
        }
        // The square of 60,000 would take minutes.
        #expect(time < .seconds(10))
    }

    private func collect(_ value: JSONValue, into values: inout [JSONValue]) {
        values.append(value)
        for element in value.elements { collect(element, into: &values) }
        for (_, member) in value.members { collect(member, into: &values) }
    }
}
