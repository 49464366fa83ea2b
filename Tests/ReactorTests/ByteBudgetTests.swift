import Reactor
import Testing

@Suite("Byte budgets")
struct ByteBudgetTests {
    @Test("a share takes while there is some left, and gives all back when it ends")
    func shares() {
        let budget = ByteBudget(limit: 100)
        func outcome() -> [Bool] {
            var first = ByteShare(of: budget)
            var second = ByteShare(of: budget)
            let taken = [first.take(60), second.take(40), second.take(1), first.take(0)]
            #expect(budget.used == 100)
            return taken
        }
        #expect(outcome() == [true, true, false, true])
        #expect(budget.used == 0)
    }

    @Test("a share is resized both ways; one that cannot grow keeps what it has")
    func resized() {
        let budget = ByteBudget(limit: 100)
        var share = ByteShare(of: budget)
        for (size, isThere) in [(10, true), (100, true), (101, false), (5, true), (0, true), (200, false)] {
            let done = share.resize(to: size)
            #expect(done == isThere)
        }
        #expect(budget.used == 0 && share.count == 0)
    }

    @Test("without a budget there is always enough")
    func unlimited() {
        var share = ByteShare(of: nil)
        let isThere = share.take(1 << 60)
        #expect(isThere)
    }
}
