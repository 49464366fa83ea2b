import Decisions
package import Domain
package import Providers

/// Which model a test call asks. Pure.
package enum TestModel {
    /// Models that do not answer a text with a text, by parts of their names.
    private static let unfit = [
        "embedding", "tts", "audio", "realtime", "transcribe", "image", "search", "moderation", "computer-use", "live",
        "robotics", "customtools", "-exp-", "codex-mini",
    ]

    /// The cheapest model that the account serves: of those its mapping names, else of those with a price of their own.
    ///
    /// - Returns: the name as a caller uses it; nil when there is none.
    package static func chosen(_ account: AccountRecord, _ provider: any Provider, _ prices: [ModelPrice]) -> String? {
        let mapping = ModelMapping(account.fields.modelMapping)
        let list = PriceList(prices)
        func cost(_ model: String) -> Int64 { list.price(of: model)?.output.raw ?? .max }
        func cheapest(_ models: [String]) -> String? {
            models.min { (cost($0), $0) < (cost($1), $1) }
        }
        if let named = cheapest(mapping.names) { return named }
        let priced = prices.filter { price in
            price.match == .exact && price.output.raw > 0 && provider.offers(price.model)
                && mapping.upstreamModel(for: price.model) != nil
                && !unfit.contains { price.model.firstRange(of: $0) != nil }
        }
        return cheapest(priced.map(\.model))
    }
}
