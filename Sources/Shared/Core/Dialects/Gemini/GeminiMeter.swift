import Domain
package import Formats

/// Follows a `streamGenerateContent` stream. Nothing marks its end: the upstream ends it after a reason to finish.
package final class GeminiMeter: StreamMeter {
    private var hasFinishReason = false
    private var searches = GeminiSearches()

    package override init() {}

    package override var isComplete: Bool { hasFinishReason }

    package override func receive(_ event: SSEEvent, _ parser: JSONParser) -> Event {
        guard event.hasData, event.isComplete else { return hasContent ? .trailer : .preamble }
        let kind: Event? = try? parser.parse(event.data) { document in read(document.root) }
        return kind ?? (hasContent ? .trailer : .preamble)
    }

    private func read(_ chunk: JSONValue) -> Event {
        if let error = chunk["error"], !error.isNull {
            hasFailed = true
            return .error
        }
        var bytes = 0
        var isContent = false
        chunk["candidates"]?.forEachElement { candidate in
            candidate["content"]?["parts"]?.forEachElement { part in
                if let text = part["text"]?.stringBytes {
                    bytes += text.count
                    if !text.isEmpty { isContent = true }
                } else if part.count > 0 {
                    isContent = true
                }
            }
            if let grounding = candidate["groundingMetadata"] {
                usage.webSearches = searches.read(grounding, model: chunk["modelVersion"])
            }
            guard let reason = candidate["finishReason"], reason.isString else { return }
            hasFinishReason = true
            // An answer that was cut or blocked before its first word is an answer.
            if !reason.equals("STOP") { isContent = true }
        }
        if let blocked = chunk["promptFeedback"]?["blockReason"], blocked.isString {
            hasFinishReason = true
            isContent = true
        }
        if let reported = chunk["usageMetadata"], reported.isObject {
            if GeminiUsage.update(&usage, from: reported), hasFinishReason { hasFinalUsage = true }
        }
        if isContent { countContent(bytes) }
        if hasFinishReason { return .closing }
        return isContent ? .content : hasContent ? .trailer : .preamble
    }
}
