import Domain
import HTTPFetching
import HTTPMessages
import Reactor
import Redis
import Snapshots
import Synchronization
import Telemetry
import TestSupport
import Testing

@testable import GatewayKit

private let account = AccountID(1)
private let slots = RedisNames.slots(of: account)

/// Asks an account for slots as a worker does.
private struct Desk {
    let stand: Stand

    func acquire(_ id: String, limit: Int = 1, bound: Int? = nil, since: Int64? = nil) async throws -> SlotAnswer {
        var ticket = bound.map { WaitTicket(bound: $0) }
        ticket?.since = since
        let (bound, since) = WaitTicket.texts(ticket)
        let answer = try await stand.redis.run(
            AccountScripts.acquire,
            keys: [slots],
            arguments: ["\(limit)", "30000", id, "model_limited:m", "0", "", bound, since]
        )
        return try #require(SlotAnswer(answer))
    }

    /// Since when it waits; nil when it need not.
    func place(_ id: String, limit: Int = 1, bound: Int = 100, since: Int64? = nil) async throws -> WaitPlace? {
        if case .full(_, let place) = try await acquire(id, limit: limit, bound: bound, since: since) { return place }
        return nil
    }

    func since(_ id: String, limit: Int = 1, since: Int64? = nil) async throws -> Int64 {
        let place = try await place(id, limit: limit, since: since)
        guard case .since(let since) = place else { throw NotWaiting() }
        return since
    }

    func release(_ id: String) async throws {
        _ = try await stand.redis.run(CallScripts.release, keys: [slots], arguments: [id])
    }

    func leave(_ id: String) async throws {
        _ = try await stand.redis.run(WaitLine.leave, keys: [slots], arguments: [id])
    }

    /// Keeps a ticket, however long a busy machine lets pass before it is asked for again.
    func keep(_ id: String) async throws {
        try await stand.run("ZADD", slots + ":alive", "99999999999999", id)
    }

    func count(_ suffix: String) async throws -> Int64 { try await stand.count("ZCARD", slots + suffix) }
}

private struct NotWaiting: Error {}

@Suite("Lines of waiting calls", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct WaitLineTests {
    @Test("who came first goes first, and who has no ticket goes behind all that have")
    func order() async throws {
        try await standing { (stand) async throws in
            let desk = Desk(stand: stand)
            #expect(try await desk.place("r1") == nil)
            let second = try await desk.since("r2")
            let third = try await desk.since("r3")
            #expect(third > second)
            #expect(try await desk.since("r2", since: second) == second)
            try await desk.release("r1")
            if case .full(_, let place) = try await desk.acquire("r4") {
                #expect(place == nil)
            } else {
                throw NotWaiting()
            }
            #expect(try await desk.since("r3", since: third) == third)
            #expect(try await desk.place("r2", since: second) == nil)
            #expect(try await desk.since("r3", since: third) == third)
            #expect(try await desk.count(":line") == 1)
            try await desk.release("r2")
            #expect(try await desk.place("r3", since: third) == nil)
            for suffix in [":line", ":alive"] { #expect(try await desk.count(suffix) == 0) }
        }
    }

    @Test("as many go as slots are free")
    func many() async throws {
        try await standing { (stand) async throws in
            let desk = Desk(stand: stand)
            for id in ["a", "b"] { #expect(try await desk.place(id, limit: 2) == nil) }
            let first = try await desk.since("c", limit: 2)
            let second = try await desk.since("d", limit: 2)
            let third = try await desk.since("e", limit: 2)
            try await desk.release("a")
            try await desk.release("b")
            #expect(try await desk.place("d", limit: 2, since: second) == nil)
            #expect(try await desk.since("e", limit: 2, since: third) == third)
            #expect(try await desk.place("c", limit: 2, since: first) == nil)
        }
    }

    @Test("a line has so many places, and who finds none gets no ticket")
    func bounded() async throws {
        try await standing { (stand) async throws in
            let desk = Desk(stand: stand)
            _ = try await desk.place("r1")
            #expect(try await desk.place("r2", bound: 0) == WaitPlace.none(isCrowded: true))
            let since = try await desk.since("r2")
            #expect(try await desk.place("r3", bound: 1) == WaitPlace.none(isCrowded: true))
            #expect(try await desk.place("r2", bound: 1, since: since) == .since(since))
            #expect(try await desk.count(":line") == 1)
        }
    }

    @Test("the ticket of a killed worker ends with its lease, and holds up nobody after that")
    func dead() async throws {
        try await standing { (stand) async throws in
            let desk = Desk(stand: stand)
            _ = try await desk.place("r1")
            _ = try await desk.since("r2")
            let third = try await desk.since("r3")
            try await desk.release("r1")
            #expect(try await desk.since("r3", since: third) == third)
            let lease = try await stand.run("ZSCORE", slots + ":alive", "r2").integer ?? 0
            let now = WallClock.microseconds / 1000
            #expect((now - 5000...now + 3100).contains(lease))
            try await stand.run("ZADD", slots + ":alive", "1", "r2")
            #expect(try await desk.place("r3", since: third) == nil)
            // The next one that waits sweeps it away.
            _ = try await desk.since("r4")
            #expect(try await desk.count(":line") == 1)
            #expect(try await desk.count(":alive") == 1)
        }
    }

    @Test("a ticket given back lets the next one go")
    func leaves() async throws {
        try await standing { (stand) async throws in
            let desk = Desk(stand: stand)
            _ = try await desk.place("r1")
            _ = try await desk.since("r2")
            let third = try await desk.since("r3")
            try await desk.release("r1")
            try await desk.leave("r2")
            try await desk.leave("never there")
            #expect(try await desk.place("r3", since: third) == nil)
        }
    }

    @Test("whatever workers do, an account is never over its limit and nobody overtakes")
    func model() async throws {
        try await standing { (stand) async throws in
            let desk = Desk(stand: stand)
            var random = SeededGenerator(seed: 21)
            let limit = 3
            var holding: [String] = []
            var waiting: [String: Int64] = [:]
            for number in 0..<1500 {
                switch random.below(5) {
                case 0, 1:
                    let id = "n\(number)"
                    switch try await desk.acquire(id, limit: limit, bound: 20) {
                    case .granted:
                        #expect(waiting.count < limit - holding.count)
                        holding.append(id)
                    case .full(_, .since(let since)):
                        waiting[id] = since
                        try await desk.keep(id)
                    case .full: #expect(waiting.count == 20)
                    default: throw NotWaiting()
                    }
                case 2:
                    guard let (id, since) = waiting.randomElement(using: &random) else { continue }
                    let ahead = waiting.values.count { $0 < since }
                    let place = try await desk.place(id, limit: limit, since: since)
                    #expect((place == nil) == (ahead < limit - holding.count))
                    if place == nil {
                        waiting[id] = nil
                        holding.append(id)
                    } else {
                        try await desk.keep(id)
                    }
                case 3:
                    guard !holding.isEmpty else { continue }
                    try await desk.release(holding.remove(at: random.below(holding.count)))
                default:
                    guard random.below(4) == 0, let (id, _) = waiting.randomElement(using: &random) else { continue }
                    try await desk.leave(id)
                    waiting[id] = nil
                }
                #expect(holding.count <= limit)
                let held = try await desk.count("")
                #expect(held == holding.count)
            }
        }
    }
}

@Suite(
    "Calls that wait for an account",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct AccountWaitTests {
    private static func options(settings: [String: Int64] = [:], accounts: Int = 1) -> Stand.Options {
        var options = Stand.Options()
        options.concurrency = 1
        options.accounts = accounts
        options.settings = settings
        return options
    }

    @Test("all are served one after the other, as they came, and leave nothing behind")
    func served() async throws {
        try await standing(Self.options()) { (stand) async throws in
            let upstream = stand.upstream
            upstream.script = nil
            for number in 0..<6 {
                stand.loop.spawn { _ = try? await stand.ask("claude-\(number)").text() }
                if number == 0 {
                    _ = try await upstream.call(0)
                }
                // In line before the next one comes.
                let waiting = Int64(number)
                try await stand.until { try await stand.count("ZCARD", slots + ":line") == waiting }
            }
            #expect(stand.context.waitMetrics.waiting(.account) == 5)
            #expect(try await stand.count("ZCARD", slots) == 1)
            for number in 0..<6 {
                let call = try await upstream.call(number)
                #expect(call.text.contains("claude-\(number)"))
                #expect(upstream.calls.count == number + 1)
                call.answer(200, Says.message())
            }
            try await stand.quiesce()
            #expect(stand.context.waitMetrics.count(.account, .served) == 5)
            #expect(stand.context.waitMetrics.waiting(.account) == 0)
            for suffix in ["", ":line", ":alive"] { #expect(try await stand.count("ZCARD", slots + suffix) == 0) }
        }
    }

    @Test("beyond the line's length a call is refused at once")
    func crowded() async throws {
        try await standing(Self.options(settings: ["queue_limit": 1])) { (stand) async throws in
            stand.loop.spawn { _ = try? await stand.ask() }
            let first = try await stand.upstream.call(0)
            stand.loop.spawn { _ = try? await stand.ask().text() }
            await stand.loop.wait { stand.context.waitMetrics.waiting(.account) == 1 }
            try await stand.until { try await stand.count("ZCARD", slots + ":line") == 1 }
            let refused = try await stand.ask()
            #expect(refused.head.status == 429 && refused.head.headers["x-tollgate-code"] == "concurrency_limit")
            // The other one waits still.
            #expect(stand.context.waitMetrics.waiting(.account) == 1)
            #expect(stand.context.waitMetrics.count(.account, .crowded) == 1)
            first.answer(200, Says.message())
            try await stand.upstream.call(1).answer(200, Says.message())
            try await stand.quiesce()
        }
    }

    @Test("after the time for waiting a call is refused, and its ticket is gone")
    func timeout() async throws {
        try await standing(Self.options(settings: ["queue_wait_seconds": 1], accounts: 2)) { (stand) async throws in
            for _ in 0..<2 { stand.loop.spawn { _ = try? await stand.ask() } }
            let calls = [try await stand.upstreams[0].call(0), try await stand.upstreams[1].call(0)]
            let start = MonotonicTime.now
            let refused = try await stand.ask()
            #expect(refused.head.status == 429 && refused.head.headers["retry-after"] != nil)
            #expect(start.elapsed >= .seconds(1))
            #expect(stand.context.waitMetrics.count(.account, .timeout) == 1)
            try await stand.until { try await stand.count("ZCARD", slots + ":line") == 0 }
            for call in calls { call.answer(200, Says.message()) }
            try await stand.quiesce()
        }
    }

    @Test("a caller that leaves gives its ticket back")
    func gone() async throws {
        try await standing(Self.options()) { (stand) async throws in
            stand.loop.spawn { _ = try? await stand.ask() }
            let first = try await stand.upstream.call(0)
            let canceller = FetchCanceller()
            stand.loop.spawn {
                _ = try? await stand.caller.send(stand.request(body: Array(Stand.body().utf8)), canceller: canceller)
            }
            await stand.loop.wait { stand.context.waitMetrics.waiting(.account) == 1 }
            try await stand.until { try await stand.count("ZCARD", slots + ":line") == 1 }
            canceller.cancel()
            await stand.loop.wait { stand.context.waitMetrics.waiting(.account) == 0 }
            try await stand.until { try await stand.count("ZCARD", slots + ":line") == 0 }
            #expect(stand.context.waitMetrics.count(.account, .gone) == 1)
            first.answer(200, Says.message())
            try await stand.quiesce()
            #expect(stand.upstream.calls.count == 1)
        }
    }
}

@Suite(
    "Calls that wait for their caller's",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct CallerWaitTests {
    private static func options(_ user: Int, _ key: Int, settings: [String: Int64] = [:]) -> Stand.Options {
        var options = Stand.Options()
        options.slotLimits = (user, key)
        options.settings = settings
        return options
    }

    @Test(
        "beyond a user's or a key's calls at once, the others go one by one as they came",
        arguments: [(1, 0), (0, 1), (3, 1)]
    )
    func served(user: Int, key: Int) async throws {
        try await standing(Self.options(user, key)) { (stand) async throws in
            let line =
                key > 0 ? RedisNames.slots(of: stand.key.id, stand.partition) : RedisNames.slots(of: stand.key.user)
            for number in 0..<6 {
                stand.loop.spawn { _ = try? await stand.ask("claude-\(number)").text() }
                let waiting = Int64(number)
                if number == 0 { _ = try await stand.upstream.call(0) }
                try await stand.until { try await stand.count("ZCARD", line + ":line") == waiting }
            }
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 1)
            #expect(stand.context.waitMetrics.waiting(.caller) == 5)
            for number in 0..<6 {
                let call = try await stand.upstream.call(number)
                #expect(call.text.contains("claude-\(number)"))
                #expect(stand.upstream.calls.count == number + 1)
                call.answer(200, Says.message())
            }
            try await stand.quiesce()
            #expect(stand.context.waitMetrics.count(.caller, .served) == 5)
            #expect(stand.context.waitMetrics.waiting(.caller) == 0)
            for suffix in ["", ":line", ":alive"] { #expect(try await stand.count("ZCARD", line + suffix) == 0) }
        }
    }

    @Test("who finds no place in the line, or waits for too long, is refused")
    func refused() async throws {
        let settings: [String: Int64] = ["queue_limit": 1, "queue_wait_seconds": 8]
        try await standing(Self.options(1, 0, settings: settings)) { (stand) async throws in
            stand.loop.spawn { _ = try? await stand.ask() }
            let first = try await stand.upstream.call(0)
            let line = RedisNames.slots(of: stand.key.user) + ":line"
            let late = Answer()
            stand.loop.spawn { late.status = try? await stand.ask().head.status }
            try await stand.until { try await stand.count("ZCARD", line) == 1 }
            let refused = try await stand.ask()
            #expect(refused.head.status == 429 && refused.head.headers["x-tollgate-code"] == "concurrency_limit")
            #expect(refused.head.headers["retry-after"] != nil && late.status == nil)
            await stand.loop.wait { late.status != nil }
            #expect(late.status == 429)
            try await stand.until { try await stand.count("ZCARD", line) == 0 }
            #expect(stand.context.waitMetrics.count(.caller, .crowded) == 1)
            #expect(stand.context.waitMetrics.count(.caller, .timeout) == 1)
            first.answer(200, Says.message())
            try await stand.quiesce()
            #expect(stand.upstream.calls.count == 1)
        }
    }

    @Test("a caller that leaves gives its ticket back and reserves nothing")
    func gone() async throws {
        try await standing(Self.options(0, 1)) { (stand) async throws in
            stand.loop.spawn { _ = try? await stand.ask() }
            let first = try await stand.upstream.call(0)
            let line = RedisNames.slots(of: stand.key.id, stand.partition) + ":line"
            let canceller = FetchCanceller()
            stand.loop.spawn {
                _ = try? await stand.caller.send(stand.request(body: Array(Stand.body().utf8)), canceller: canceller)
            }
            try await stand.until { try await stand.count("ZCARD", line) == 1 }
            canceller.cancel()
            try await stand.until { try await stand.count("ZCARD", line) == 0 }
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 1)
            first.answer(200, Says.message())
            try await stand.quiesce()
            #expect(stand.context.waitMetrics.count(.caller, .gone) == 1)
        }
    }

    private final class Answer { var status: Int? }
}

@Suite("The calls of a loop that wait")
struct WaitRoomTests {
    private final class Woken { var order: [Int] = [] }

    @Test("who came first is woken first, one for each slot, however often it has asked meanwhile")
    func order() async throws {
        try await onLoop { loop in
            // Nobody asks by itself before it is woken.
            let room = try Self.room(loop, poll: .seconds(30))
            let woken = Woken()
            let guests = (0..<4).map { _ in room.enter(.account) }
            // The first one falls asleep last.
            for number in [1, 2, 3, 0] {
                loop.spawn {
                    if await room.sleep(guests[number], on: ["a", "b\(number)"], atMost: .seconds(30), nil) == .woken {
                        woken.order.append(number)
                    }
                }
                await loop.sleep(.milliseconds(1))
            }
            room.wake("none")
            room.wake("b2")
            await loop.wait { woken.order.count == 1 }
            for count in 2...4 {
                room.wake("a")
                await loop.wait { woken.order.count == count }
            }
            #expect(woken.order == [2, 0, 1, 3])
            room.wake("a")
        }
    }

    @Test("without a word each asks again after about half a second, and at its limit")
    func poll() async throws {
        try await onLoop { loop in
            let room = try Self.room(loop)
            let guest = room.enter(.account)
            let start = MonotonicTime.now
            #expect(await room.sleep(guest, on: ["a"], atMost: .seconds(30), nil) == .over)
            #expect((.milliseconds(350) ... .seconds(10)).contains(start.elapsed))
            // On a busy machine one of some is in time.
            var times: [Duration] = []
            while times.count < 10, !times.contains(where: { $0 < .milliseconds(300) }) {
                let start = MonotonicTime.now
                #expect(await room.sleep(guest, on: ["a"], atMost: .milliseconds(20), nil) == .over)
                times.append(start.elapsed)
            }
            #expect(times.contains { $0 < .milliseconds(300) })
            #expect(await room.sleep(guest, on: ["a"], atMost: .zero, nil) == .over)
        }
    }

    private static func room(_ loop: EventLoop, poll: Duration = WaitRoom.poll) throws -> WaitRoom {
        let redis = RedisClient(loop, try #require(RedisConfiguration(url: "redis://127.0.0.1:1")))
        return WaitRoom(loop, redis, WaitMetrics(MetricsRegistry()), poll: poll)
    }
}

/// What the threads of a storm count together.
private final class Storm: Sendable {
    let inFlight = Atomic<Int>(0)
    let highest = Atomic<Int>(0)
    let served = Atomic<Int>(0)
    /// Since when each call had waited that was served, in the order in which they were.
    let order = Mutex<[Int64]>([])

    func begin(_ since: Int64?) {
        let now = inFlight.add(1, ordering: .sequentiallyConsistent).newValue
        var known = highest.load(ordering: .relaxed)
        while now > known {
            (_, known) = highest.compareExchange(expected: known, desired: now, ordering: .relaxed)
        }
        if let since { order.withLock { $0.append(since) } }
    }

    func end() {
        inFlight.subtract(1, ordering: .sequentiallyConsistent)
        served.add(1, ordering: .relaxed)
    }
}

@Suite("A storm on one account", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct WaitStormTests {
    private static let limit = 3
    private static let callers = 12
    private static let rounds = 12

    @Test("four loops with connections of their own never exceed its concurrency, and serve as calls came")
    func storm() async throws {
        let server = try await PrivateRedis.start()
        let storm = Storm()
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<4 {
                group.addTask {
                    try? await onLoop { loop in try await Self.work(loop, number, server.url, storm) }
                }
            }
        }
        #expect(storm.served.load(ordering: .relaxed) == 4 * Self.callers * Self.rounds)
        #expect(storm.highest.load(ordering: .relaxed) == Self.limit)
        let order = storm.order.withLock { $0 }
        #expect(order.count > 2 * Self.callers * Self.rounds)
        // Who is served before others that came earlier is one of those for whom there was a slot as well.
        for (index, since) in order.enumerated() {
            let overtaken = order[(index + 1)...].prefix(100).count { $0 < since }
            #expect(overtaken <= 2 * Self.limit)
        }
    }

    private static func work(_ loop: EventLoop, _ number: Int, _ url: String, _ storm: Storm) async throws {
        let configuration = try #require(RedisConfiguration(patientURL: url))
        let redis = RedisClient(loop, configuration)
        redis.start()
        #expect(await redis.waitUntilConnected(.seconds(60)))
        let room = WaitRoom(loop, redis, WaitMetrics(MetricsRegistry()))
        let subscription = RedisSubscription(loop, configuration, channels: [WaitLine.channel]) { _, message in
            room.wake(String(decoding: message, as: UTF8.self))
        }
        subscription.start()
        let account = SlotStore(redis).of(account)
        let done = Done()
        for caller in 0..<callers {
            loop.spawn {
                for round in 0..<rounds {
                    do {
                        try await call("\(number)-\(caller)-\(round)", account, room, loop, storm)
                    } catch {
                        Issue.record("\(error)")
                    }
                }
                done.count += 1
            }
        }
        while done.count < callers { await loop.sleep(.milliseconds(5)) }
        subscription.close()
        redis.close()
    }

    private static func call(
        _ id: String,
        _ account: AccountSlots,
        _ room: WaitRoom,
        _ loop: EventLoop,
        _ storm: Storm
    ) async throws {
        var ticket = WaitTicket(bound: 1000)
        let guest = room.enter(.account)
        while true {
            let now = Timestamp.now
            let answer = try await account.acquire(
                limit: limit,
                rate: 0,
                model: "m",
                requestID: id,
                ticket: ticket,
                now: now
            )
            switch answer {
            case .granted:
                storm.begin(ticket.since)
                room.exit(guest, .served)
                await loop.sleep(.milliseconds(Int.random(in: 0...3)))
                storm.end()
                return account.release(requestID: id)
            case .full(.since(let since)): ticket.since = since
            default: throw NotWaiting()
            }
            _ = await room.sleep(guest, on: [account.name], atMost: .seconds(30), nil)
        }
    }

    private final class Done { var count = 0 }
}
