import Decisions
import Domain
import Testing

@Suite("What a call costs")
struct PriceListTests {
    private func price(_ model: String, _ match: ModelPrice.Match, input: Int64 = 0) -> ModelPrice {
        ModelPrice(model: model, match: match, revision: 1, input: PricePerMillion(input))
    }

    @Test("an exact name wins over prefixes, a longer prefix over a shorter one")
    func choice() {
        let list = PriceList([
            price("claude-", .prefix, input: 1), price("claude-opus-", .prefix, input: 2),
            price("claude-opus-4", .exact, input: 3),
        ])
        #expect(list.price(of: "claude-opus-4")?.input.raw == 3)
        #expect(list.price(of: "claude-opus-4-1")?.input.raw == 2)
        #expect(list.price(of: "claude-next")?.input.raw == 1)
        #expect(list.price(of: "gpt-5") == nil)
    }

    @Test("each class is tokens times its price, times the multipliers")
    func sum() {
        let price = ModelPrice(
            model: "m",
            match: .exact,
            revision: 1,
            input: .init(3_000_000_000),
            output: .init(15_000_000_000),
            cacheWrite5m: .init(3_750_000_000),
            cacheWrite1h: .init(6_000_000_000),
            cacheRead: .init(300_000_000),
            webSearch: NanoUSD(10_000_000)
        )
        let usage = TokenUsage(
            input: 1000,
            output: 200,
            cacheWrite5m: 10,
            cacheWrite1h: 20,
            cacheRead: 30,
            webSearches: 2
        )
        let plain: Int64 = 3_000_000 + 3_000_000 + 37_500 + 120_000 + 9_000 + 20_000_000
        #expect(PriceList.cost(of: usage, at: price).raw == plain)
        let scaled = PriceList.cost(of: usage, at: price, multipliers: Multiplier(12_500), Multiplier(20_000))
        #expect(scaled.raw == plain * 5 / 2)
    }

    /// 2 USD for text in, 10 for text out.
    private func media(input: ModelPrice.Media = .init(), output: ModelPrice.Media = .init()) -> ModelPrice {
        ModelPrice(
            model: "m",
            match: .exact,
            revision: 1,
            input: .init(2_000_000_000),
            output: .init(10_000_000_000),
            inputMedia: input,
            outputMedia: output
        )
    }

    @Test("images and sound cost their own price where they have one, and are no text then")
    func mediaPrices() {
        let usage = TokenUsage(
            input: 1000,
            output: 100,
            inputMedia: .init(image: 200, audio: 300),
            outputMedia: .init(image: 40, audio: 10)
        )
        func cost(_ price: ModelPrice) -> Int64 { PriceList.cost(of: usage, at: price).raw }
        #expect(cost(media()) == 1000 * 2000 + 100 * 10_000)
        let priced = media(
            input: .init(image: .init(5_000_000_000), audio: .init(32_000_000_000)),
            output: .init(image: .init(30_000_000_000), audio: .init(64_000_000_000))
        )
        let input: Int64 = 500 * 2000 + 200 * 5000 + 300 * 32_000
        #expect(cost(priced) == input + 50 * 10_000 + 40 * 30_000 + 10 * 64_000)
        let audioOnly = media(input: .init(audio: .init(32_000_000_000)), output: .init(image: .init(0)))
        #expect(cost(audioOnly) == 700 * 2000 + 300 * 32_000 + 60 * 10_000)
    }

    @Test("a class without a price of its own is rounded together with its text")
    func mediaRounding() {
        let price = self.price("m", .exact, input: 500_000)
        let usage = TokenUsage(input: 3, inputMedia: .init(image: 1, audio: 1))
        #expect(PriceList.cost(of: usage, at: price).raw == 2)
    }

    @Test("parts that an upstream reports greater than their whole are billed as the whole at most")
    func impossibleMedia() {
        let price = media(input: .init(image: .init(1_000_000), audio: .init(1_000_000)))
        let usage = TokenUsage(input: 10, inputMedia: .init(image: 8, audio: 900))
        #expect(PriceList.cost(of: usage, at: price).raw == 10)
        let negative = TokenUsage(input: 10, inputMedia: .init(image: -5, audio: .min))
        #expect(PriceList.cost(of: negative, at: price).raw == 20_000)
    }

    @Test("a call can have a price of its own, which multipliers apply to")
    func request() {
        let price = ModelPrice(model: "m", match: .exact, revision: 1, request: NanoUSD(30_000_000))
        let usage = TokenUsage(input: 5)
        #expect(PriceList.cost(of: usage, at: price).raw == 30_000_000)
        #expect(PriceList.cost(of: usage, at: price, multipliers: Multiplier(5000)).raw == 15_000_000)
    }

    @Test(
        "a half nano-USD goes to the even neighbour, once a class",
        arguments: [(1, 500_000, 0), (1, 1_500_000, 2), (1, 2_500_000, 2), (1, 500_001, 1), (3, 500_000, 2)]
            as [(Int64, Int64, Int64)]
    )
    func rounding(tokens: Int64, rate: Int64, expected: Int64) {
        let cost = PriceList.cost(of: TokenUsage(input: tokens), at: price("m", .exact, input: rate))
        #expect(cost.raw == expected)
    }

    @Test(
        "absurd counts reach the ceiling instead of overflowing",
        arguments: [
            (Multiplier.one, Multiplier.one), (Multiplier(10_000_000), Multiplier.one),
            (Multiplier(10_000_000), Multiplier(10_000_000)),
        ]
    )
    func ceiling(group: Multiplier, account: Multiplier) {
        let dear = ModelPrice(
            model: "m",
            match: .exact,
            revision: 1,
            input: PricePerMillion(.max),
            output: PricePerMillion(.max),
            webSearch: NanoUSD(.max)
        )
        for count in [1_000_000_000_000, Int64.max] {
            let usage = TokenUsage(input: count, output: count, webSearches: count)
            #expect(PriceList.cost(of: usage, at: dear, multipliers: group, account) == NanoUSD.maximum)
        }
    }
}
