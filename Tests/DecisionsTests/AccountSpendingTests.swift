import Decisions
import Domain
import Testing

@Suite("Account quotas")
struct AccountSpendingTests {
    private static let day: Int64 = 86_400_000

    private static func used(_ spending: AccountSpending, _ time: Int64) -> [Int64] {
        AccountQuota.Kind.allCases.map { spending.used($0, at: Timestamp(microseconds: time * 1000)).raw }
    }

    @Test("a period begins with its first use, ends by itself, and reads as unused from then on")
    func periods() {
        let start: Int64 = 1_000_000
        var spending = AccountSpending()
        #expect(Self.used(spending, start) == [0, 0, 0])
        spending.add([(start, NanoUSD(5))])
        spending.add([(start + Self.day - 1, NanoUSD(7))])
        #expect(Self.used(spending, start + Self.day - 1) == [12, 12, 12])
        #expect(Self.used(spending, start + Self.day) == [0, 12, 12])
        #expect(Self.used(spending, start + 7 * Self.day) == [0, 0, 12])
        // The next one begins with use, not with the end of the one before.
        spending.add([(start + 3 * Self.day + 9, NanoUSD(1))])
        #expect(spending.daily.start == start + 3 * Self.day + 9)
        #expect(Self.used(spending, start + 4 * Self.day + 8) == [1, 13, 13])
        #expect(Self.used(spending, start + 4 * Self.day + 9) == [0, 13, 13])
    }

    @Test("calls that are counted late count in the period in which they ended")
    func late() {
        let start: Int64 = 1_000_000
        var spending = AccountSpending()
        spending.add([(start + 10, NanoUSD(1))])
        spending.add([(start, NanoUSD(2))])
        #expect(spending.daily.start == start && Self.used(spending, start + 10) == [3, 3, 3])
        spending.add([(start + Self.day + 5, NanoUSD(4))])
        // It ended in the day before, which is over.
        spending.add([(start + Self.day - 1, NanoUSD(8))])
        #expect(Self.used(spending, start + Self.day + 5) == [4, 15, 15])
    }

    @Test("a reset ends all three, and what ended before it does not count any more")
    func reset() {
        var spending = AccountSpending()
        spending.add([(1000, NanoUSD(5))])
        spending.reset(at: Timestamp(microseconds: 2_000_000))
        #expect(Self.used(spending, 2000) == [0, 0, 0])
        for kind in AccountQuota.Kind.allCases { #expect(spending[kind].start == nil) }
        spending.add([(1999, NanoUSD(7)), (2001, NanoUSD(9))])
        #expect(Self.used(spending, 2001) == [9, 9, 9])
        #expect(spending.daily.start == 2001 && spending.total.start == 2001)
    }

    @Test("what is taken back comes off the period that it was counted in, and no other")
    func takenBack() {
        var spending = AccountSpending()
        spending.add([(1000, NanoUSD(5)), (1001, NanoUSD(6))])
        spending.add([(1000, NanoUSD(-5)), (1002, NanoUSD(8))])
        #expect(Self.used(spending, 1002) == [14, 14, 14])
        spending.add([(1000 + Self.day, NanoUSD(1))])
        spending.add([(1001, NanoUSD(-6))])
        #expect(Self.used(spending, 1000 + Self.day) == [1, 9, 9])
        spending.reset(at: Timestamp(microseconds: (2000 + Self.day) * 1000))
        spending.add([(3000 + Self.day, NanoUSD(-6))])
        #expect(Self.used(spending, 3000 + Self.day) == [0, 0, 0])
    }

    @Test("it says what a slow count of all calls says", arguments: 0..<40)
    func oracle(seed: UInt64) {
        var random = seed &* 0x9e37_79b9_7f4a_7c15 &+ 1
        func next(_ bound: Int64) -> Int64 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int64(random >> 33) % bound
        }
        var time: Int64 = 1_700_000_000_000
        let calls = (0..<60).map { _ -> (time: Int64, cost: NanoUSD) in
            time += next(3) == 0 ? next(3 * Self.day) : next(3_600_000)
            return (time, NanoUSD(next(1000) + 1))
        }
        var spending = AccountSpending()
        var rest = calls[...]
        while !rest.isEmpty {
            let count = Int(next(5)) + 1
            // Within a batch calls come in any order.
            spending.add(Array(rest.prefix(count).reversed()))
            rest = rest.dropFirst(count)
        }
        for (kind, length) in [(AccountQuota.Kind.daily, Self.day), (.weekly, 7 * Self.day)] {
            var start = calls[0].time
            var sum: Int64 = 0
            for call in calls {
                if call.time >= start + length { (start, sum) = (call.time, 0) }
                sum += call.cost.raw
            }
            #expect(spending[kind].start == start)
            #expect(spending.used(kind, at: Timestamp(microseconds: (start + length - 1) * 1000)).raw == sum)
            #expect(spending.used(kind, at: Timestamp(microseconds: (start + length) * 1000)) == .zero)
        }
        #expect(spending.total.used.raw == calls.reduce(0) { $0 + $1.cost.raw })
    }
}
