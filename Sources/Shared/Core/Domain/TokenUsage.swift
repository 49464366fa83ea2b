/// Tokens of one call by price class, as the upstream counted them.
///
/// `input`, `output` and the cache's classes share no token. Those of images and sound stand within `input` and
/// `output`: they are told apart because they may have a price of their own.
package struct TokenUsage: Hashable, Sendable {
    package var input: Int64 = 0
    package var output: Int64 = 0
    package var cacheWrite5m: Int64 = 0
    package var cacheWrite1h: Int64 = 0
    package var cacheRead: Int64 = 0
    /// Server-side tool calls that cost by the call (web search).
    package var webSearches: Int64 = 0
    /// Of `input`.
    package var inputMedia = Media()
    /// Of `output`.
    package var outputMedia = Media()
    /// As which the upstream has served the call.
    package var tier = ServiceTier.standard

    /// What of a count is no text.
    package struct Media: Hashable, Sendable {
        package var image: Int64
        package var audio: Int64

        package init(image: Int64 = 0, audio: Int64 = 0) {
            self.image = image
            self.audio = audio
        }

        /// The part of this that fits into a count, whatever an upstream reports.
        package func within(_ count: Int64) -> Media {
            let image = min(max(0, image), max(0, count))
            return Media(image: image, audio: min(max(0, audio), max(0, count) - image))
        }

        package var isZero: Bool { image == 0 && audio == 0 }
    }

    package init(
        input: Int64 = 0,
        output: Int64 = 0,
        cacheWrite5m: Int64 = 0,
        cacheWrite1h: Int64 = 0,
        cacheRead: Int64 = 0,
        webSearches: Int64 = 0,
        inputMedia: Media = Media(),
        outputMedia: Media = Media(),
        tier: ServiceTier = .standard
    ) {
        self.input = input
        self.output = output
        self.cacheWrite5m = cacheWrite5m
        self.cacheWrite1h = cacheWrite1h
        self.cacheRead = cacheRead
        self.webSearches = webSearches
        self.inputMedia = inputMedia
        self.outputMedia = outputMedia
        self.tier = tier
    }

    /// Whether nothing was used, however it was served.
    package var isZero: Bool { self == TokenUsage(tier: tier) }
    package var cacheWrite: Int64 { cacheWrite5m &+ cacheWrite1h }
    /// All that was sent, cached or not.
    package var allInput: Int64 { input &+ cacheWrite &+ cacheRead }
    /// All classes together; what `total_tokens` means in answers.
    package var total: Int64 { input &+ output &+ cacheWrite &+ cacheRead }

    /// All counts added, as far as they fit.
    package func adding(_ other: TokenUsage) -> TokenUsage {
        func sum(_ count: KeyPath<TokenUsage, Int64>) -> Int64 {
            let (sum, isOver) = self[keyPath: count].addingReportingOverflow(other[keyPath: count])
            return isOver ? .max : sum
        }
        var usage = self
        usage.input = sum(\.input)
        usage.output = sum(\.output)
        usage.cacheWrite5m = sum(\.cacheWrite5m)
        usage.cacheWrite1h = sum(\.cacheWrite1h)
        usage.cacheRead = sum(\.cacheRead)
        return usage
    }

    /// The same with all cache writes in one class.
    package func writingCache(for ttl: CacheTTL) -> TokenUsage {
        var usage = self
        usage.cacheWrite5m = ttl == .fiveMinutes ? cacheWrite : 0
        usage.cacheWrite1h = ttl == .oneHour ? cacheWrite : 0
        return usage
    }
}

/// What another model than the asked one has done of a call, at its own price.
package struct ModelUsage: Hashable, Sendable {
    package var model: String
    package var usage: TokenUsage

    package init(_ model: String, _ usage: TokenUsage) {
        self.model = model
        self.usage = usage
    }
}

/// For how long a prompt cache is written: a class of its own in usage and prices.
package enum CacheTTL: String, Sendable, CaseIterable {
    case fiveMinutes = "5m"
    case oneHour = "1h"
}
