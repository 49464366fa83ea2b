import Domain
import Formats

/// Reads the input items of the Responses API. What the model said in one turn is several items there: thoughts,
/// words and calls become one message.
internal struct ResponsesInputDecoder {
    var system: [NeutralPart] = []
    private(set) var messages: [NeutralMessage] = []

    mutating func read(_ root: FieldReader) throws {
        guard let input = root["input"] else { throw root.fault("input", "field required") }
        if let text = input.string {
            messages.append(NeutralMessage(.user, [.text(text)]))
            return
        }
        for item in try root.objects("input") ?? [] { try read(item: item) }
    }

    private mutating func read(item: FieldReader) throws {
        let type = try item.string("type") ?? "message"
        switch type {
        case "message": try read(message: item)
        case "function_call":
            let text = try item.string("arguments") ?? ""
            let use = NeutralToolUse(
                id: try item.requiredString("call_id"),
                name: try item.requiredString("name"),
                arguments: ToolArguments.object(fromModel: text, item.source.parser)
            )
            append(NeutralPart(.toolUse(use)), .assistant)
        case "function_call_output":
            let result = NeutralToolResult(
                id: try item.requiredString("call_id"),
                parts: try ResponsesParts.content(item, "output")
            )
            appendResult(NeutralPart(.toolResult(result)))
        case "reasoning":
            if let part = try thought(item) { append(part, .assistant) }
        case "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call":
            // What came of it stands in the texts.
            break
        default: throw item.fault("type", "this item is not available on the platform that serves this key")
        }
    }

    private mutating func read(message: FieldReader) throws {
        let parts = try ResponsesParts.content(message, "content")
        switch try message.requiredString("role") {
        case "system", "developer":
            for part in parts where part.text == nil { throw message.fault("content", "may hold only text") }
            if messages.isEmpty { system += parts } else { messages.append(NeutralMessage(.system, parts)) }
        case "user": messages.append(NeutralMessage(.user, parts))
        case "assistant": for part in parts { append(part, .assistant) }
        default: throw message.fault("role", "must be user, assistant, system or developer")
        }
    }

    private mutating func append(_ part: NeutralPart, _ role: NeutralMessage.Role) {
        if let last = messages.indices.last, messages[last].role == role {
            messages[last].parts.append(part)
        } else {
            messages.append(NeutralMessage(role, [part]))
        }
    }

    private mutating func appendResult(_ part: NeutralPart) {
        if let last = messages.indices.last, messages[last].parts.last?.isToolResult == true {
            messages[last].parts.append(part)
        } else {
            messages.append(NeutralMessage(.user, [part]))
        }
    }

    private func thought(_ item: FieldReader) throws -> NeutralPart? {
        var texts = try (item.objects("summary") ?? []).compactMap { try $0.string("text") }
        if texts.isEmpty { texts = try (item.objects("content") ?? []).compactMap { try $0.string("text") } }
        let text = texts.joined(separator: "\n\n")
        guard let sealed = try item.string("encrypted_content"), !sealed.isEmpty else {
            return text.isEmpty ? nil : NeutralPart(.thinking(NeutralThinking(text: text)))
        }
        var seal = NeutralSignature(carried: sealed, by: .openaiResponses)
        if seal.origin == .openaiResponses { seal = ResponsesSeal.seal(id: try item.string("id") ?? "", sealed) }
        if NeutralSignature.isRedacted(carried: sealed) { return NeutralPart(.redactedThinking(seal)) }
        return NeutralPart(.thinking(NeutralThinking(text: text, signature: seal)))
    }
}

/// OpenAI's sealed thoughts: the item's id and its `encrypted_content`, which go back together.
internal enum ResponsesSeal {
    static func seal(id: String, _ content: String) -> NeutralSignature {
        NeutralSignature("\(id):\(content)", from: .openaiResponses)
    }

    static func parts(_ seal: NeutralSignature) -> (id: String, content: String) {
        guard let colon = seal.value.firstIndex(of: ":") else { return ("", seal.value) }
        return (String(seal.value[..<colon]), String(seal.value[seal.value.index(after: colon)...]))
    }
}

/// Reads content parts of the Responses API.
internal enum ResponsesParts {
    /// A string, or an array of parts.
    static func content(_ holder: FieldReader, _ key: StaticString) throws -> [NeutralPart] {
        guard let value = holder[key] else { throw holder.fault(key, "field required") }
        if let text = value.string { return text.isEmpty ? [] : [.text(text)] }
        return try (holder.objects(key) ?? []).map { NeutralPart(try content($0)) }
    }

    private static func content(_ part: FieldReader) throws -> NeutralPart.Content {
        switch try part.requiredString("type") {
        case "input_text", "output_text", "text": return .text(try part.requiredString("text"))
        case "refusal": return .refusal(try part.requiredString("refusal"))
        case "input_image":
            let detail = try part.string("detail")
            if let id = try part.string("file_id") {
                return .image(NeutralMedia(.file(id: id), detail: detail, field: part.name("file_id")))
            }
            let source = try DataURL.source(try part.requiredString("image_url"), field: part.name("image_url"))
            return .image(NeutralMedia(source, detail: detail, field: part.name("image_url")))
        case "input_file":
            let name = try part.string("filename")
            if let id = try part.string("file_id") {
                return .document(NeutralMedia(.file(id: id), title: name, field: part.name("file_id")))
            }
            if let url = try part.string("file_url") {
                let source = try DataURL.source(url, field: part.name("file_url"))
                return .document(NeutralMedia(source, title: name, field: part.name("file_url")))
            }
            return try DataURL.document(try part.requiredString("file_data"), name: name, field: part.name("file_data"))
        case "input_audio": return try OpenAIRequestParts.audio(part)
        default: throw part.fault("type", "this content is not available on the platform that serves this key")
        }
    }
}
