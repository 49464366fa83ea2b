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
        let input = min(Int64(clamping: textBytes / 2 + 1), price.maximumInput ?? Self.contextWindow)
        let longest = price.maximumOutput ?? Self.longestAnswer
        let price = price.applied(input: input, tier == .priority ? tier : .standard)
        let cached = max(price.cacheWrite5m.raw, price.cacheWrite1h.raw, price.cacheRead.raw)
        let dearestInput = max(price.input.raw, cached, price.inputMedia.dearest)
        let dearestOutput = max(price.output.raw, price.outputMedia.dearest)
        var bill = PriceList.Bill(multipliers)
        bill.add(input, at: PricePerMillion(dearestInput))
        bill.add(min(max(0, answerTokens ?? longest), longest), at: PricePerMillion(dearestOutput))
        bill.add(1, ofEach: price.request)
        return bill.total
    }
}

extension ModelPrice.Media {
    /// 0 where neither has a price of its own.
    fileprivate var dearest: Int64 { max(image?.raw ?? 0, audio?.raw ?? 0) }
}
