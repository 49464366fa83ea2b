import Domain
package import Formats

/// Follows a Responses stream.
package final class OpenAIResponsesMeter: StreamMeter {
    /// Of items that were done. Subscriptions' streams may end with a response that has none of them.
    private var searches: Int64 = 0

    package override init() {}

    package override func receive(_ event: SSEEvent, _ parser: JSONParser) -> Event {
        guard event.hasData, event.isComplete else { return hasContent ? .trailer : .preamble }
        // Without a name an event is a `message`, and some upstreams say so.
        if event.name.isEmpty || event.name.equals("message") {
            if event.data.equals("[DONE]") { return hasContent ? .trailer : .preamble }
            return receiveUnnamed(event, parser)
        }
        return receive(event.name, event.data, parser)
    }

    /// Some upstreams leave the names out: the data repeats them.
    private func receiveUnnamed(_ event: SSEEvent, _ parser: JSONParser) -> Event {
        let type: [UInt8]?? = try? parser.parse(event.data) { $0.root["type"]?.stringBytes.map { Array($0) } }
        guard let type = type ?? nil else { return hasContent ? .trailer : .preamble }
        return type.withUnsafeBytes { receive($0, event.data, parser) }
    }

    private func receive(_ name: UnsafeRawBufferPointer, _ data: UnsafeRawBufferPointer, _ parser: JSONParser)
        -> Event
    {
        if Self.ends(name, with: ".delta") {
            let bytes: Int? = try? parser.parse(data) { $0.root["delta"]?.stringBytes?.count ?? 0 }
            countContent(bytes ?? 0)
            return .content
        }
        if name.equals("error") {
            hasFailed = true
            return .error
        }
        guard Self.carriesResponse(name) else {
            if Self.announces(name) { return hasContent ? .trailer : .preamble }
            if name.equals("response.output_item.done") { readItem(data, parser) }
            // A finished item, a tool's progress: the caller has something to see.
            let isNew = !hasContent
            if isNew { countContent(0) }
            return isNew ? .content : .trailer
        }
        let isEnd = name.equals("response.completed") || name.equals("response.incomplete")
        let isFailure = name.equals("response.failed")
        let hasOutput = readResponse(data, parser, isLast: isEnd || isFailure)
        if isEnd {
            hasEnded = true
            // An answer that was cut before its first word is an answer.
            if name.equals("response.incomplete") { countContent(0) }
            // So is one that comes in a single piece.
            if hasOutput, !hasContent { countContent(0) }
            return .end
        }
        if isFailure {
            hasFailed = true
            return .error
        }
        return hasContent ? .trailer : .preamble
    }

    /// Returns whether the response has any items.
    private func readResponse(_ data: UnsafeRawBufferPointer, _ parser: JSONParser, isLast: Bool) -> Bool {
        let hasOutput: Bool? = try? parser.parse(data) { document in
            guard let response = document.root["response"] else { return false }
            if responseID == nil { responseID = response["id"]?.string }
            if OpenAIResponsesWire.readUsage(of: response, &usage) { hasFinalUsage = isLast }
            usage.webSearches = max(usage.webSearches, searches)
            return response["output"].map { $0.kind == .array && $0.count > 0 } ?? false
        }
        return hasOutput ?? false
    }

    private func readItem(_ data: UnsafeRawBufferPointer, _ parser: JSONParser) {
        let isSearch: Bool? = try? parser.parse(data) { $0.root["item"].map(OpenAIResponsesWire.isSearch) ?? false }
        if isSearch == true { searches += 1 }
    }

    /// Events that say what is to come and have nothing in them yet.
    /// Nothing to see yet: what will come, a sign of life, or what the service says of itself (`keepalive`,
    /// `codex.rate_limits`).
    private static func announces(_ name: UnsafeRawBufferPointer) -> Bool {
        ends(name, with: "_item.added") || ends(name, with: "_part.added") || !name.starts(with: "response.".utf8)
            || name.elementsEqual("response.metadata".utf8)
    }

    static func carriesResponse(_ name: UnsafeRawBufferPointer) -> Bool {
        switch name.count {
        case 15: name.equals("response.queued") || name.elementsEqual("response.failed".utf8)
        case 16: name.equals("response.created")
        case 18: name.equals("response.completed")
        case 19: name.equals("response.incomplete")
        case 20: name.equals("response.in_progress")
        default: false
        }
    }

    private static func ends(_ name: UnsafeRawBufferPointer, with text: StaticString) -> Bool {
        let length = text.utf8CodeUnitCount
        guard name.count >= length else { return false }
        let tail = UnsafeRawBufferPointer(rebasing: name[(name.count - length)...])
        return tail.elementsEqual(UnsafeRawBufferPointer(start: text.utf8Start, count: length))
    }
}
