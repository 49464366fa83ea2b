import Decisions
import Domain
import Testing

/// 4 USD in and 20 out, cached 0.4; beyond 200,000 tokens of input 8 and 30.
private let price = ModelPrice(
    model: "m",
    match: .exact,
    revision: 1,
    input: .init(4_000_000_000),
    output: .init(20_000_000_000),
    cacheWrite5m: .init(5_000_000_000),
    cacheWrite1h: .init(8_000_000_000),
    cacheRead: .init(400_000_000),
    webSearch: NanoUSD(10_000_000),
    longContexts: [
        .init(above: 272_000, .init(input: .init(12_000_000_000))),
        .init(above: 200_000, .init(input: .init(8_000_000_000), output: .init(30_000_000_000), cacheRead: .init(0))),
    ],
    tiers: [
        .flex: .init(input: .init(2_000_000_000), output: .init(10_000_000_000), cacheRead: .init(200_000_000)),
        .priority: .init(input: .init(10_000_000_000), output: .init(50_000_000_000)),
        .fast: .init(input: .init(8_000_000_000), output: .init(40_000_000_000), cacheRead: .init(800_000_000)),
        .us: .init(input: .init(4_400_000_000), output: .init(22_000_000_000), cacheWrite5m: .init(5_500_000_000)),
    ]
)

@Suite("Prices of long contexts and of service tiers")
struct PriceTierTests {
    private func cost(_ usage: TokenUsage) -> Int64 { PriceList.cost(of: usage, at: price).raw }

    @Test("a call costs the long context's prices as a whole when its input, cached or not, is beyond the bound")
    func longContext() {
        let at = TokenUsage(input: 100_000, output: 10, cacheWrite5m: 40_000, cacheWrite1h: 20_000, cacheRead: 40_000)
        #expect(at.allInput == 200_000)
        #expect(cost(at) == 400_000_000 + 200_000 + 200_000_000 + 160_000_000 + 16_000_000)
        var beyond = at
        beyond.cacheRead += 1
        // Classes without a price of their own there keep the usual one; a price of 0 is a price.
        #expect(cost(beyond) == 800_000_000 + 300_000 + 200_000_000 + 160_000_000 + 0)
        var further = at
        further.cacheRead += 72_001
        #expect(cost(further) == 1_200_000_000 + 200_000 + 200_000_000 + 160_000_000 + 44_800_400)
    }

    @Test(
        "a call costs the prices of the tier that served it; a class without one the usual price",
        arguments: [
            (ServiceTier.standard, Int64(11_400_000)), (ServiceTier.flex, Int64(8_200_000)),
            (ServiceTier.priority, Int64(20_400_000)), (ServiceTier.fast, Int64(17_800_000)),
            (ServiceTier.us, Int64(12_500_000)),
            // 8.8 in and 44 out, 5.5 and 0.8 for the cache.
            (ServiceTier.fastUS, Int64(19_500_000)),
        ]
    )
    func tier(tier: ServiceTier, expected: Int64) {
        let usage = TokenUsage(
            input: 1000,
            output: 100,
            cacheWrite5m: 1000,
            cacheRead: 1000,
            webSearches: 1,
            tier: tier
        )
        #expect(cost(usage) == expected + 10_000_000)
    }

    @Test("a version behind a name is no part of it; a name of its own and a prefix are as they stand")
    func versions() {
        func named(_ name: String, _ match: ModelPrice.Match, _ input: Int64) -> ModelPrice {
            ModelPrice(model: name, match: match, revision: 1, input: .init(input))
        }
        let list = PriceList([
            named("claude-haiku-4-5-20251001", .exact, 1), named("claude-haiku-", .prefix, 2), named("m-v1", .exact, 3),
        ])
        func price(_ model: String) -> Int64? { list.price(of: model)?.input.raw }
        #expect(price("claude-haiku-4-5-20251001-v1:0") == 1 && price("claude-haiku-4-5-20251001-v2") == 1)
        #expect(price("m-v1") == 3 && price("claude-haiku-v1") == 2)
        for name in ["claude-haiku-4-5-20251001-v", "claude-haiku-4-5-20251001-v1x", "claude-haiku-4-5-20251001v1"] {
            #expect(price(name) == 2)
        }
        for name in ["", "v", "-v", "-v1", "v1", "é-v1"] { #expect(price(name) == nil) }
    }

    @Test("within a tier a long context rises as it does outside")
    func both() {
        let applied = price.applied(input: 200_001, .flex)
        #expect(applied.input.raw == 4_000_000_000 && applied.output.raw == 15_000_000_000)
        #expect(applied.cacheRead.raw == 0 && applied.cacheWrite5m == price.cacheWrite5m)
        #expect(price.applied(input: 200_001, .fastUS).input.raw == 17_600_000_000)
        let free = ModelPrice(
            model: "m",
            match: .exact,
            revision: 1,
            longContexts: [.init(above: 1, .init(input: .init(3)))],
            tiers: [.flex: .init(input: .init(.max))]
        )
        #expect(free.applied(input: 2, .flex).input.raw == .max)
        #expect(free.applied(input: 1, .standard) == free)
    }

    @Test("a call reserves no more than its model can take and give, at the prices that it may come to")
    func reserved() {
        var small = price
        (small.maximumInput, small.maximumOutput) = (1000, 64)
        func amount(_ bytes: Int, _ tokens: Int64?, _ tier: ServiceTier = .standard, at price: ModelPrice) -> Int64 {
            ReservationSize(textBytes: bytes, answerTokens: tokens, tier: tier).amount(at: price).raw
        }
        // The dearest class of input is the cache write for an hour: 8 USD.
        #expect(amount(1 << 20, nil, at: small) == 8_000_000 + 64 * 20_000)
        #expect(amount(1 << 20, 1000, at: small) == 8_000_000 + 64 * 20_000)
        #expect(amount(18, 7, at: small) == 80_000 + 7 * 20_000)
        // Half a million tokens of input: beyond both bounds, 12 USD.
        #expect(amount(999_998, 1, at: price) == 500_000 * 12_000 + 20_000)
        #expect(amount(18, 1, .priority, at: price) == 100_000 + 50_000)
        #expect(amount(18, 1, .fastUS, at: price) == 88_000 + 44_000)
        // Flex may be refused and served as usual.
        #expect(amount(18, 1, .flex, at: price) == 80_000 + 20_000)
    }
}
