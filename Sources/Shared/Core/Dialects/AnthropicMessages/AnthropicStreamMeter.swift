package import Domain
package import Formats

/// Follows a Messages stream event by event: what it has cost so far, whether content has begun, and how it ended.
package struct AnthropicStreamMeter: Sendable {
    package enum Event: Equatable, Sendable {
        /// Before content, or without any: `message_start`, pings, comments.
        case preamble
        case content
        /// `message_delta`, `content_block_stop`: belongs to the content before it.
        case trailer
        /// `message_stop`: the answer is complete.
        case end
        /// The upstream's own error event.
        case error
    }

    package private(set) var usage = TokenUsage()
    package private(set) var hasContent = false
    /// `message_delta` came with usage: that is the upstream's last word.
    package private(set) var hasFinalUsage = false
    package private(set) var hasEnded = false
    package private(set) var hasFailed = false
    /// Bytes of generated text so far, for an estimate when the upstream breaks off before its last word.
    package private(set) var contentBytes = 0

    /// What stands round the text in a delta event's JSON, about.
    private static let deltaOverhead = 79
    /// Bytes of text a token stands for when it has to be estimated.
    package static let bytesPerToken = 4

    private var countsContent = true

    package init() {}

    /// What follows is not delivered any more; reported usage still counts.
    package mutating func stopCountingContent() { countsContent = false }

    private mutating func countContent(_ data: UnsafeRawBufferPointer) {
        hasContent = true
        if countsContent { contentBytes += max(0, data.count - Self.deltaOverhead) }
    }

    /// The usage, or when the stream broke off before its last word, at least what the delivered text amounts to.
    package var estimatedUsage: TokenUsage {
        guard !hasFinalUsage else { return usage }
        var estimate = usage
        let bytes = Int64(contentBytes)
        estimate.output = max(usage.output, (bytes + Int64(Self.bytesPerToken) - 1) / Int64(Self.bytesPerToken))
        return estimate
    }

    /// Takes the next event in. The name decides; without one the `type` in the data does.
    package mutating func receive(_ event: SSEEvent, _ parser: JSONParser) -> Event {
        guard event.hasData, event.isComplete else { return hasContent ? .trailer : .preamble }
        if event.name.elementsEqual("content_block_delta".utf8) {
            countContent(event.data)
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

    private mutating func receive(_ kind: Kind?, _ data: UnsafeRawBufferPointer, _ parser: JSONParser) -> Event {
        switch kind {
        case .start:
            _ = readUsage(data, parser, at: "message")
            return .preamble
        case .blockStart, .blockDelta:
            countContent(data)
            return .content
        case .delta:
            if readUsage(data, parser, at: nil) { hasFinalUsage = true }
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
    private mutating func readUsage(
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

    private func typeInData(_ data: UnsafeRawBufferPointer, _ parser: JSONParser) -> Kind? {
        let type: String?? = try? parser.parse(data) { $0.root["type"]?.string }
        return (type ?? nil).flatMap { Kind(rawValue: $0) }
    }
}
