import Domain
import Formats

/// Reads answers of the Gemini API: whole ones and the chunks of a stream have one shape.
///
/// Nothing marks a stream's end: the answer is complete when the upstream ends it after a reason to finish.
internal final class GeminiAnswerDecoder: StreamDecoder {
    private var steps = AnswerSteps()
    private var usage = NeutralUsage()
    private var stop: NeutralStop?
    private var responseID = ""
    private var calls = 0
    private var sources: Set<String> = []
    private var searches = GeminiSearches()

    /// More sources than this are no citations.
    private static let maximumSources = 256

    func receive(_ event: SSEEvent, _ parser: JSONParser, into sink: any NeutralSink) {
        guard event.hasData, event.isComplete, !steps.isOver, !event.data.isEmpty else { return }
        do {
            try parser.parse(event.data) { receive($0.root, of: $0, into: sink) }
        } catch {
            steps.fail(NeutralError(.upstream, "The upstream sent an event that is not valid JSON."), sink)
        }
    }

    func finish(into sink: any NeutralSink) {
        guard !steps.isOver, let stop else { return }
        var reached = stop
        if calls > 0, stop == .endTurn { reached = .toolUse }
        steps.stop(reached, sink)
        steps.end(sink)
    }

    func receive(_ chunk: JSONValue, of document: JSONDocument, into sink: any NeutralSink) {
        guard !steps.isOver else { return }
        if let error = GeminiErrorText.error(chunk, status: nil) { return steps.fail(error, sink) }
        if !steps.isStarted {
            let nothing = LentText(UnsafeRawBufferPointer(start: nil, count: 0))
            responseID = chunk["responseId"]?.string ?? ""
            steps.start(
                id: chunk["responseId"]?.lent ?? nothing,
                model: chunk["modelVersion"]?.lent ?? nothing,
                sink
            )
        }
        for candidate in chunk["candidates"]?.elements ?? chunk.elements where candidate["index"]?.int64 ?? 0 == 0 {
            receive(candidate: candidate, document, sink)
            if let grounding = candidate["groundingMetadata"] {
                usage.tokens.webSearches = searches.read(grounding, model: chunk["modelVersion"])
                receive(grounding: grounding, sink)
            }
        }
        if stop == nil, let reason = chunk["promptFeedback"]?["blockReason"]?.string { stop = .refusal(reason) }
        if let reported = chunk["usageMetadata"], reported.isObject {
            GeminiUsage.update(&usage.tokens, from: reported)
            if let thoughts = reported["thoughtsTokenCount"]?.tokenCount { usage.reasoning = thoughts }
            usage.isFinal = stop != nil
            steps.usage(usage, sink)
        } else if stop != nil, !usage.isFinal, !usage.tokens.isZero {
            usage.isFinal = true
            steps.usage(usage, sink)
        }
    }

    private func receive(candidate: JSONValue, _ document: JSONDocument, _ sink: any NeutralSink) {
        if let parts = candidate["content"]?["parts"] {
            for part in parts.elements { receive(part: part, document, sink) }
        }
        // The first reason stands.
        if stop == nil, let reason = candidate["finishReason"]?.string { stop = Self.stop(reason) }
    }

    private func receive(part: JSONValue, _ document: JSONDocument, _ sink: any NeutralSink) {
        let seal = part["thoughtSignature"]?.string.flatMap {
            $0.isEmpty ? nil : NeutralSignature($0, from: .gemini)
        }
        if let text = part["text"]?.lent {
            if part["thought"]?.bool == true {
                if !text.isEmpty { steps.thinking(text, sink) }
                if let seal { steps.signature(seal, sink) }
            } else if !text.isEmpty {
                // Its seal may stay away: the API does not ask for it back.
                steps.text(text, sink)
            }
        } else if let call = part["functionCall"], call.isObject {
            receive(call: call, seal, document, sink)
        } else if let blob = part["inlineData"], let type = blob["mimeType"]?.string, type.hasPrefix("image/"),
            let data = blob["data"]?.string, Base64.isValid(data)
        {
            steps.begin(.image(mediaType: type, data: data), sink)
            steps.close(sink)
        } else if let code = part["executableCode"]?["code"]?.string {
            let language = part["executableCode"]?["language"]?.string?.lowercased() ?? ""
            LentText.lending("\n```\(language)\n\(code)\n```\n") { steps.text($0, sink) }
        } else if let output = part["codeExecutionResult"]?["output"]?.string {
            LentText.lending("\n```\n\(output)\n```\n") { steps.text($0, sink) }
        }
    }

    private func receive(
        call: JSONValue,
        _ seal: NeutralSignature?,
        _ document: JSONDocument,
        _ sink: any NeutralSink
    ) {
        guard let name = call["name"]?.string, !name.isEmpty else { return }
        let given = call["id"]?.string ?? ""
        let made = responseID.isEmpty ? "call_\(calls)" : "call_\(ToolIDs.sanitized(responseID))_\(calls)"
        calls += 1
        steps.begin(.toolUse(id: given.isEmpty ? made : given, name: name, signature: seal), sink)
        if let arguments = call["args"], arguments.isObject, arguments.count > 0 {
            let range = document.location(of: arguments).value
            steps.arguments(LentText(UnsafeRawBufferPointer(rebasing: document.source[range])), sink)
        }
        steps.close(sink)
    }

    /// Where a text's facts come from; it stands in the last chunk, while the text is still open.
    private func receive(grounding: JSONValue, _ sink: any NeutralSink) {
        guard let chunks = grounding["groundingChunks"] else { return }
        for chunk in chunks.elements {
            guard sources.count < Self.maximumSources, let web = chunk["web"], let url = web["uri"]?.string,
                sources.insert(url).inserted
            else { continue }
            steps.citation(NeutralCitation(url: url, title: web["title"]?.string), sink)
        }
    }

    private static func stop(_ reason: String) -> NeutralStop {
        switch reason {
        case "STOP", "FINISH_REASON_UNSPECIFIED", "OTHER", "NO_IMAGE", "IMAGE_OTHER": .endTurn
        // A long answer of which there is more to be asked for.
        case "MAX_TOKENS", "CONTINUATION": .maxTokens
        case "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
            "MALFORMED_RESPONSE":
            .malformedToolCall
        // SAFETY, RECITATION, LANGUAGE, BLOCKLIST, PROHIBITED_CONTENT, SPII and their like.
        default: .refusal(reason)
        }
    }
}
