import Domain
import Formats

/// Reads the messages of Chat Completions.
internal struct ChatConversationDecoder {
    private(set) var system: [NeutralPart] = []
    private(set) var messages: [NeutralMessage] = []
    /// Calls and results of the time before tools had no ids; they pair up in their order.
    private var legacyCalls = 0

    mutating func read(_ root: FieldReader) throws {
        guard let all = try root.objects("messages") else { throw root.fault("messages", "field required") }
        for message in all { try read(message: message) }
    }

    private mutating func read(message: FieldReader) throws {
        switch try message.requiredString("role") {
        case "system", "developer":
            let parts = try ChatParts.content(message, isRequired: true)
            for part in parts where part.text == nil { throw message.fault("content", "may hold only text") }
            if messages.isEmpty { system += parts } else { messages.append(NeutralMessage(.system, parts)) }
        case "user":
            messages.append(NeutralMessage(.user, try ChatParts.content(message, isRequired: true)))
        case "assistant":
            messages.append(NeutralMessage(.assistant, try assistant(message)))
        case "tool":
            let id = try message.requiredString("tool_call_id")
            appendResult(NeutralToolResult(id: id, parts: try ChatParts.content(message, isRequired: true)))
        case "function":
            let name = try message.requiredString("name")
            let parts = try ChatParts.content(message, isRequired: false)
            appendResult(NeutralToolResult(id: "call_legacy_\(legacyCalls)", name: name, parts: parts))
        default: throw message.fault("role", "must be system, developer, user, assistant or tool")
        }
    }

    /// Results of parallel calls stand together.
    private mutating func appendResult(_ result: NeutralToolResult) {
        let part = NeutralPart(.toolResult(result))
        if let last = messages.indices.last, messages[last].parts.last?.isToolResult == true {
            messages[last].parts.append(part)
        } else {
            messages.append(NeutralMessage(.user, [part]))
        }
    }

    private mutating func assistant(_ message: FieldReader) throws -> [NeutralPart] {
        if message.has("audio") {
            throw message.fault("audio", "is not available on the platform that serves this key")
        }
        var parts = try ChatReasoning.parts(message)
        parts += try ChatParts.content(message, isRequired: false)
        if let refusal = try message.string("refusal"), !refusal.isEmpty {
            parts.append(NeutralPart(.refusal(refusal)))
        }
        for call in try message.objects("tool_calls") ?? [] {
            guard try call.string("type") ?? "function" == "function" else {
                throw call.fault("type", "this tool is not available on the platform that serves this key")
            }
            let function = try call.requiredObject("function")
            var use = try Self.use(function, id: try call.requiredString("id"))
            // Where Google's OpenAI-compatible endpoint keeps its seal.
            if let seal = try call.object("extra_content")?.object("google")?.string("thought_signature") {
                use.signature = NeutralSignature(carried: seal, by: .gemini)
            }
            parts.append(NeutralPart(.toolUse(use)))
        }
        if let function = try message.object("function_call") {
            legacyCalls += 1
            parts.append(NeutralPart(.toolUse(try Self.use(function, id: "call_legacy_\(legacyCalls)"))))
        }
        return parts
    }

    private static func use(_ function: FieldReader, id: String) throws -> NeutralToolUse {
        let text = try function.string("arguments") ?? ""
        let arguments = ToolArguments.object(fromModel: text, function.source.parser)
        return NeutralToolUse(id: id, name: try function.requiredString("name"), arguments: arguments)
    }
}
