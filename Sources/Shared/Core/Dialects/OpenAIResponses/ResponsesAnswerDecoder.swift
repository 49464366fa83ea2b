import Domain
import Formats

/// Reads whole answers of the Responses API, and the pieces that streams have in common with them.
internal enum ResponsesAnswerDecoder {
    static func decode(_ document: JSONDocument, into sink: any NeutralSink) {
        let root = document.root
        var steps = AnswerSteps()
        if root["status"]?.equals("failed") == true { return fail(root, &steps, sink) }
        guard let output = root["output"], output.isArray else {
            guard let error = root["error"], !error.isNull else {
                return steps.fail(NeutralError(.upstream, "The upstream's answer has no output."), sink)
            }
            return steps.fail(OpenAIErrorText.error(error, status: nil), sink)
        }
        start(root, &steps, sink)
        var calledTool = false
        var webSearches: Int64 = 0
        for item in output.elements {
            guard let type = item["type"] else { continue }
            if type.equals("message") {
                read(message: item, &steps, sink)
            } else if type.equals("function_call") {
                calledTool = true
                begin(call: item, &steps, sink)
                if let text = item["arguments"]?.lent, !text.isEmpty { steps.arguments(text, sink) }
            } else if type.equals("reasoning") {
                read(reasoning: item, withText: true, &steps, sink)
            } else if type.equals("image_generation_call") {
                read(image: item, &steps, sink)
            } else if OpenAIResponsesWire.isSearch(item) {
                webSearches += 1
            }
            steps.close(sink)
        }
        finish(root, calledTool: calledTool, webSearches: webSearches, &steps, sink)
    }

    // MARK: Items

    static func start(_ response: JSONValue, _ steps: inout AnswerSteps, _ sink: any NeutralSink) {
        let nothing = LentText(UnsafeRawBufferPointer(start: nil, count: 0))
        steps.start(id: response["id"]?.lent ?? nothing, model: response["model"]?.lent ?? nothing, sink)
    }

    static func begin(call item: JSONValue, _ steps: inout AnswerSteps, _ sink: any NeutralSink) {
        let id: String = item["call_id"]?.string ?? item["id"]?.string ?? ""
        steps.begin(.toolUse(id: id, name: item["name"]?.string ?? "", signature: nil), sink)
    }

    static func read(message item: JSONValue, _ steps: inout AnswerSteps, _ sink: any NeutralSink) {
        guard let content = item["content"] else { return }
        for part in content.elements {
            if let refusal = part["refusal"]?.lent, !refusal.isEmpty { steps.refusal(refusal, sink) }
            guard let text = part["text"]?.lent, !text.isEmpty else { continue }
            steps.text(text, sink)
            guard let annotations = part["annotations"] else { continue }
            for annotation in annotations.elements {
                if let citation = citation(annotation) { steps.citation(citation, sink) }
            }
        }
    }

    /// - Parameter withText: whether the text did not come in deltas before.
    static func read(
        reasoning item: JSONValue,
        withText: Bool,
        _ steps: inout AnswerSteps,
        _ sink: any NeutralSink
    ) {
        if withText {
            var texts = Self.texts(item["summary"])
            if texts.isEmpty { texts = Self.texts(item["content"]) }
            let text = texts.joined(separator: "\n\n")
            if !text.isEmpty { LentText.lending(text) { steps.thinking($0, sink) } }
        }
        guard let content = item["encrypted_content"]?.string, !content.isEmpty else { return }
        // Read back a stream that this gateway wrote: the seal may be another maker's.
        let carried = NeutralSignature(carried: content, by: .openaiResponses)
        guard carried.origin != .openaiResponses else {
            return steps.signature(ResponsesSeal.seal(id: item["id"]?.string ?? "", content), sink)
        }
        if NeutralSignature.isRedacted(carried: content) {
            steps.begin(.redactedThinking(carried), sink)
        } else {
            steps.signature(carried, sink)
        }
    }

    private static func texts(_ parts: JSONValue?) -> [String] {
        var texts: [String] = []
        parts?.forEachElement { part in
            if let text = part["text"]?.string { texts.append(text) }
        }
        return texts
    }

    static func read(image item: JSONValue, _ steps: inout AnswerSteps, _ sink: any NeutralSink) {
        guard let data = item["result"]?.string, !data.isEmpty else { return }
        steps.begin(.image(mediaType: "image/\(item["output_format"]?.string ?? "png")", data: data), sink)
    }

    static func citation(_ annotation: JSONValue) -> NeutralCitation? {
        guard annotation["type"]?.equals("url_citation") == true, let url = annotation["url"]?.string else {
            return nil
        }
        return NeutralCitation(url: url, title: annotation["title"]?.string)
    }

    // MARK: End

    static func finish(
        _ response: JSONValue,
        calledTool: Bool,
        webSearches: Int64,
        _ steps: inout AnswerSteps,
        _ sink: any NeutralSink
    ) {
        if let object = response["usage"], object.isObject {
            var usage = NeutralUsage()
            usage.isFinal = ResponsesUsage.update(&usage, from: object, of: response)
            usage.tokens.webSearches = webSearches
            steps.usage(usage, sink)
        }
        steps.stop(stop(response, calledTool: calledTool), sink)
        steps.end(sink)
    }

    private static func stop(_ response: JSONValue, calledTool: Bool) -> NeutralStop {
        guard response["status"]?.equals("incomplete") == true else { return calledTool ? .toolUse : .endTurn }
        let reason = response["incomplete_details"]?["reason"]?.string
        return reason == "content_filter" ? .refusal(reason) : .maxTokens
    }

    static func fail(_ response: JSONValue, _ steps: inout AnswerSteps, _ sink: any NeutralSink) {
        let error = response["error"].flatMap { $0.isNull ? nil : OpenAIErrorText.error($0, status: nil) }
        steps.fail(error ?? NeutralError(.upstream, "The upstream could not answer."), sink)
    }
}

/// The `usage` object of the Responses API. What was read from the cache is part of the input there.
internal enum ResponsesUsage {
    /// - Returns: whether there was a count of what was read or generated.
    static func update(_ usage: inout NeutralUsage, from object: JSONValue, of answer: JSONValue) -> Bool {
        let isCounted = OpenAIUsage.update(&usage.tokens, fromResponse: object, of: answer)
        if let reasoning = object["output_tokens_details"]?["reasoning_tokens"]?.tokenCount {
            usage.reasoning = reasoning
        }
        return isCounted
    }

    static func write(_ usage: NeutralUsage, to json: inout JSONWriter) {
        json.object { json in
            json.member("input_tokens", usage.allInput)
            json.key("input_tokens_details")
            json.object {
                $0.member("cached_tokens", usage.tokens.cacheRead)
                $0.member("cache_write_tokens", usage.tokens.cacheWrite)
            }
            json.member("output_tokens", usage.tokens.output)
            json.key("output_tokens_details")
            json.object { $0.member("reasoning_tokens", usage.reasoning ?? 0) }
            json.member("total_tokens", usage.allInput &+ usage.tokens.output)
        }
    }
}
