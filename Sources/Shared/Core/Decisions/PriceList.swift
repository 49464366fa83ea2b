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
        var scale: Int128 = 1_000_000
        var factor: Int128 = 1
        for multiplier in multipliers {
            scale *= 10_000
            factor *= Int128(multiplier.raw)
        }
        let classes: [(Int64, Int64)] = [
            (usage.input, price.input.raw), (usage.output, price.output.raw),
            (usage.cacheWrite5m, price.cacheWrite5m.raw), (usage.cacheWrite1h, price.cacheWrite1h.raw),
            (usage.cacheRead, price.cacheRead.raw),
        ]
        var total: Int128 = 0
        for (tokens, rate) in classes {
            total += rounded(tokens, times: rate, times: factor, over: scale)
        }
        total += rounded(usage.webSearches, times: price.webSearch.raw, times: factor, over: scale / 1_000_000)
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
