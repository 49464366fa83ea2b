import Domain
import Testing

@Suite("Money is exact")
struct MoneyTests {
    @Test(
        "decimal text becomes nano-USD and back",
        arguments: [
            ("0", 0), ("1", 1_000_000_000), ("12.5", 12_500_000_000), ("0.000000001", 1), ("-3.25", -3_250_000_000),
            ("9000000", 9_000_000_000_000_000),
        ] as [(String, Int64)]
    )
    func roundTrip(text: String, raw: Int64) {
        #expect(NanoUSD(decimal: text)?.raw == raw)
        #expect(NanoUSD(raw).description == text)
    }

    @Test("zeros beyond the last place are accepted, digits are not")
    func places() {
        #expect(NanoUSD(decimal: "1.5000000000")?.raw == 1_500_000_000)
        #expect(NanoUSD(decimal: "0.0000000001") == nil)
        #expect(Multiplier(decimal: "1.25")?.raw == 12_500)
        #expect(Multiplier(decimal: "1.25001") == nil)
    }

    @Test(
        "what is no decimal number, or too large, is refused",
        arguments: ["", "-", ".5", "5.", "1e3", "NaN", "1,5", " 1", "0x1", "9000000.000000001", "99999999999999999999"]
    )
    func refused(text: String) { #expect(NanoUSD(decimal: text) == nil) }

    @Test("sums saturate instead of trapping")
    func saturates() {
        #expect(NanoUSD(.max) + NanoUSD(1) == NanoUSD(.max))
        #expect(NanoUSD(.min) - NanoUSD(1) == NanoUSD(.min))
    }

    @Test("a user's partition is its id modulo 64, for every id")
    func partitions() {
        #expect(Partition(of: UserID(65)).number == 1)
        #expect(Partition(of: UserID(.min)).number < 64)
        #expect(Partition(64) == nil)
        #expect(Partition.all.count == 64)
    }
}
