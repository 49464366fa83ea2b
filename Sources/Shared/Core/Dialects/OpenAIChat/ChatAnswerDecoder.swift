import Domain
import Formats

/// Reads whole answers of Chat Completions, and the pieces that streams have in common with them.
internal enum ChatAnswerDecoder {
    static func decode(_ document: JSONDocument, into sink: any NeutralSink) {
        let root = document.root
        var steps = AnswerSteps()
        if let error = root["error"], !error.isNull {
            return steps.fail(OpenAIErrorText.error(error, status: nil), sink)
        }
        var first = root["choices"]?.elements
        guard let choice = first?.next(), let message = choice["message"], message.isObject else {
            return steps.fail(NeutralError(.upstream, "The upstream's answer has no choices."), sink)
        }
        let nothing = LentText(UnsafeRawBufferPointer(start: nil, count: 0))
        steps.start(id: root["id"]?.lent ?? nothing, model: root["model"]?.lent ?? nothing, sink)
        let calledTool = read(message, &steps, sink)
        steps.stop(stop(choice["finish_reason"]?.string ?? "stop", calledTool: calledTool), sink)
        if let object = root["usage"], object.isObject {
            var usage = NeutralUsage()
            usage.isFinal = ChatUsage.update(&usage, from: object, of: root)
            usage.tokens.webSearches = ChatSearches.count(
                model: root["model"],
                cites: ChatSearches.cites(message["annotations"])
            )
            steps.usage(usage, sink)
        }
        steps.end(sink)
    }

    /// Whether a tool was called.
    private static func read(_ message: JSONValue, _ steps: inout AnswerSteps, _ sink: any NeutralSink) -> Bool {
        if let text = (message["reasoning_content"] ?? message["reasoning"])?.lent, !text.isEmpty {
            steps.thinking(text, sink)
        }
        if let text = message["content"]?.lent, !text.isEmpty { steps.text(text, sink) }
        for part in message["content"]?.elements.compactMap({ $0["text"]?.lent }) ?? [] { steps.text(part, sink) }
        for citation in message["annotations"]?.elements.compactMap(citation) ?? [] { steps.citation(citation, sink) }
        if let text = message["refusal"]?.lent, !text.isEmpty { steps.refusal(text, sink) }
        var calledTool = false
        for call in message["tool_calls"]?.elements.map({ $0 }) ?? [] {
            guard let function = call["function"] else { continue }
            calledTool = true
            begin(function, id: call["id"]?.string ?? "", seal(call), &steps, sink)
        }
        if let function = message["function_call"], function.isObject {
            calledTool = true
            begin(function, id: "call_0", nil, &steps, sink)
        }
        return calledTool
    }

    private static func begin(
        _ function: JSONValue,
        id: String,
        _ seal: NeutralSignature?,
        _ steps: inout AnswerSteps,
        _ sink: any NeutralSink
    ) {
        steps.begin(.toolUse(id: id, name: function["name"]?.string ?? "", signature: seal), sink)
        if let arguments = function["arguments"]?.lent, !arguments.isEmpty { steps.arguments(arguments, sink) }
        steps.close(sink)
    }

    // MARK: Pieces

    static func seal(_ call: JSONValue) -> NeutralSignature? {
        guard let seal = call["extra_content"]?["google"]?["thought_signature"]?.string else { return nil }
        return NeutralSignature(seal, from: .gemini)
    }

    static func citation(_ annotation: JSONValue) -> NeutralCitation? {
        guard let found = annotation["url_citation"], let url = found["url"]?.string else { return nil }
        return NeutralCitation(url: url, title: found["title"]?.string)
    }

    static func stop(_ reason: String, calledTool: Bool) -> NeutralStop {
        switch reason {
        case "length": .maxTokens
        case "content_filter": .refusal(reason)
        case "tool_calls", "function_call": .toolUse
        // A named tool choice ends with `stop` although a tool was called.
        default: calledTool ? .toolUse : .endTurn
        }
    }
}

/// The `usage` object of Chat Completions. What was read from the cache is part of the prompt there.
internal enum ChatUsage {
    /// - Returns: whether there was a count of what was read or generated.
    static func update(_ usage: inout NeutralUsage, from object: JSONValue, of answer: JSONValue) -> Bool {
        let isCounted = OpenAIUsage.update(&usage.tokens, fromChat: object, of: answer)
        if let reasoning = object["completion_tokens_details"]?["reasoning_tokens"]?.tokenCount {
            usage.reasoning = reasoning
        }
        return isCounted
    }

    static func write(_ usage: NeutralUsage, to json: inout JSONWriter) {
        json.object { json in
            json.member("prompt_tokens", usage.allInput)
            json.member("completion_tokens", usage.tokens.output)
            json.member("total_tokens", usage.allInput &+ usage.tokens.output)
            json.key("prompt_tokens_details")
            json.object {
                $0.member("cached_tokens", usage.tokens.cacheRead)
                if usage.tokens.cacheWrite > 0 { $0.member("cache_write_tokens", usage.tokens.cacheWrite) }
            }
            json.key("completion_tokens_details")
            json.object { $0.member("reasoning_tokens", usage.reasoning ?? 0) }
        }
    }
}
