import Reactor
import Testing

@Suite("Back-off")
struct BackoffTests {
    @Test("steps double from the first to the longest, and chance shortens each by at most half")
    func doubles() {
        var shortest = Backoff(first: .milliseconds(50), longest: .seconds(2))
        var longest = shortest
        for step in [50, 100, 200, 400, 800, 1600, 2000, 2000] {
            #expect(shortest.next(chance: 0) == .milliseconds(step / 2))
            #expect(longest.next(chance: 0.5) == .microseconds(step * 750))
        }
        for _ in 0..<1000 { _ = longest.next(chance: 0) }
        #expect(longest.next(chance: 0) == .seconds(1))
    }

    @Test("a connection that lived starts the series over, one that broke at once does not")
    func startsOver() {
        var backoff = Backoff(first: .milliseconds(50), longest: .seconds(2), stable: .seconds(5))
        _ = backoff.next(chance: 0)
        backoff.connectionEnded(after: .seconds(1))
        #expect(backoff.next(chance: 0) == .milliseconds(50))
        backoff.connectionEnded(after: .seconds(5))
        #expect(backoff.next(chance: 0) == .milliseconds(25))
    }
}
