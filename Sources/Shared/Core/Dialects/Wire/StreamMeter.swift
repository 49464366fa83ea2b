package import Domain
package import Formats

/// Follows a stream event by event: what it has cost so far, whether content has begun, and how it ended.
///
/// A class with one subclass a dialect, so that an event costs one call and no box.
package class StreamMeter {
    package enum Event: Equatable, Sendable {
        /// Before content, or without any: opening events, pings, comments.
        case preamble
        case content
        /// Belongs to the content before it.
        case trailer
        /// May be the last: what ends the stream properly can come with it, or more can follow.
        case closing
        /// Nothing but the usage (OpenAI Chat).
        case usage
        /// The answer is complete.
        case end
        /// The upstream's own error event.
        case error
    }

    package internal(set) final var usage = TokenUsage()
    /// What other models have done of the call.
    package internal(set) final var others: [ModelUsage] = []
    package internal(set) final var hasContent = false
    /// The upstream has said its last word on what the answer costs.
    package internal(set) final var hasFinalUsage = false
    package internal(set) final var hasEnded = false
    package internal(set) final var hasFailed = false
    /// Bytes of generated text so far, for an estimate when the upstream breaks off before its last word.
    package internal(set) final var contentBytes = 0
    /// What the answer can be asked for by later (OpenAI Responses).
    package internal(set) final var responseID: String?

    /// Bytes of text a token stands for when it has to be estimated.
    package static let bytesPerToken = 4
    private var countsContent = true

    init() {}

    /// Takes the next event in.
    package func receive(_ event: SSEEvent, _ parser: JSONParser) -> Event { .preamble }

    /// Whether the answer is whole if nothing follows.
    package var isComplete: Bool { hasEnded }

    /// What follows is not delivered any more; reported usage still counts.
    package final func stopCountingContent() { countsContent = false }

    final func countContent(_ bytes: Int) {
        hasContent = true
        if countsContent { contentBytes &+= max(0, bytes) }
    }

    /// The usage, or when the stream broke off before its last word, at least what the delivered text amounts to.
    ///
    /// - Parameter input: what the request comes to, for upstreams that only say it in their last word.
    package final func estimatedUsage(input: Int64) -> TokenUsage {
        // What another model has taken over is counted there.
        guard !hasFinalUsage, others.isEmpty || usage.total > 0 else { return usage }
        var estimate = usage
        let bytes = Int64(contentBytes)
        estimate.output = max(usage.output, (bytes + Int64(Self.bytesPerToken) - 1) / Int64(Self.bytesPerToken))
        if hasContent, usage.input == 0, usage.cacheRead == 0, usage.cacheWrite == 0 { estimate.input = input }
        return estimate
    }
}

extension ServiceTier {
    /// As an upstream names it; nil where it says nothing.
    init?(reported value: (some JSONReadable)?) {
        guard let value, value.isString else { return nil }
        guard !value.equals("standard"), !value.equals("default"), let name = value.string else {
            self = .standard
            return
        }
        self.init(serviceTier: name)
    }
}

/// Token counts as upstreams report them: what cannot be a count is none.
enum ReportedCount {
    static let maximum: Int64 = 1_000_000_000_000

    static func read(_ value: (some JSONReadable)?) -> Int64? {
        guard let number = value?.int64, (0...maximum).contains(number) else { return nil }
        return number
    }
}
