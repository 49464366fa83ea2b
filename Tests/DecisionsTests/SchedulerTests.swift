import Decisions
import Domain
import Testing

@Suite("Which account comes first")
struct SchedulerTests {
    private struct Known {
        var id: Int64
        var priority = 50
        var concurrency = 10
        var inFlight = 0
        var lastUsed: UInt64 = 0
        var blockedUntil: Int64 = 0
        var usableUntil = Int64.max
    }

    private func best(
        _ known: [Known],
        excluding: Set<Int64> = [],
        now: Int64 = 1000,
        chance: UInt64 = 1
    ) -> Int64? {
        let sorted = known.sorted { $0.priority < $1.priority }
        let accounts = sorted.enumerated().map {
            ScheduledAccount(
                id: AccountID($1.id),
                priority: $1.priority,
                state: $0,
                usableUntil: $1.usableUntil
            )
        }
        let states = sorted.map { known in
            var state = AccountState()
            state.note(inFlight: known.inFlight, limit: known.concurrency)
            state.lastUsed = known.lastUsed
            state.blockedUntil = known.blockedUntil
            return state
        }
        return Scheduler.best(
            accounts,
            states,
            now: now,
            chance: chance,
            excluding: { excluding.contains(accounts[$0].id.raw) }
        ).map { accounts[$0].id.raw }
    }

    @Test("a smaller priority number wins over any load")
    func priority() {
        #expect(best([Known(id: 1, priority: 2), Known(id: 2, priority: 1, inFlight: 9)]) == 2)
    }

    @Test("among equals in priority the smaller share of its concurrency in use wins")
    func load() {
        #expect(best([Known(id: 1, concurrency: 2, inFlight: 1), Known(id: 2, concurrency: 100, inFlight: 40)]) == 2)
    }

    @Test("an account without a limit is idle next to those that have one, and among its like the fewer calls win")
    func withoutLimit() {
        #expect(best([Known(id: 1, inFlight: 1), Known(id: 2, concurrency: 0, inFlight: 500)]) == 2)
        #expect(best([Known(id: 1, inFlight: 0), Known(id: 2, concurrency: 0, inFlight: 1)]) == 1)
        #expect(best([Known(id: 1, concurrency: 0, inFlight: 7), Known(id: 2, concurrency: 0, inFlight: 6)]) == 2)
    }

    @Test("among equals in load the one used longest ago wins")
    func leastRecentlyUsed() {
        #expect(best([Known(id: 1, lastUsed: 9), Known(id: 2, lastUsed: 3), Known(id: 3, lastUsed: 7)]) == 2)
    }

    @Test("excluded accounts are never chosen, and nobody is when all are")
    func excluded() {
        #expect(best([Known(id: 1), Known(id: 2, priority: 99)], excluding: [1]) == 2)
        #expect(best([Known(id: 1)], excluding: [1]) == nil)
        #expect(best([]) == nil)
    }

    @Test("an account is blocked until its time has come, and gone once its own end has")
    func times() {
        #expect(best([Known(id: 1, blockedUntil: 1001), Known(id: 2, priority: 99)]) == 2)
        #expect(best([Known(id: 1, blockedUntil: 1000), Known(id: 2, priority: 99)]) == 1)
        #expect(best([Known(id: 1, usableUntil: 1000), Known(id: 2, priority: 99)]) == 2)
        #expect(best([Known(id: 1, usableUntil: 1001), Known(id: 2, priority: 99)]) == 1)
    }

    @Test("chance spreads calls evenly over equals")
    func spread() {
        let accounts = (1...4).map { Known(id: $0) }
        var counts: [Int64: Int] = [:]
        for chance in 0..<8000 {
            counts[best(accounts, chance: UInt64(chance) &* 0x2545_f491_4f6c_dd1d) ?? 0, default: 0] += 1
        }
        #expect(counts.keys.sorted() == [1, 2, 3, 4])
        #expect(counts.values.allSatisfy { (1600...2400).contains($0) })
    }
}
