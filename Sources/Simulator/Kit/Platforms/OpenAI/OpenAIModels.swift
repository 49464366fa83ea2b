import Formats

/// `GET /v1/models` and `GET /v1/models/{id}`: a list of fixed names; a look-up finds any name.
enum OpenAIModels {
    private static let names = ["gpt-sim", "gpt-5.2", "gpt-5-mini", "gpt-4.1", "o4-mini", "text-embedding-3-small"]

    static func list() -> [UInt8] {
        JSONWriter.object { text in
            text.member("object", "list")
            text.arrayMember("data") { for name in names { write(name, to: &$0) } }
        }
    }

    static func model(_ id: String) -> [UInt8] {
        var text = JSONWriter()
        write(id, to: &text)
        return text.bytes
    }

    private static func write(_ name: String, to text: inout JSONWriter) {
        text.object {
            $0.member("id", name)
            $0.member("object", "model")
            $0.member("created", 1_767_225_600)
            $0.member("owned_by", "system")
        }
    }
}
