/// What a model costs.
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

    /// Prices of tokens that are no text; nil is the price of text.
    package struct Media: Hashable, Sendable {
        package var image: PricePerMillion?
        package var audio: PricePerMillion?

        package init(image: PricePerMillion? = nil, audio: PricePerMillion? = nil) {
            self.image = image
            self.audio = audio
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
        request: NanoUSD = .zero
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
    }
}
