import Domain
import Formats

/// Writes a conversation as Chat Completions takes it.
///
/// A result of a tool is a message of its own there and holds text only; images and files in it follow in the user's
/// message after all results of the turn. A failed call says so in its text, since there is no mark for it.
internal enum ChatMessageWriter {
    static func write(_ request: NeutralRequest, to json: inout JSONWriter) throws {
        try json.array { json in
            if request.system.contains(where: { $0.text?.isEmpty == false }) {
                try writeMessage("system", request.system, to: &json)
            }
            for message in request.messages {
                switch message.role {
                case .system: try writeMessage("system", message.parts, to: &json)
                case .user: try writeUser(message.parts, to: &json)
                case .assistant: writeAssistant(message.parts, to: &json)
                }
            }
        }
    }

    // MARK: User

    private static func writeUser(_ parts: [NeutralPart], to json: inout JSONWriter) throws {
        var rest: [NeutralPart] = []
        for part in parts {
            guard case .toolResult(let result) = part.content else { continue }
            json.object {
                $0.member("role", "tool")
                $0.member("tool_call_id", result.id)
                $0.member("content", result.textForOpenAI)
            }
            rest += result.parts.filter { $0.text == nil }
        }
        rest += parts.filter { !$0.isToolResult }
        if !rest.isEmpty { try writeMessage("user", rest, to: &json) }
    }

    private static func writeMessage(_ role: String, _ parts: [NeutralPart], to json: inout JSONWriter) throws {
        try json.object { json in
            json.member("role", role)
            if parts.count == 1, let text = parts[0].text {
                json.member("content", text)
            } else {
                json.key("content")
                try json.array { json in
                    for part in parts { try write(part.content, to: &json) }
                }
            }
        }
    }

    private static func write(_ content: NeutralPart.Content, to json: inout JSONWriter) throws {
        switch content {
        case .text(let text), .refusal(let text): writeText(text, to: &json)
        case .image(let media):
            let url = try OpenAIMedia.imageURL(media)
            json.object { json in
                json.member("type", "image_url")
                json.key("image_url")
                json.object {
                    $0.member("url", url)
                    if let detail = media.detail { $0.member("detail", detail) }
                }
            }
        case .audio(let media):
            let (format, data) = try OpenAIMedia.audio(media)
            json.object { json in
                json.member("type", "input_audio")
                json.key("input_audio")
                json.object {
                    $0.member("data", data)
                    $0.member("format", format)
                }
            }
        case .document(let media):
            if let text = try OpenAIMedia.documentText(media) { return writeText(text, to: &json) }
            guard case .base64(let type, let data) = media.source else {
                throw TranslationFault(media.field, "this model takes documents as base64 or plain text")
            }
            json.object { json in
                json.member("type", "file")
                json.key("file")
                json.object {
                    $0.member("filename", media.title ?? "document.pdf")
                    $0.member("file_data", DataURL.text(mediaType: type, data: data))
                }
            }
        case .toolUse, .toolResult, .thinking, .redactedThinking: break
        }
    }

    private static func writeText(_ text: String, to json: inout JSONWriter) {
        json.object {
            $0.member("type", "text")
            $0.member("text", text)
        }
    }

    // MARK: Assistant

    private static func writeAssistant(_ parts: [NeutralPart], to json: inout JSONWriter) {
        let texts = parts.compactMap(\.text)
        let refusals = parts.compactMap { if case .refusal(let text) = $0.content { text } else { nil } }
        let calls = parts.compactMap { if case .toolUse(let use) = $0.content { use } else { nil } }
        guard !texts.isEmpty || !refusals.isEmpty || !calls.isEmpty else { return }
        json.object { json in
            json.member("role", "assistant")
            if texts.isEmpty { json.null("content") } else { json.member("content", texts.joined()) }
            if !refusals.isEmpty { json.member("refusal", refusals.joined()) }
            guard !calls.isEmpty else { return }
            json.key("tool_calls")
            json.array { for call in calls { writeCall(call, to: &$0) } }
        }
    }

    static func writeCall(_ call: NeutralToolUse, index: Int? = nil, to json: inout JSONWriter) {
        json.object { json in
            if let index { json.member("index", index) }
            json.member("id", call.id)
            json.member("type", "function")
            json.key("function")
            json.object {
                $0.member("name", call.name)
                $0.member("arguments", call.arguments.text)
            }
            if let seal = call.signature { writeSeal(seal, to: &json) }
        }
    }

    /// Google's place for it (docs: Thought signatures, OpenAI compatibility).
    static func writeSeal(_ seal: NeutralSignature, to json: inout JSONWriter) {
        json.key("extra_content")
        json.object { json in
            json.key("google")
            json.object { $0.member("thought_signature", seal.carried(by: .gemini)) }
        }
    }
}

/// Media as both OpenAI APIs take them.
internal enum OpenAIMedia {
    /// - Throws: `TranslationFault` for a file of another provider.
    static func imageURL(_ media: NeutralMedia) throws -> String {
        switch media.source {
        case .base64(let type, let data): return DataURL.text(mediaType: type, data: data)
        case .url(let url): return url
        case .file: throw TranslationFault(media.field, "the file lies with another provider")
        case .text: throw TranslationFault(media.field, "is not an image")
        }
    }

    static func audio(_ media: NeutralMedia) throws -> (format: String, data: String) {
        guard case .base64(let type, let data) = media.source else {
            throw TranslationFault(media.field, "this model takes audio as base64")
        }
        switch type {
        case "audio/wav", "audio/x-wav", "audio/wave": return ("wav", data)
        case "audio/mp3", "audio/mpeg": return ("mp3", data)
        default: throw TranslationFault(media.field, "this model takes audio as WAV or MP3")
        }
    }

    /// What a plain-text document reads as in a conversation; nil for others.
    static func documentText(_ media: NeutralMedia) throws -> String? {
        try media.refuseCitations()
        guard case .text(let text) = media.source else { return nil }
        return [media.title, media.context, text].compactMap(\.self).joined(separator: "\n\n")
    }
}

extension NeutralToolResult {
    /// The result's text, with a failure told in words.
    internal var textForOpenAI: String {
        let text = parts.compactMap(\.text).joined(separator: "\n")
        guard isError, !text.lowercased().hasPrefix("error") else { return text }
        return text.isEmpty ? "Error" : "Error: \(text)"
    }
}
