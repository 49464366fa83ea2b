import Domain
import Formats

/// Requests of the Responses API as the service behind logins takes them: streamed, kept nowhere, with instructions, the
/// input as a list, and without limits and sampling, which that service sets itself.
enum OpenAILoginBody {
    /// What it refuses and nobody misses: bounds and tuning of an answer that is the same without them.
    private static let dropped: [StaticString] = [
        "stream", "store", "max_output_tokens", "temperature", "top_p", "previous_response_id",
        "prompt_cache_retention", "prompt_cache_options", "metadata", "truncation", "user", "safety_identifier",
        "moderation",
    ]

    /// Of the tiers it knows these by name.
    private static func tier(_ name: String) -> String? {
        switch name {
        case "priority", "fast": "priority"
        case "ultrafast": "ultrafast"
        default: nil
        }
    }

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
                    if name == "service_tier" {
                        if let tier = value.string.flatMap(tier) { json.member("service_tier", tier) }
                        continue
                    }
                    json.key(name.string)
                    if name == "input", let text = value.string {
                        writeMessage(text, to: &json)
                    } else if name == "input", value.elements.contains(where: isSystems) {
                        json.array { json in
                            for item in value.elements { write(item, document, &places, to: &json) }
                        }
                    } else {
                        json.raw(UnsafeRawBufferPointer(rebasing: document.source[places.range(of: value)]))
                    }
                }
            }
            return json.bytes
        }
    }

    private static func isSystems(_ item: JSONValue) -> Bool { item["role"]?.equals("system") ?? false }

    /// It takes no messages of the system, but a developer's, which mean the same.
    private static func write(
        _ item: JSONValue,
        _ document: JSONDocument,
        _ places: inout JSONSourceCursor,
        to json: inout JSONWriter
    ) {
        func raw(_ value: JSONValue, to json: inout JSONWriter) {
            json.raw(UnsafeRawBufferPointer(rebasing: document.source[places.range(of: value)]))
        }
        guard isSystems(item) else { return raw(item, to: &json) }
        json.object { json in
            for (name, value) in item.members {
                json.key(name.string)
                if name == "role" { json.string("developer") } else { raw(value, to: &json) }
            }
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
