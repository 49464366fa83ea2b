import Decisions
import Domain
import Testing

@Suite("Which account comes first")
struct SchedulerTests {
    private func account(
        _ id: Int64,
        priority: Int = 50,
        concurrency: Int = 10,
        inFlight: Int = 0,
        lastUsed: UInt64 = 0
    ) -> ScheduledAccount {
        ScheduledAccount(
            id: AccountID(id),
            priority: priority,
            concurrency: concurrency,
            inFlight: inFlight,
            lastUsed: lastUsed
        )
    }

    private func best(_ accounts: [ScheduledAccount], excluding: Set<Int64> = [], chance: UInt64 = 1) -> Int64? {
        Scheduler.best(accounts, excluding: { excluding.contains($0.raw) }, chance: chance).map { accounts[$0].id.raw }
    }

    @Test("a smaller priority number wins over any load")
    func priority() {
        #expect(best([account(1, priority: 2), account(2, priority: 1, inFlight: 9)]) == 2)
    }

    @Test("among equals in priority the smaller share of its concurrency in use wins")
    func load() {
        #expect(best([account(1, concurrency: 2, inFlight: 1), account(2, concurrency: 100, inFlight: 40)]) == 2)
    }

    @Test("among equals in load the one used longest ago wins")
    func leastRecentlyUsed() {
        #expect(best([account(1, lastUsed: 9), account(2, lastUsed: 3), account(3, lastUsed: 7)]) == 2)
    }

    @Test("excluded accounts are never chosen, and nobody is when all are")
    func excluded() {
        #expect(best([account(1), account(2, priority: 99)], excluding: [1]) == 2)
        #expect(best([account(1)], excluding: [1]) == nil)
        #expect(best([]) == nil)
    }

    @Test("chance spreads calls evenly over equals")
    func spread() {
        let accounts = (1...4).map { account($0) }
        var counts: [Int64: Int] = [:]
        for chance in 0..<8000 {
            counts[best(accounts, chance: UInt64(chance) &* 0x2545_f491_4f6c_dd1d) ?? 0, default: 0] += 1
        }
        #expect(counts.keys.sorted() == [1, 2, 3, 4])
        #expect(counts.values.allSatisfy { (1600...2400).contains($0) })
    }
}
