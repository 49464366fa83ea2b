package import Domain

extension ModelPrice {
    /// Whether the usual prices hold as they stand for a call with so much input that was served so.
    func isPlain(input tokens: Int64, _ tier: ServiceTier) -> Bool {
        tier == .standard && (longContexts.isEmpty || tokens <= longContexts[0].above)
    }

    /// The prices of a call with so much input that was served so: the usual ones, or what stands in for them.
    ///
    /// Where a class has both a price for long contexts and one for the tier, the tier's rises in the proportion in which
    /// the long context's does: flex at half the price is half the price there as well.
    package func applied(input tokens: Int64, _ tier: ServiceTier) -> ModelPrice {
        guard !longContexts.isEmpty || !tiers.isEmpty else { return self }
        let long = longContexts.last { tokens > $0.above }?.rates
        let tier = tiers[tier]
        guard long != nil || tier != nil else { return self }
        var price = self
        func apply(_ usual: WritableKeyPath<ModelPrice, PricePerMillion>, _ other: KeyPath<Rates, PricePerMillion?>) {
            switch (long?[keyPath: other], tier?[keyPath: other]) {
            case (nil, nil): break
            case (let rate?, nil), (nil, let rate?): price[keyPath: usual] = rate
            case (let long?, let tier?):
                price[keyPath: usual] = Self.scaled(tier, by: long, over: self[keyPath: usual])
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
        _ tier: PricePerMillion,
        by long: PricePerMillion,
        over usual: PricePerMillion
    ) -> PricePerMillion {
        guard usual.raw > 0 else { return PricePerMillion(max(tier.raw, long.raw)) }
        let product = Int128(max(0, tier.raw)) * Int128(max(0, long.raw))
        return PricePerMillion(Int64(clamping: PriceList.roundedHalfEven(product, over: Int128(usual.raw))))
    }
}
