import Domain
import Formats

/// Reads content parts of Chat Completions.
internal enum ChatParts {
    /// A string, or an array of parts.
    static func content(_ message: FieldReader, isRequired: Bool) throws -> [NeutralPart] {
        guard let value = message["content"] else {
            if isRequired { throw message.fault("content", "field required") }
            return []
        }
        if let text = value.string { return text.isEmpty ? [] : [.text(text)] }
        return try (message.objects("content") ?? []).map { NeutralPart(try content($0)) }
    }

    private static func content(_ part: FieldReader) throws -> NeutralPart.Content {
        switch try part.requiredString("type") {
        case "text": return .text(try part.requiredString("text"))
        case "refusal": return .refusal(try part.requiredString("refusal"))
        case "image_url":
            let image = try part.requiredObject("image_url")
            let source = try DataURL.source(try image.requiredString("url"), field: image.name("url"))
            return .image(NeutralMedia(source, detail: try image.string("detail"), field: image.name("url")))
        case "input_audio": return try OpenAIRequestParts.audio(part)
        case "file":
            let file = try part.requiredObject("file")
            if let id = try file.string("file_id") {
                return .document(NeutralMedia(.file(id: id), field: file.name("file_id")))
            }
            let name = try file.string("filename")
            return try DataURL.document(try file.requiredString("file_data"), name: name, field: file.name("file_data"))
        default: throw part.fault("type", "must be text, image_url, input_audio or file")
        }
    }
}

/// The thoughts in an assistant's message. OpenAI has no field for them; these are what others have made common:
/// `reasoning_content` (DeepSeek) for the text, `reasoning_details` (OpenRouter) for text with seals.
internal enum ChatReasoning {
    static func parts(_ message: FieldReader) throws -> [NeutralPart] {
        if let details = try message.objects("reasoning_details"), !details.isEmpty {
            return try details.compactMap { try part($0) }
        }
        guard let text = message["reasoning_content"]?.string, !text.isEmpty else { return [] }
        return [NeutralPart(.thinking(NeutralThinking(text: text)))]
    }

    private static func part(_ detail: FieldReader) throws -> NeutralPart? {
        switch try detail.string("type") {
        case "reasoning.text":
            let seal = try detail.string("signature")
            return NeutralPart(
                .thinking(
                    NeutralThinking(
                        text: try detail.string("text") ?? "",
                        signature: seal.map { NeutralSignature(carried: $0, by: .openaiChat) }
                    )
                )
            )
        case "reasoning.encrypted":
            guard let data = try detail.string("data") else { return nil }
            return NeutralPart(.redactedThinking(NeutralSignature(carried: data, by: .openaiChat)))
        default: return nil
        }
    }

    static func writeDetail(text: String?, _ seal: NeutralSignature?, index: Int, to json: inout JSONWriter) {
        json.object {
            $0.member("type", "reasoning.text")
            if let text { $0.member("text", text) }
            if let seal { $0.member("signature", seal.carried(by: .openaiChat)) }
            $0.member("index", index)
        }
    }

    static func writeRedacted(_ seal: NeutralSignature, index: Int, to json: inout JSONWriter) {
        json.object {
            $0.member("type", "reasoning.encrypted")
            $0.member("data", seal.carried(by: .openaiChat))
            $0.member("index", index)
        }
    }
}
