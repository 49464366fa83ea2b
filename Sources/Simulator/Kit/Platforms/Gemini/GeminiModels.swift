import Formats

/// `GET /v1beta/models` and `GET /v1beta/models/{id}`: a list of fixed names; a look-up finds any name.
enum GeminiModels {
    static let names = ["gemini-sim", "gemini-3-pro", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-embedding-001"]

    static func list() -> [UInt8] {
        JSONWriter.object { text in
            text.arrayMember("models") { for name in names { write(name, to: &$0) } }
        }
    }

    static func model(_ id: String) -> [UInt8] {
        var text = JSONWriter()
        write(id, to: &text)
        return text.bytes
    }

    private static func write(_ name: String, to text: inout JSONWriter) {
        text.object {
            $0.member("name", "models/\(name)")
            $0.member("version", "001")
            $0.member("displayName", name)
            $0.member("inputTokenLimit", 1_048_576)
            $0.member("outputTokenLimit", 65_536)
            $0.arrayMember("supportedGenerationMethods") {
                if name.hasPrefix("gemini-embedding") {
                    $0.string("embedContent")
                } else {
                    $0.string("generateContent")
                    $0.string("countTokens")
                }
            }
            $0.member("temperature", 1)
            $0.member("maxTemperature", 2)
        }
    }
}
