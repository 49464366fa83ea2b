import Domain
package import Formats

/// Follows a Chat Completions stream: chunks, then one with the usage, then `[DONE]`.
package final class OpenAIChatMeter: StreamMeter {
    private var hasFinishReason = false
    private var cites = false

    package override init() {}

    /// Some upstreams leave out `[DONE]`.
    package override var isComplete: Bool { hasEnded || hasFinishReason }

    package override func receive(_ event: SSEEvent, _ parser: JSONParser) -> Event {
        guard event.hasData, event.isComplete else { return hasContent ? .trailer : .preamble }
        if event.data.equals("[DONE]") {
            hasEnded = true
            return .end
        }
        let kind: Event? = try? parser.parse(event.data) { document in read(document.root) }
        return kind ?? (hasContent ? .trailer : .preamble)
    }

    private func read(_ chunk: JSONValue) -> Event {
        if let error = chunk["error"], !error.isNull {
            hasFailed = true
            return .error
        }
        var isUsage = false
        if let reported = chunk["usage"], reported.isObject {
            isUsage = OpenAIUsage.update(&usage, fromChat: reported, of: chunk)
        }
        var isContent = false
        var bytes = 0
        let choices = chunk["choices"]
        choices?.forEachElement { choice in
            if let delta = choice["delta"], hasContent(delta, &bytes) { isContent = true }
            guard let reason = choice["finish_reason"], reason.isString else { return }
            hasFinishReason = true
            // An answer that was cut or blocked before its first word is an answer.
            if !reason.equals("stop") { isContent = true }
        }
        if isUsage {
            usage.webSearches = ChatSearches.count(model: chunk["model"], cites: cites)
            // Some upstreams count along: only what comes with the end, or after it, is the last word.
            if hasFinishReason || choices?.count ?? 0 == 0 { hasFinalUsage = true }
        }
        if isContent {
            countContent(bytes)
            return .content
        }
        if isUsage, choices?.count ?? 0 == 0 { return .usage }
        return hasContent ? .trailer : .preamble
    }

    /// - Parameter bytes: grows by those of the words in it.
    private func hasContent(_ delta: JSONValue, _ bytes: inout Int) -> Bool {
        var found = false
        for (name, value) in delta.members {
            switch value.kind {
            case .string:
                guard !(name == "role"), let text = value.stringBytes, !text.isEmpty else { continue }
                bytes += text.count
                found = true
            case .array:
                if value.count > 0 { found = true }
                if name == "annotations", ChatSearches.cites(value) { cites = true }
                value.forEachElement { call in bytes += call["function"]?["arguments"]?.stringBytes?.count ?? 0 }
            case .object: found = true
            case .null, .bool, .number: continue
            }
        }
        return found
    }
}
