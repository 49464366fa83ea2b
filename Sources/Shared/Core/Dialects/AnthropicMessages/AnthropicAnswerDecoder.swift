import Domain
import Formats

/// Reads whole answers of the Messages API, and the pieces that streams have in common with them.
internal enum AnthropicAnswerDecoder {
    static func decode(_ document: JSONDocument, into sink: any NeutralSink) {
        let root = document.root
        var steps = AnswerSteps()
        if root["type"]?.equals("error") == true {
            return steps.fail(AnthropicMessagesCodec.error(root["error"], status: nil), sink)
        }
        guard let content = root["content"], content.isArray else {
            return steps.fail(NeutralError(.upstream, "The upstream's answer has no content."), sink)
        }
        start(root, &steps, sink)
        var cursor = JSONSourceCursor(document)
        for block in content.elements where begin(block, &steps, sink, &cursor) {
            for citation in block["citations"]?.elements.compactMap(citation) ?? [] { steps.citation(citation, sink) }
            steps.close(sink)
        }
        if let stop = stop(root) { steps.stop(stop, sink) }
        if let object = root["usage"], object.isObject {
            var usage = NeutralUsage()
            usage.isFinal = update(&usage, from: object)
            steps.usage(usage, sink)
        }
        steps.end(sink)
    }

    // MARK: Pieces

    static func start(_ message: JSONValue, _ steps: inout AnswerSteps, _ sink: any NeutralSink) {
        let nothing = LentText(UnsafeRawBufferPointer(start: nil, count: 0))
        steps.start(id: message["id"]?.lent ?? nothing, model: message["model"]?.lent ?? nothing, sink)
    }

    /// Opens a block of a stream with what its start already holds.
    static func begin(_ block: JSONValue, _ steps: inout AnswerSteps, _ sink: any NeutralSink) -> Bool {
        var nowhere: JSONSourceCursor?
        return begin(block, &steps, sink, cursor: &nowhere)
    }

    /// Opens a whole block.
    private static func begin(
        _ block: JSONValue,
        _ steps: inout AnswerSteps,
        _ sink: any NeutralSink,
        _ cursor: inout JSONSourceCursor
    ) -> Bool {
        var some: JSONSourceCursor? = cursor
        defer { if let moved = some { cursor = moved } }
        return begin(block, &steps, sink, cursor: &some)
    }

    private static func begin(
        _ block: JSONValue,
        _ steps: inout AnswerSteps,
        _ sink: any NeutralSink,
        cursor: inout JSONSourceCursor?
    ) -> Bool {
        guard let type = block["type"] else { return false }
        if type.equals("text") {
            steps.begin(.text, sink)
            if let text = block["text"]?.lent, !text.isEmpty { steps.text(text, sink) }
        } else if type.equals("tool_use") {
            let id = block["id"]?.string ?? ""
            steps.begin(.toolUse(id: id, name: block["name"]?.string ?? "", signature: nil), sink)
            // A stream starts with an empty object and sends the arguments after it.
            if let input = block["input"], input.isObject, cursor != nil || input.count > 0 {
                let bytes = cursor?.bytes(of: input) ?? JSON(input).encoded
                bytes.withUnsafeBytes { steps.arguments(LentText($0), sink) }
            }
        } else if type.equals("thinking") {
            steps.begin(.thinking, sink)
            if let text = block["thinking"]?.lent, !text.isEmpty { steps.thinking(text, sink) }
            if let seal = block["signature"]?.string, !seal.isEmpty {
                steps.signature(NeutralSignature(seal, from: .anthropic), sink)
            }
        } else if type.equals("redacted_thinking") {
            steps.begin(.redactedThinking(NeutralSignature(block["data"]?.string ?? "", from: .anthropic)), sink)
        } else {
            steps.close(sink)
            return false
        }
        return true
    }

    /// Only what was found on the web has an address that means something elsewhere.
    static func citation(_ value: JSONValue) -> NeutralCitation? {
        guard let url = value["url"]?.string else { return nil }
        return NeutralCitation(url: url, title: value["title"]?.string, text: value["cited_text"]?.string)
    }

    static func stop(_ holder: JSONValue) -> NeutralStop? {
        guard let reason = holder["stop_reason"]?.string else { return nil }
        switch reason {
        case "max_tokens": return .maxTokens
        case "stop_sequence": return .stopSequence(holder["stop_sequence"]?.string)
        case "tool_use": return .toolUse
        case "refusal": return .refusal(holder["stop_details"]?["category"]?.string)
        case "pause_turn": return .pause
        case "model_context_window_exceeded": return .contextFull
        default: return .endTurn
        }
    }

    /// - Returns: whether there was a count of what was read or generated.
    static func update(_ usage: inout NeutralUsage, from object: JSONValue) -> Bool {
        // Translated calls ask for none of what other models do.
        var others: [ModelUsage] = []
        let isCounted = AnthropicUsage.update(&usage.tokens, &others, from: object)
        if let thinking = object["output_tokens_details"]?["thinking_tokens"]?.tokenCount { usage.reasoning = thinking }
        return isCounted
    }
}
