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
        exact[model] ?? Self.unversioned(model).flatMap { exact[$0] } ?? prefixes.first { model.hasPrefix($0.model) }
    }

    /// `claude-haiku-4-5-20251001` of `claude-haiku-4-5-20251001-v1:0`, as Bedrock has it; nil without a version.
    private static func unversioned(_ model: String) -> String? {
        guard let start = model.utf8.lastIndex(of: UInt8(ascii: "v")), start != model.startIndex else { return nil }
        let dash = model.utf8.index(before: start)
        let version = model.utf8[model.utf8.index(after: start)...]
        guard model.utf8[dash] == UInt8(ascii: "-"), !version.isEmpty,
            version.allSatisfy({ (0x30...0x3a).contains($0) })
        else { return nil }
        return String(model[..<dash])
    }

    /// The models that have a price of their own.
    package var models: [String] { exact.keys.sorted() }

    /// Cost of a call: tokens × price, × multipliers, rounded half to even to a nano-USD once for each class.
    package static func cost(
        of usage: TokenUsage,
        at price: ModelPrice,
        multipliers first: Multiplier = .one,
        _ second: Multiplier = .one
    ) -> NanoUSD {
        // Nearly all calls: a price is copied no more than it must be.
        price.isPlain(input: usage.allInput, usage.tier)
            ? plainCost(of: usage, at: price, Bill(first, second))
            : plainCost(of: usage, at: price.applied(input: usage.allInput, usage.tier), Bill(first, second))
    }

    private static func plainCost(of usage: TokenUsage, at price: ModelPrice, _ empty: Bill) -> NanoUSD {
        var bill = empty
        /// Tokens of a medium with a price of its own are taken out of the others.
        func add(_ count: Int64, of media: TokenUsage.Media, at rate: PricePerMillion, _ own: ModelPrice.Media) {
            var text = count
            if !media.isZero {
                let media = media.within(count)
                for (tokens, rate) in [(media.image, own.image), (media.audio, own.audio)] {
                    guard let rate else { continue }
                    bill.add(tokens, at: rate)
                    text -= tokens
                }
            }
            bill.add(text, at: rate)
        }
        add(usage.input, of: usage.inputMedia, at: price.input, price.inputMedia)
        add(usage.output, of: usage.outputMedia, at: price.output, price.outputMedia)
        bill.add(usage.cacheWrite5m, at: price.cacheWrite5m)
        bill.add(usage.cacheWrite1h, at: price.cacheWrite1h)
        bill.add(usage.cacheRead, at: price.cacheRead)
        bill.add(usage.webSearches, ofEach: price.webSearch)
        bill.add(1, ofEach: price.request)
        return bill.total
    }

    /// Adds up the classes of a call.
    struct Bill {
        /// Of all multipliers together, in `unit` parts.
        private var factor: Int128 = 1
        private var unit: Int128 = 1
        private var sum: Int128 = 0

        init(_ first: Multiplier, _ second: Multiplier) {
            multiply(by: first)
            multiply(by: second)
        }

        private mutating func multiply(by multiplier: Multiplier) {
            guard multiplier != .one else { return }
            unit *= 10_000
            factor *= Int128(multiplier.raw)
        }

        mutating func add(_ tokens: Int64, at rate: PricePerMillion) {
            if tokens > 0, rate.raw > 0 { add(tokens, times: rate.raw, over: unit * 1_000_000) }
        }

        mutating func add(_ count: Int64, ofEach amount: NanoUSD) {
            if count > 0, amount.raw > 0 { add(count, times: amount.raw, over: unit) }
        }

        /// Counts come from outside: what would not fit is the greatest amount there is.
        private mutating func add(_ count: Int64, times rate: Int64, over scale: Int128) {
            guard factor > 0 else { return }
            let (product, overflow) = (Int128(count) * Int128(rate)).multipliedReportingOverflow(by: factor)
            guard !overflow, product < .max / 2 else {
                sum += Int128(NanoUSD.maximum.raw)
                return
            }
            sum += PriceList.roundedHalfEven(product, over: scale)
        }

        var total: NanoUSD { NanoUSD(Int64(clamping: min(sum, Int128(NanoUSD.maximum.raw)))) }
    }

    /// Integer division of non-negative numbers; a remainder of exactly one half goes to the even neighbour.
    static func roundedHalfEven(_ numerator: Int128, over denominator: Int128) -> Int128 {
        // Almost all bills are such, and need no function of a library to divide them.
        if let numerator = UInt64(exactly: numerator), let denominator = UInt64(exactly: denominator) {
            let (quotient, remainder) = numerator.quotientAndRemainder(dividingBy: denominator)
            let rest = denominator - remainder
            let isUp = remainder > rest || (remainder == rest && quotient % 2 == 1)
            return Int128(quotient) + (isUp ? 1 : 0)
        }
        let (quotient, remainder) = numerator.quotientAndRemainder(dividingBy: denominator)
        let twice = remainder * 2
        if twice > denominator || (twice == denominator && quotient % 2 == 1) { return quotient + 1 }
        return quotient
    }
}
