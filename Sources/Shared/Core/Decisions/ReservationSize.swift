package import Domain

/// What a call may cost at most, as far as its request tells: so much is reserved for it.
package struct ReservationSize: Hashable, Sendable {
    /// Where a model's own bounds are not known.
    package static let contextWindow: Int64 = 1_000_000
    package static let longestAnswer: Int64 = 128_000

    /// Of the request, media in base64 left out.
    package var textBytes: Int
    /// What the request allows the answer to have, all of its alternatives together; nil where it does not say.
    package var answerTokens: Int64?
    /// As which the call wants to be served.
    package var tier: ServiceTier

    package init(textBytes: Int, answerTokens: Int64?, tier: ServiceTier = .standard) {
        self.textBytes = textBytes
        self.answerTokens = answerTokens
        self.tier = tier
    }

    /// A token for two bytes at the dearest price of the input, and the longest answer, within what the model takes and
    /// gives; multiplied as the bill will be. What is asked for at a lower price may be served at the usual one.
    ///
    /// - Parameter multipliers: the group's, and the highest of its accounts.
    package func amount(at price: ModelPrice, multipliers: [Multiplier]) -> NanoUSD {
        func dearest(_ first: PricePerMillion, _ others: PricePerMillion?...) -> PricePerMillion {
            PricePerMillion(others.reduce(first.raw) { max($0, $1?.raw ?? 0) })
        }
        let input = min(Int64(clamping: textBytes / 2 + 1), price.maximumInput ?? Self.contextWindow)
        let longest = price.maximumOutput ?? Self.longestAnswer
        let price = price.applied(input: input, tier == .priority ? tier : .standard)
        var bound = ModelPrice(model: "", match: .exact, revision: 0, request: price.request)
        bound.input = dearest(
            price.input,
            price.cacheWrite5m,
            price.cacheWrite1h,
            price.cacheRead,
            price.inputMedia.image,
            price.inputMedia.audio
        )
        bound.output = dearest(price.output, price.outputMedia.image, price.outputMedia.audio)
        let usage = TokenUsage(
            input: input,
            output: min(max(0, answerTokens ?? longest), longest)
        )
        return PriceList.cost(of: usage, at: bound, multipliers: multipliers)
    }
}
