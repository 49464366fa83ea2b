import Formats

/// Bodies of the Responses API as `POST /v1/responses/input_tokens` wants them: without what only an answer would need.
/// Source: OpenAI's API reference, "Get input token counts".
enum OpenAICountBody {
    private static let members: [StaticString] = [
        "model", "input", "instructions", "parallel_tool_calls", "reasoning", "text", "tool_choice", "tools",
    ]

    /// - Throws: `JSONError`.
    static func convert(_ body: [UInt8]) throws -> [UInt8] {
        try JSONParser().parse(body) { document in
            var places = JSONSourceCursor(document)
            var json = JSONWriter(capacity: body.count)
            json.object { json in
                for (name, value) in document.root.members where members.contains(where: { name == $0 }) {
                    json.key(name.string)
                    json.raw(UnsafeRawBufferPointer(rebasing: document.source[places.range(of: value)]))
                }
            }
            return json.bytes
        }
    }
}
