import Domain
import Formats

/// Reads content blocks of the Messages API.
internal enum AnthropicParts {
    /// A string, or an array of blocks.
    static func content(_ holder: FieldReader, _ key: StaticString, isRequired: Bool) throws -> [NeutralPart] {
        guard let value = holder[key] else {
            if isRequired { throw holder.fault(key, "field required") }
            return []
        }
        if let text = value.string { return text.isEmpty ? [] : [.text(text)] }
        return try (holder.objects(key) ?? []).compactMap { try part($0) }
    }

    static func cache(_ holder: FieldReader) throws -> NeutralCacheMark? {
        guard let mark = try holder.object("cache_control") else { return nil }
        return NeutralCacheMark(ttl: try mark.string("ttl"))
    }

    static func isAllowed(_ content: NeutralPart.Content, from role: NeutralMessage.Role) -> Bool {
        switch content {
        case .text: true
        case .image, .audio, .document, .toolResult: role == .user
        case .toolUse, .thinking, .redactedThinking, .refusal: role == .assistant
        }
    }

    /// Nil for blocks that tell of work a server tool did: what came of it stands in the texts.
    private static func part(_ block: FieldReader) throws -> NeutralPart? {
        let type = try block.requiredString("type")
        if let content = try content(block, type: type) { return NeutralPart(content, cache: try cache(block)) }
        if type == "server_tool_use" || type.hasSuffix("_tool_result") { return nil }
        throw block.fault("type", "this content is not available on the platform that serves this key")
    }

    private static func content(_ block: FieldReader, type: String) throws -> NeutralPart.Content? {
        switch type {
        case "text": return .text(try block.requiredString("text"))
        case "image": return .image(NeutralMedia(try imageSource(block), field: block.name("source")))
        case "document": return .document(try document(block))
        case "tool_use":
            return .toolUse(
                NeutralToolUse(
                    id: try block.requiredString("id"),
                    name: try block.requiredString("name"),
                    arguments: try block.rawObject("input") ?? .emptyObject
                )
            )
        case "tool_result":
            return .toolResult(
                NeutralToolResult(
                    id: try block.requiredString("tool_use_id"),
                    parts: try content(block, "content", isRequired: false),
                    isError: try block.bool("is_error") ?? false
                )
            )
        case "search_result":
            let title = try block.string("title") ?? ""
            let origin = try block.string("source") ?? ""
            let texts = try content(block, "content", isRequired: false).compactMap(\.text)
            return .text(([title, origin].filter { !$0.isEmpty } + texts).joined(separator: "\n"))
        case "thinking":
            let seal = try block.string("signature").flatMap { $0.isEmpty ? nil : $0 }
            return .thinking(
                NeutralThinking(
                    text: try block.requiredString("thinking"),
                    signature: seal.map { NeutralSignature(carried: $0, by: .anthropic) }
                )
            )
        case "redacted_thinking":
            return .redactedThinking(NeutralSignature(carried: try block.requiredString("data"), by: .anthropic))
        default: return nil
        }
    }

    private static func imageSource(_ block: FieldReader) throws -> NeutralMedia.Source {
        let source = try block.requiredObject("source")
        switch try source.requiredString("type") {
        case "base64": return try base64(source)
        case "url": return .url(try source.requiredString("url"))
        case "file": return .file(id: try source.requiredString("file_id"))
        default: throw source.fault("type", "must be base64, url or file")
        }
    }

    private static func base64(_ source: FieldReader) throws -> NeutralMedia.Source {
        let data = try source.requiredString("data")
        guard Base64.isValid(data) else { throw source.fault("data", "is not valid base64") }
        return .base64(mediaType: try source.requiredString("media_type"), data: data)
    }

    private static func document(_ block: FieldReader) throws -> NeutralMedia {
        let source = try block.requiredObject("source")
        let content: NeutralMedia.Source
        switch try source.requiredString("type") {
        case "base64": content = try base64(source)
        case "text": content = .text(try source.requiredString("data"))
        case "url": content = .url(try source.requiredString("url"))
        case "file": content = .file(id: try source.requiredString("file_id"))
        case "content":
            let parts = try Self.content(source, "content", isRequired: true)
            let texts = parts.compactMap(\.text)
            guard texts.count == parts.count else {
                throw source.fault("content", "may hold only text on the platform that serves this key")
            }
            content = .text(texts.joined(separator: "\n"))
        default: throw source.fault("type", "must be base64, text, url, file or content")
        }
        var media = NeutralMedia(content, title: try block.string("title"), field: block.name("source"))
        media.context = try block.string("context")
        if try block.object("citations")?.bool("enabled") == true { media.citations = block.name("citations") }
        return media
    }
}
