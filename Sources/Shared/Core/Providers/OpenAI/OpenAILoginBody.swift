import Domain
import Formats

/// Requests of the Responses API as the service behind logins takes them: streamed, kept nowhere, with instructions, the
/// input as a list, and without limits and sampling, which that service sets itself.
enum OpenAILoginBody {
    /// What it refuses and nobody misses: bounds and tuning of an answer that is the same without them.
    private static let dropped: [StaticString] = [
        "stream", "store", "max_output_tokens", "temperature", "top_p", "previous_response_id",
    ]

    /// - Throws: `GatewayError.invalidRequest` for what cannot be left out.
    static func convert(_ body: [UInt8], _ parser: JSONParser = JSONParser()) throws -> [UInt8] {
        try parser.parse(body) { document in
            let root = document.root
            if let previous = root["previous_response_id"], !previous.isNull {
                throw GatewayError(
                    .invalidRequest,
                    "previous_response_id: the model's provider keeps no answers",
                    field: "previous_response_id"
                )
            }
            var places = JSONSourceCursor(document)
            var json = JSONWriter(capacity: body.count + 128)
            json.object { json in
                json.member("stream", true)
                json.member("store", false)
                if root["instructions"]?.isString != true { json.member("instructions", "") }
                for (name, value) in root.members where !dropped.contains(where: { name == $0 }) {
                    if name == "instructions", !value.isString { continue }
                    json.key(name.string)
                    if name == "input", let text = value.string {
                        writeMessage(text, to: &json)
                    } else {
                        json.raw(UnsafeRawBufferPointer(rebasing: document.source[places.range(of: value)]))
                    }
                }
            }
            return json.bytes
        }
    }

    private static func writeMessage(_ text: String, to json: inout JSONWriter) {
        json.array {
            $0.object {
                $0.member("role", "user")
                $0.member("content", text)
            }
        }
    }
}
