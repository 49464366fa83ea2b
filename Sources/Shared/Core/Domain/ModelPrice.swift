/// What a model costs, and how much it takes and gives at most.
package struct ModelPrice: Hashable, Sendable {
    package enum Match: String, Sendable { case exact, prefix }
    package var model: String
    package var match: Match
    /// The version that a usage row names.
    package var revision: Int64
    package var input: PricePerMillion
    package var output: PricePerMillion
    package var cacheWrite5m: PricePerMillion
    package var cacheWrite1h: PricePerMillion
    package var cacheRead: PricePerMillion
    package var inputMedia: Media
    package var outputMedia: Media
    /// Of one call of the server-side web search.
    package var webSearch: NanoUSD
    /// Of one call, whatever its tokens.
    package var request: NanoUSD
    /// Of calls with more input than some bound, by bound.
    package var longContexts: [LongContext]
    /// Of calls that were not served in the standard way.
    package var tiers: [ServiceTier: Rates]
    /// Tokens of input that the model takes; nil where that is not known.
    package var maximumInput: Int64?
    /// Tokens that an answer can have.
    package var maximumOutput: Int64?

    /// Prices of tokens that are no text; nil is the price of text.
    package struct Media: Hashable, Sendable {
        package var image: PricePerMillion?
        package var audio: PricePerMillion?

        package init(image: PricePerMillion? = nil, audio: PricePerMillion? = nil) {
            self.image = image
            self.audio = audio
        }
    }

    /// Prices that stand in for the usual ones; nil leaves the usual one.
    package struct Rates: Hashable, Sendable {
        package var input: PricePerMillion?
        package var output: PricePerMillion?
        package var cacheWrite5m: PricePerMillion?
        package var cacheWrite1h: PricePerMillion?
        package var cacheRead: PricePerMillion?

        package init(
            input: PricePerMillion? = nil,
            output: PricePerMillion? = nil,
            cacheWrite5m: PricePerMillion? = nil,
            cacheWrite1h: PricePerMillion? = nil,
            cacheRead: PricePerMillion? = nil
        ) {
            self.input = input
            self.output = output
            self.cacheWrite5m = cacheWrite5m
            self.cacheWrite1h = cacheWrite1h
            self.cacheRead = cacheRead
        }

        package var isEmpty: Bool { self == Rates() }
    }

    package struct LongContext: Hashable, Sendable {
        /// Tokens of input, cached ones included, beyond which the whole call costs this.
        package var above: Int64
        package var rates: Rates

        package init(above: Int64, _ rates: Rates) {
            self.above = above
            self.rates = rates
        }
    }

    package init(
        model: String,
        match: Match,
        revision: Int64,
        input: PricePerMillion = .init(0),
        output: PricePerMillion = .init(0),
        cacheWrite5m: PricePerMillion = .init(0),
        cacheWrite1h: PricePerMillion = .init(0),
        cacheRead: PricePerMillion = .init(0),
        inputMedia: Media = Media(),
        outputMedia: Media = Media(),
        webSearch: NanoUSD = .zero,
        request: NanoUSD = .zero,
        longContexts: [LongContext] = [],
        tiers: [ServiceTier: Rates] = [:],
        maximumInput: Int64? = nil,
        maximumOutput: Int64? = nil
    ) {
        self.model = model
        self.match = match
        self.revision = revision
        self.input = input
        self.output = output
        self.cacheWrite5m = cacheWrite5m
        self.cacheWrite1h = cacheWrite1h
        self.cacheRead = cacheRead
        self.inputMedia = inputMedia
        self.outputMedia = outputMedia
        self.webSearch = webSearch
        self.request = request
        self.longContexts = longContexts.sorted { $0.above < $1.above }
        self.tiers = tiers
        self.maximumInput = maximumInput
        self.maximumOutput = maximumOutput
    }
}
