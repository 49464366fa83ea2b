import HTTPMessages
import Reactor
import TestSupport
import Testing

@testable import HTTPFetching

@Suite("Parts of the client")
struct PartsTests {
    private final class Item: Expiring {
        let name: Int
        var fire: (Item, MonotonicTime) -> MonotonicTime? = { _, _ in nil }
        init(_ name: Int) { self.name = name }
        override func deadlineDidPass(_ now: MonotonicTime) -> MonotonicTime? { fire(self, now) }
    }

    @Test("deadlines pass in order, none too early, removed ones not at all")
    func deadlines() async throws {
        try await onLoop { loop in
            let queue = DeadlineQueue(loop)
            let start = MonotonicTime.now
            var passed: [Int] = []
            var isTooEarly = false
            var random = SystemRandomNumberGenerator()
            let times = (0..<300).map { _ in Int64.random(in: 1...100, using: &random) }
            let items = times.indices.map { index in
                let item = Item(index)
                item.fire = { item, now in
                    passed.append(item.name)
                    if now < start + .milliseconds(times[item.name]) { isTooEarly = true }
                    return nil
                }
                return item
            }
            for item in items { queue.add(item, at: start + .milliseconds(times[item.name])) }
            for item in items where item.name % 3 == 0 { queue.remove(item) }
            await loop.wait { queue.count == 0 }
            #expect(passed.sorted() == items.indices.filter { $0 % 3 != 0 })
            #expect(passed.map { times[$0] } == passed.map { times[$0] }.sorted())
            #expect(!isTooEarly)
        }
    }

    /// One whose sender gave it up in the turn in which its head came.
    private static func givenUp(_ loop: EventLoop, hasEnded: Bool) async throws -> TimedExchange {
        let exchange = TimedExchange(FetchTimeouts(), DeadlineQueue(loop), now: .now)
        exchange.headDidCome(HTTPResponseHead(status: 400))
        Array("{}".utf8).withUnsafeBytes { exchange.deliver($0) }
        if hasEnded { exchange.end(nil) }
        exchange.cancelBySender()
        #expect(try await exchange.waitForHead().status == 400)
        return exchange
    }

    @Test("an answer that was given up has no body, whoever asks for it", arguments: [false, true])
    func givenUp(hasEnded: Bool) async throws {
        try await onLoop { loop in
            let first = try await Self.givenUp(loop, hasEnded: hasEnded)
            #expect(throws: FetchError.cancelled) { try first.collectIfEnded(limit: 10) }
            let second = try await Self.givenUp(loop, hasEnded: hasEnded)
            await #expect(throws: FetchError.cancelled) { try await second.collect(limit: 10, expected: 2) }
            let third = try await Self.givenUp(loop, hasEnded: hasEnded)
            var pieces = 0
            var ends: [FetchError?] = []
            third.read { _ in
                pieces += 1
            } onEnd: {
                ends.append($0)
            }
            #expect(pieces == 0 && ends == [.cancelled])
        }
    }

    @Test("a deadline moves forward at once, back when it passes, and things may leave while others pass")
    func moving() async throws {
        try await onLoop { loop in
            let queue = DeadlineQueue(loop)
            let start = MonotonicTime.now
            let later = Item(0)
            let sooner = Item(1)
            let leaving = Item(2)
            var passes = 0
            later.fire = { _, now in
                passes += 1
                queue.remove(leaving)
                return passes == 1 ? now + .milliseconds(30) : nil
            }
            leaving.fire = { _, _ in
                Issue.record("fired after removal")
                return nil
            }
            queue.add(later, at: start + .milliseconds(20))
            queue.add(leaving, at: start + .milliseconds(21))
            queue.add(sooner, at: start + .seconds(100))
            queue.add(sooner, at: start + .milliseconds(5))
            queue.add(sooner, at: start + .seconds(50))
            await loop.wait { queue.count == 1 }
            #expect(start.elapsed < .seconds(40))
            await loop.wait { queue.count == 0 }
            #expect(passes == 2)
            #expect(start.elapsed >= .milliseconds(50))
        }
    }

    @Test("a flood is told from a long life: so many at once, so many a second")
    func budget() {
        let start = MonotonicTime(nanoseconds: 1_000_000_000)
        func spend(_ count: Int, of budget: inout FloodBudget, after time: Duration) -> Bool {
            (0..<count).allSatisfy { _ in budget.spend(now: start + time) }
        }
        var budget = FloodBudget(capacity: 10, perSecond: 5, now: start)
        let first = spend(10, of: &budget, after: .zero)
        #expect(first)
        var flooded = budget
        let atOnce = spend(1, of: &flooded, after: .milliseconds(1))
        let soon = spend(1, of: &flooded, after: .milliseconds(150))
        #expect(!atOnce)
        #expect(!soon)
        let steady = (1...100).allSatisfy { spend(5, of: &budget, after: .seconds($0)) }
        #expect(steady)
        budget.earn()
        let earned = spend(1, of: &budget, after: .seconds(100))
        #expect(earned)
    }

    @Test(
        "the authority names the port unless it is the scheme's own",
        arguments: [
            (true, "a.example", 443, "a.example"), (true, "a.example", 80, "a.example:80"),
            (false, "a.example", 80, "a.example"), (false, "::1", 8080, "[::1]:8080"),
        ] as [(Bool, String, UInt16, String)]
    )
    func authority(isTLS: Bool, host: String, port: UInt16, text: String) {
        #expect(Endpoint(isTLS: isTLS, host: host, port: port).authority == text)
    }

    @Test("names are looked up, also by several at once, and the next address is tried when one refuses")
    func names() async throws {
        try await fetching { loop, client in
            let peer = try HTTP1Peer(loop) { link, _ in link.answer("ok") }
            defer { peer.close() }
            let endpoint = Endpoint(isTLS: false, host: "localhost", port: peer.address.port)
            let answers = (0..<3).map { _ in
                loop.start {
                    try await client.send(FetchRequest(to: endpoint, HTTPRequestHead(method: "GET", target: "/")))
                        .text()
                }
            }
            for answer in answers { #expect(try await answer.wait() == "ok") }
            let missing = Endpoint(isTLS: false, host: "does-not-exist.invalid", port: 80)
            let failure = await client.failure(
                of: FetchRequest(to: missing, HTTPRequestHead(method: "GET", target: "/"))
            )
            guard case .connect = failure else {
                Issue.record("ended with \(String(describing: failure))")
                return
            }
        }
    }
}
