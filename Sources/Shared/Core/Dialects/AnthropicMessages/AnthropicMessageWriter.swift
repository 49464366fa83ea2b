import Domain
import Formats

/// Writes a conversation as the Messages API takes it.
///
/// Neighbours of one role become one message, results of tools stand first in it, and texts without a character are
/// left out: the API refuses each of these otherwise. Thoughts of other makers are left out too, for it cannot read them.
internal struct AnthropicMessageWriter {
    private let parser: JSONParser

    init(_ parser: JSONParser) { self.parser = parser }

    func write(_ messages: [NeutralMessage], to json: inout JSONWriter) throws {
        let turns = turns(messages)
        try json.array { json in
            for turn in turns {
                try json.object { json in
                    json.member("role", turn.role == .assistant ? "assistant" : "user")
                    json.key("content")
                    try json.array { json in
                        for part in turn.parts { try write(part, to: &json) }
                    }
                }
            }
        }
    }

    private func turns(_ messages: [NeutralMessage]) -> [NeutralMessage] {
        var turns: [NeutralMessage] = []
        for message in messages {
            let parts = message.parts.filter(isWritten)
            guard !parts.isEmpty else { continue }
            if let last = turns.indices.last, turns[last].role == message.role {
                turns[last].parts += parts
            } else {
                turns.append(NeutralMessage(message.role, parts))
            }
        }
        for index in turns.indices where turns[index].role == .user {
            let results = turns[index].parts.filter(\.isToolResult)
            if !results.isEmpty { turns[index].parts = results + turns[index].parts.filter { !$0.isToolResult } }
        }
        trimPrefill(&turns)
        return turns
    }

    /// An answer that the model shall go on with must not end in white space.
    private func trimPrefill(_ turns: inout [NeutralMessage]) {
        guard let turn = turns.indices.last, turns[turn].role == .assistant,
            let part = turns[turn].parts.indices.last, let text = turns[turn].parts[part].text
        else { return }
        var end = text.endIndex
        while end > text.startIndex, text[text.index(before: end)].isWhitespace { end = text.index(before: end) }
        turns[turn].parts[part].content = .text(String(text[..<end]))
        if end == text.startIndex { turns[turn].parts.removeLast() }
        if turns[turn].parts.isEmpty { turns.removeLast() }
    }

    private func isWritten(_ part: NeutralPart) -> Bool {
        switch part.content {
        case .text(let text), .refusal(let text): !text.isEmpty
        case .thinking, .redactedThinking: Self.isOwnThought(part)
        case .image, .audio, .document, .toolUse, .toolResult: true
        }
    }

    /// Whether a part is a thought with Anthropic's seal.
    static func isOwnThought(_ part: NeutralPart) -> Bool {
        switch part.content {
        case .thinking(let thinking): thinking.signature?.origin == .anthropic
        case .redactedThinking(let seal): seal.origin == .anthropic
        default: false
        }
    }

    // MARK: Parts

    private func write(_ part: NeutralPart, to json: inout JSONWriter) throws {
        if case .text(let text) = part.content { return Self.writeText(text, cache: part.cache, to: &json) }
        try json.object { json in
            try writeMembers(part.content, to: &json)
            Self.writeCache(part.cache, to: &json)
        }
    }

    private func writeMembers(_ content: NeutralPart.Content, to json: inout JSONWriter) throws {
        switch content {
        case .text(let text), .refusal(let text):
            json.member("type", "text")
            json.member("text", text)
        case .image(let media):
            json.member("type", "image")
            try writeSource(media, isImage: true, to: &json)
        case .document(let media):
            json.member("type", "document")
            try writeSource(media, isImage: false, to: &json)
            if let title = media.title { json.member("title", title) }
            if let context = media.context { json.member("context", context) }
            if media.citations != nil {
                json.key("citations")
                json.object { $0.member("enabled", true) }
            }
        case .audio(let media):
            throw TranslationFault(media.field, "this model takes no audio")
        case .toolUse(let use): Self.write(use, to: &json)
        case .toolResult(let result):
            json.member("type", "tool_result")
            json.member("tool_use_id", ToolIDs.sanitized(result.id))
            json.key("content")
            try json.array { json in
                for part in result.parts where isWritten(part) { try write(part, to: &json) }
            }
            if result.isError { json.member("is_error", true) }
        case .thinking(let thinking):
            json.member("type", "thinking")
            json.member("thinking", thinking.text)
            json.member("signature", thinking.signature?.value ?? "")
        case .redactedThinking(let seal):
            json.member("type", "redacted_thinking")
            json.member("data", seal.value)
        }
    }

    private func writeSource(_ media: NeutralMedia, isImage: Bool, to json: inout JSONWriter) throws {
        switch media.source {
        case .base64(let type, _) where isImage && !Self.imageTypes.contains(type):
            throw TranslationFault(media.field, "this model takes images as JPEG, PNG, GIF or WebP")
        case .base64(let type, _) where !isImage && type != "application/pdf":
            throw TranslationFault(media.field, "this model takes documents as PDF or plain text")
        case .file: throw TranslationFault(media.field, "the file lies with another provider")
        default: break
        }
        json.key("source")
        json.object {
            switch media.source {
            case .base64(let type, let data):
                $0.member("type", "base64")
                $0.member("media_type", type)
                $0.member("data", data)
            case .url(let url):
                $0.member("type", "url")
                $0.member("url", url)
            case .text(let text):
                $0.member("type", "text")
                $0.member("media_type", "text/plain")
                $0.member("data", text)
            case .file(let id):
                $0.member("type", "file")
                $0.member("file_id", id)
            }
        }
    }

    private static let imageTypes: Set<String> = ["image/jpeg", "image/png", "image/gif", "image/webp"]

    static func writeText(_ text: String, cache: NeutralCacheMark?, to json: inout JSONWriter) {
        json.object {
            $0.member("type", "text")
            $0.member("text", text)
            writeCache(cache, to: &$0)
        }
    }

    /// The members of a block.
    static func write(_ use: NeutralToolUse, to json: inout JSONWriter) {
        json.member("type", "tool_use")
        json.member("id", ToolIDs.sanitized(use.id))
        json.member("name", use.name)
        json.key("input")
        json.raw(use.arguments.bytes)
    }

    static func writeCache(_ mark: NeutralCacheMark?, to json: inout JSONWriter) {
        guard let mark else { return }
        json.key("cache_control")
        json.object {
            $0.member("type", "ephemeral")
            if let ttl = mark.ttl { $0.member("ttl", ttl) }
        }
    }
}

extension NeutralPart {
    internal var isToolResult: Bool { if case .toolResult = content { true } else { false } }
}
