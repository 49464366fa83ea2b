import Domain
import Formats

/// Google's bodies of requests that count tokens, made of translated requests.
enum CountBody {
    /// Whether a whole request, as other dialects' become, must stand inside of another: the Gemini API counts so.
    static func isWrapped(_ call: UpstreamCall) -> Bool {
        call.action == .countTokens && call.isTranslated && call.dialect == .gemini
    }

    /// `{"generateContentRequest":{"model":"models/…",…}}`
    static func wholeRequest(_ call: UpstreamCall) -> [UInt8] {
        var json = JSONWriter(capacity: call.body.count + 128)
        json.object {
            $0.key("generateContentRequest")
            $0.object { request in
                request.member("model", "models/" + call.model)
                appendMembers(of: call.body, without: "model", to: &request)
            }
        }
        return json.bytes
    }

    /// Those of a request; of the one inside, where a caller of the Gemini API had it counted so.
    static func appendMembers(of body: [UInt8], without left: StaticString, to json: inout JSONWriter) {
        let members: [(String, [UInt8])]? = try? JSONParser().parse(body) { document in
            let root = document.root
            let request = root["generateContentRequest"] ?? root["generate_content_request"] ?? root
            var places = JSONSourceCursor(document)
            return request.members.compactMap { name, value in
                name == left ? nil : (name.string, places.bytes(of: value))
            }
        }
        for (name, value) in members ?? [] {
            json.key(name)
            json.raw(value)
        }
    }
}
