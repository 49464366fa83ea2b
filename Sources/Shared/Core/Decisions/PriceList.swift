package import Domain

/// What calls cost. Exact names win over prefixes, longer prefixes over shorter ones.
package struct PriceList: Sendable {
    private let exact: [String: ModelPrice]
    /// Longest first.
    private let prefixes: [ModelPrice]

    package init(_ prices: [ModelPrice]) {
        exact = Dictionary(prices.lazy.filter { $0.match == .exact }.map { ($0.model, $0) }) { $1 }
        prefixes = prices.filter { $0.match == .prefix }.sorted { $0.model.utf8.count > $1.model.utf8.count }
    }

    package func price(of model: String) -> ModelPrice? {
        exact[model] ?? prefixes.first { model.hasPrefix($0.model) }
    }

    /// The models that have a price of their own.
    package var models: [String] { exact.keys.sorted() }

    /// Cost of a call: tokens × price, × multipliers, rounded half to even to a nano-USD once for each class.
    package static func cost(
        of usage: TokenUsage,
        at price: ModelPrice,
        multipliers: [Multiplier]
    ) -> NanoUSD {
        let isUsual = usage.tier == .standard && (price.longContexts.first.map { usage.allInput <= $0.above } ?? true)
        let price = isUsual ? price : price.applied(input: usage.allInput, usage.tier)
        var scale: Int128 = 1_000_000
        var factor: Int128 = 1
        for multiplier in multipliers {
            scale *= 10_000
            factor *= Int128(multiplier.raw)
        }
        var total: Int128 = 0
        func add(_ count: Int64, at rate: Int64, per unit: Int128 = 1_000_000) {
            total += rounded(count, times: rate, times: factor, over: scale / 1_000_000 * unit)
        }
        /// Tokens of a medium with a price of its own are taken out of the others.
        func add(_ count: Int64, of media: TokenUsage.Media, at rate: PricePerMillion, _ own: ModelPrice.Media) {
            var text = count
            if !media.isZero {
                let media = media.within(count)
                for (tokens, rate) in [(media.image, own.image), (media.audio, own.audio)] {
                    guard let rate else { continue }
                    add(tokens, at: rate.raw)
                    text -= tokens
                }
            }
            add(text, at: rate.raw)
        }
        add(usage.input, of: usage.inputMedia, at: price.input, price.inputMedia)
        add(usage.output, of: usage.outputMedia, at: price.output, price.outputMedia)
        add(usage.cacheWrite5m, at: price.cacheWrite5m.raw)
        add(usage.cacheWrite1h, at: price.cacheWrite1h.raw)
        add(usage.cacheRead, at: price.cacheRead.raw)
        add(usage.webSearches, at: price.webSearch.raw, per: 1)
        add(1, at: price.request.raw, per: 1)
        return NanoUSD(Int64(clamping: min(total, Int128(NanoUSD.maximum.raw))))
    }

    /// The product of one class. Counts come from outside: what would not fit is the greatest amount there is.
    private static func rounded(_ count: Int64, times rate: Int64, times factor: Int128, over scale: Int128) -> Int128 {
        guard count > 0, rate > 0, factor > 0 else { return 0 }
        let (product, overflow) = (Int128(count) * Int128(rate)).multipliedReportingOverflow(by: factor)
        guard !overflow, product < .max / 2 else { return Int128(NanoUSD.maximum.raw) }
        return roundedHalfEven(product, over: scale)
    }

    /// Integer division of non-negative numbers; a remainder of exactly one half goes to the even neighbour.
    static func roundedHalfEven(_ numerator: Int128, over denominator: Int128) -> Int128 {
        let (quotient, remainder) = numerator.quotientAndRemainder(dividingBy: denominator)
        let twice = remainder * 2
        if twice > denominator || (twice == denominator && quotient % 2 == 1) { return quotient + 1 }
        return quotient
    }
}
