import Domain
package import Formats

/// Follows a stream of the Messages API.
package final class AnthropicStreamMeter: StreamMeter {
    /// What stands round the text in a delta event's JSON, about.
    private static let deltaOverhead = 79

    package override init() {}

    /// The name decides; without one the `type` in the data does.
    package override func receive(_ event: SSEEvent, _ parser: JSONParser) -> Event {
        guard event.hasData, event.isComplete else { return hasContent ? .trailer : .preamble }
        if event.name.equals("content_block_delta") {
            countContent(event.data.count - Self.deltaOverhead)
            return .content
        }
        let kind = Kind(event.name.equals) ?? typeInData(event.data, parser)
        return receive(kind, event.data, parser)
    }

    private enum Kind {
        case start, blockStart, blockDelta, blockStop, delta, stop, error, ping

        private static let names: [(name: StaticString, kind: Kind)] = [
            ("message_start", .start), ("content_block_start", .blockStart), ("content_block_delta", .blockDelta),
            ("content_block_stop", .blockStop), ("message_delta", .delta), ("message_stop", .stop), ("error", .error),
            ("ping", .ping),
        ]

        /// - Parameter isNamed: whether the event has this name.
        init?(_ isNamed: (StaticString) -> Bool) {
            guard let found = Self.names.first(where: { isNamed($0.name) }) else { return nil }
            self = found.kind
        }
    }

    private func receive(_ kind: Kind?, _ data: UnsafeRawBufferPointer, _ parser: JSONParser) -> Event {
        switch kind {
        case .start:
            _ = readUsage(data, parser, at: "message")
            return .preamble
        case .blockStart:
            countContent(generated(inBlock: data, parser))
            return .content
        case .blockDelta:
            countContent(data.count - Self.deltaOverhead)
            return .content
        case .delta:
            if readUsage(data, parser, at: nil) { hasFinalUsage = true }
            if !hasContent, isCutOrRefused(data, parser) {
                countContent(0)
                return .content
            }
            return hasContent ? .trailer : .preamble
        case .stop:
            hasEnded = true
            return .end
        case .error:
            hasFailed = true
            return .error
        case .blockStop, .ping, nil:
            return hasContent ? .trailer : .preamble
        }
    }

    /// Returns whether there was any.
    private func readUsage(
        _ data: UnsafeRawBufferPointer,
        _ parser: JSONParser,
        at parent: StaticString?
    ) -> Bool {
        var found = usage
        var others = self.others
        var isThere = false
        try? parser.outline(data) { outline in
            var object: JSONSourceValue? = outline.root
            if let parent { object = object?[parent] }
            if let reported = object?["usage"], reported.isObject {
                isThere = AnthropicUsage.update(&found, &others, from: reported)
            }
        }
        usage = found
        self.others = others
        return isThere
    }

    /// Bytes of what the model has written of a block that begins: what a server's tool has found is none of it.
    private func generated(inBlock data: UnsafeRawBufferPointer, _ parser: JSONParser) -> Int {
        let bytes: Int? = try? parser.outline(data) { outline in
            guard let block = outline.root["content_block"] else { return 0 }
            let written = block["text"] ?? block["thinking"] ?? block["input"]
            return written.map { $0.range.count } ?? 0
        }
        return bytes ?? 0
    }

    /// An answer that was cut or refused before its first word is an answer.
    private func isCutOrRefused(_ data: UnsafeRawBufferPointer, _ parser: JSONParser) -> Bool {
        let isSaid: Bool? = try? parser.outline(data) { outline in
            guard let reason = outline.root["delta"]?["stop_reason"], reason.isString else { return false }
            return !reason.equals("end_turn")
        }
        return isSaid ?? false
    }

    private func typeInData(_ data: UnsafeRawBufferPointer, _ parser: JSONParser) -> Kind? {
        let kind: Kind?? = try? parser.outline(data) { outline in
            outline.root["type"].flatMap { type in Kind { type.equals($0) } }
        }
        return kind ?? nil
    }
}
