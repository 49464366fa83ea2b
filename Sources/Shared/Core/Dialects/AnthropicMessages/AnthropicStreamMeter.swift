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
        let kind = Kind(name: event.name) ?? typeInData(event.data, parser)
        return receive(kind, event.data, parser)
    }

    private enum Kind: String {
        case start = "message_start"
        case blockStart = "content_block_start"
        case blockDelta = "content_block_delta"
        case blockStop = "content_block_stop"
        case delta = "message_delta"
        case stop = "message_stop"
        case error
        case ping

        init?(name: UnsafeRawBufferPointer) {
            guard !name.isEmpty, name.count <= 32 else { return nil }
            self.init(rawValue: String(decoding: name, as: UTF8.self))
        }
    }

    private func receive(_ kind: Kind?, _ data: UnsafeRawBufferPointer, _ parser: JSONParser) -> Event {
        switch kind {
        case .start:
            _ = readUsage(data, parser, at: "message")
            return .preamble
        case .blockStart, .blockDelta:
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
        var isThere = false
        try? parser.parse(data) { document in
            var object: JSONValue? = document.root
            if let parent { object = object?[parent] }
            if let reported = object?["usage"], reported.isObject {
                AnthropicUsage.update(&found, from: reported)
                isThere = true
            }
        }
        usage = found
        return isThere
    }

    /// An answer that was cut or refused before its first word is an answer.
    private func isCutOrRefused(_ data: UnsafeRawBufferPointer, _ parser: JSONParser) -> Bool {
        let isSaid: Bool? = try? parser.parse(data) { document in
            guard let reason = document.root["delta"]?["stop_reason"], reason.isString else { return false }
            return !reason.equals("end_turn")
        }
        return isSaid ?? false
    }

    private func typeInData(_ data: UnsafeRawBufferPointer, _ parser: JSONParser) -> Kind? {
        let type: String?? = try? parser.parse(data) { $0.root["type"]?.string }
        return (type ?? nil).flatMap { Kind(rawValue: $0) }
    }
}
