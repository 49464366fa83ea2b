import Domain
import Formats

/// Writes a conversation as input items of the Responses API. Thoughts of other makers are left out.
internal enum ResponsesInputWriter {
    static func write(_ messages: [NeutralMessage], to json: inout JSONWriter) throws {
        for message in messages {
            // Words that stand together become one item; whatever stands between them is an item of its own.
            var words: [NeutralPart] = []
            for part in message.parts {
                if isItem(part) {
                    try flush(&words, message.role, to: &json)
                    try writeItem(part, to: &json)
                } else {
                    words.append(part)
                }
            }
            try flush(&words, message.role, to: &json)
        }
    }

    private static func isItem(_ part: NeutralPart) -> Bool {
        switch part.content {
        case .toolUse, .toolResult, .thinking, .redactedThinking: true
        case .text, .refusal, .image, .audio, .document: false
        }
    }

    private static func writeItem(_ part: NeutralPart, to json: inout JSONWriter) throws {
        switch part.content {
        case .toolUse(let use):
            json.object {
                $0.member("type", "function_call")
                $0.member("call_id", use.id)
                $0.member("name", use.name)
                $0.member("arguments", use.arguments.text)
            }
        case .toolResult(let result):
            try json.object { json in
                json.member("type", "function_call_output")
                json.member("call_id", result.id)
                guard result.parts.contains(where: { $0.text == nil }) else {
                    return json.member("output", result.textForOpenAI)
                }
                json.key("output")
                try json.array { for part in result.parts { try write(part.content, .user, to: &$0) } }
            }
        case .thinking(let thinking):
            guard let seal = thinking.signature, seal.origin == .openaiResponses else { return }
            write(seal, summary: thinking.text, to: &json)
        case .redactedThinking(let seal):
            if seal.origin == .openaiResponses { write(seal, summary: "", to: &json) }
        case .text, .refusal, .image, .audio, .document: break
        }
    }

    private static func write(_ seal: NeutralSignature, summary: String, to json: inout JSONWriter) {
        let (id, content) = ResponsesSeal.parts(seal)
        json.object { json in
            json.member("type", "reasoning")
            if !id.isEmpty { json.member("id", id) }
            json.key("summary")
            json.array { if !summary.isEmpty { writeSummary(summary, to: &$0) } }
            json.member("encrypted_content", content)
        }
    }

    static func writeSummary(_ text: String, to json: inout JSONWriter) {
        json.object {
            $0.member("type", "summary_text")
            $0.member("text", text)
        }
    }

    private static func flush(
        _ words: inout [NeutralPart],
        _ role: NeutralMessage.Role,
        to json: inout JSONWriter
    ) throws {
        let parts = words.filter { $0.text != "" }
        words = []
        guard !parts.isEmpty else { return }
        try json.object { json in
            json.member("type", "message")
            switch role {
            case .system: json.member("role", "developer")
            case .user: json.member("role", "user")
            case .assistant: json.member("role", "assistant")
            }
            json.key("content")
            try json.array { for part in parts { try write(part.content, role, to: &$0) } }
        }
    }

    private static func write(
        _ content: NeutralPart.Content,
        _ role: NeutralMessage.Role,
        to json: inout JSONWriter
    ) throws {
        switch content {
        case .text(let text): writeText(text, role, to: &json)
        case .refusal(let text):
            json.object {
                $0.member("type", "refusal")
                $0.member("refusal", text)
            }
        case .image(let media):
            let url = try OpenAIMedia.imageURL(media)
            json.object {
                $0.member("type", "input_image")
                $0.member("image_url", url)
                $0.member("detail", media.detail ?? "auto")
            }
        case .audio(let media): throw TranslationFault(media.field, "this model takes no audio")
        case .document(let media):
            if let text = try OpenAIMedia.documentText(media) { return writeText(text, role, to: &json) }
            if case .file = media.source {
                throw TranslationFault(media.field, "the file lies with another provider")
            }
            json.object {
                $0.member("type", "input_file")
                if case .url(let url) = media.source { return $0.member("file_url", url) }
                $0.member("filename", media.title ?? "document.pdf")
                if case .base64(let type, let data) = media.source {
                    $0.member("file_data", DataURL.text(mediaType: type, data: data))
                }
            }
        case .toolUse, .toolResult, .thinking, .redactedThinking: break
        }
    }

    private static func writeText(_ text: String, _ role: NeutralMessage.Role, to json: inout JSONWriter) {
        json.object {
            $0.member("type", role == .assistant ? "output_text" : "input_text")
            $0.member("text", text)
        }
    }
}
