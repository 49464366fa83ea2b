package import Domain

/// What a call may cost at most, as far as its request tells: so much is reserved for it.
package struct ReservationSize: Hashable, Sendable {
    /// Where a model's own bounds are not known.
    package static let contextWindow: Int64 = 1_000_000
    package static let longestAnswer: Int64 = 128_000

    /// Of the request, media in base64 left out.
    package var textBytes: Int
    package var media: MediaTokens
    /// What the request allows an answer to have; nil where it does not say.
    package var answerTokens: Int64?
    /// How many of them it asks for.
    package var answers: Int64
    /// As which the call wants to be served.
    package var tier: ServiceTier

    package init(
        textBytes: Int,
        media: MediaTokens = MediaTokens(),
        answerTokens: Int64?,
        answers: Int64 = 1,
        tier: ServiceTier = .standard
    ) {
        self.textBytes = textBytes
        self.media = media
        self.answerTokens = answerTokens
        self.answers = answers
        self.tier = tier
    }

    /// What the request comes to where no upstream counts it: a token for four bytes, and what its media usually are.
    package var likelyInput: Int64 { Int64(textBytes / 4 + 1) &+ media.likely }

    /// A token for two bytes and what the media may be at the dearest price of the input, and the longest answers, within
    /// what the model takes and gives; multiplied as the bill will be. What is asked for at a lower price may be served at
    /// the usual one.
    ///
    /// - Parameters:
    ///   - first: the group's multiplier.
    ///   - second: the highest of its accounts.
    package func amount(at price: ModelPrice, multipliers first: Multiplier = .one, _ second: Multiplier = .one)
        -> NanoUSD
    {
        let most = Int64(clamping: textBytes / 2 + 1) &+ media.most
        let input = min(most, price.maximumInput ?? Self.contextWindow)
        let tier = tier == .flex ? .standard : tier
        return price.isPlain(input: input, tier)
            ? amount(ofInput: input, at: price, PriceList.Bill(first, second))
            : amount(ofInput: input, at: price.applied(input: input, tier), PriceList.Bill(first, second))
    }

    private func amount(ofInput input: Int64, at price: ModelPrice, _ empty: PriceList.Bill) -> NanoUSD {
        let longest = price.maximumOutput ?? Self.longestAnswer
        let cached = max(price.cacheWrite5m.raw, price.cacheWrite1h.raw, price.cacheRead.raw)
        let dearestInput = max(price.input.raw, cached, price.inputMedia.dearest)
        let dearestOutput = max(price.output.raw, price.outputMedia.dearest)
        var bill = empty
        bill.add(input, at: PricePerMillion(dearestInput))
        let (output, isOver) = min(max(0, answerTokens ?? longest), longest).multipliedReportingOverflow(by: answers)
        bill.add(isOver ? .max : output, at: PricePerMillion(dearestOutput))
        bill.add(1, ofEach: price.request)
        return bill.total
    }
}

extension ModelPrice.Media {
    /// 0 where neither has a price of its own.
    fileprivate var dearest: Int64 { max(image?.raw ?? 0, audio?.raw ?? 0) }
}
