package import Domain

extension ModelPrice {
    /// Whether the usual prices hold as they stand for a call with so much input that was served so.
    func isPlain(input tokens: Int64, _ tier: ServiceTier) -> Bool {
        tier == .standard && (longContexts.isEmpty || tokens <= longContexts[0].above)
    }

    /// The prices of a call with so much input that was served so: the usual ones, or what stands in for them.
    ///
    /// Where a class has both a price for long contexts and one for the tier, or one for each of two ways in which the call
    /// was served, they rise in proportion: flex at half the price is half the price of a long context as well.
    package func applied(input tokens: Int64, _ tier: ServiceTier) -> ModelPrice {
        guard !longContexts.isEmpty || !tiers.isEmpty else { return self }
        let long = longContexts.last { tokens > $0.above }.map(\.rates)
        let others = [long].compactMap(\.self) + tier.priced.compactMap { tiers[$0] }
        guard !others.isEmpty else { return self }
        var price = self
        func apply(_ usual: WritableKeyPath<ModelPrice, PricePerMillion>, _ other: KeyPath<Rates, PricePerMillion?>) {
            let rates = others.compactMap { $0[keyPath: other] }
            guard let first = rates.first else { return }
            price[keyPath: usual] = rates.dropFirst().reduce(first) {
                Self.scaled($0, by: $1, over: self[keyPath: usual])
            }
        }
        apply(\.input, \.input)
        apply(\.output, \.output)
        apply(\.cacheWrite5m, \.cacheWrite5m)
        apply(\.cacheWrite1h, \.cacheWrite1h)
        apply(\.cacheRead, \.cacheRead)
        return price
    }

    private static func scaled(
        _ rate: PricePerMillion,
        by other: PricePerMillion,
        over usual: PricePerMillion
    ) -> PricePerMillion {
        guard usual.raw > 0 else { return PricePerMillion(max(rate.raw, other.raw)) }
        let product = Int128(max(0, rate.raw)) * Int128(max(0, other.raw))
        return PricePerMillion(Int64(clamping: PriceList.roundedHalfEven(product, over: Int128(usual.raw))))
    }
}
