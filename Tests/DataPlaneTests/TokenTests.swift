import Domain
import Formats
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

@testable import GatewayKit

@Suite(
    "Tokens of OAuth accounts",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct TokenTests {
    private static let account = AccountID(1)

    private static func options(accounts: Int = 1) -> Stand.Options {
        var options = Stand.Options()
        options.type = .oauth
        options.accounts = accounts
        return options
    }

    /// An entry whose token names its version, and ends so many seconds from now.
    private static func entry(
        _ stand: Stand,
        _ version: Int64,
        of account: AccountID = account,
        ends seconds: Int64? = nil
    )
        -> CredentialEntry
    {
        let sealed = stand.sealed(account, version: version, key: "v\(version)", extra: #","refresh_token":"rt""#)
        return CredentialEntry(
            account: account,
            version: version,
            expiresAt: seconds.map { Timestamp(microseconds: WallClock.microseconds + $0 * 1_000_000) },
            sealed: sealed.sealed
        )
    }

    private static func questions(_ stand: Stand) -> Int { stand.control.asked.count { $0.hasSuffix("/token") } }

    private static func isNew(_ call: UpstreamCall) -> Bool {
        call.exchange.request.headers["authorization"]?.contains("at-v2-") == true
    }

    private func together(_ count: Int, _ stand: Stand) async -> [Int] {
        var statuses: [Int] = []
        for _ in 0..<count {
            stand.loop.spawn {
                let status = try? await stand.ask().head.status
                statuses.append(status ?? 0)
            }
        }
        await stand.loop.wait { statuses.count == count }
        return statuses
    }

    @Test("many calls whose token is refused ask the control plane once, go on with the new one, and nothing is paused")
    func refused() async throws {
        try await standing(Self.options()) { (stand) async throws in
            try stand.credentials.accept(Self.entry(stand, 1))
            var refused = 0
            stand.upstream.script = { call in
                if Self.isNew(call) { return call.answer(200, Says.message()) }
                await stand.loop.wait { stand.upstream.calls.count >= 20 }
                call.answer(401, Says.failure("authentication_error", "expired"))
                refused += 1
            }
            stand.control.onToken = {
                await stand.loop.wait { refused == 20 }
                return (200, stand.codec.encode(Self.entry(stand, 2)))
            }
            #expect(await together(20, stand) == [Int](repeating: 200, count: 20))
            #expect(Self.questions(stand) == 1)
            #expect(stand.upstream.calls.count == 40)
            try await stand.quiesce()
            let marks = AccountMarks(try await stand.run("HGETALL", RedisNames.marks(of: Self.account)))
            #expect(marks.flags.filter { $0.isLive(Timestamp.now) } == [])
            #expect(marks.unauthorized == nil)
            #expect(try await stand.ask().head.status == 200)
        }
    }

    @Test("a token that is over is not sent: calls wait for the new one")
    func over() async throws {
        try await standing(Self.options()) { (stand) async throws in
            try stand.credentials.accept(Self.entry(stand, 1, ends: -5))
            stand.upstream.script = { $0.answer(Self.isNew($0) ? 200 : 401, Says.message()) }
            stand.control.onToken = { (200, stand.codec.encode(Self.entry(stand, 2, ends: 3600))) }
            #expect(await together(10, stand) == [Int](repeating: 200, count: 10))
            #expect(Self.questions(stand) == 1 && stand.upstream.calls.count == 10)
        }
    }

    @Test("a caller that leaves while a token is awaited holds nothing from then on", arguments: [false, true])
    func leaves(isRefused: Bool) async throws {
        try await standing(Self.options()) { (stand) async throws in
            try stand.credentials.accept(Self.entry(stand, 1, ends: isRefused ? nil : -5))
            stand.upstream.script = { $0.answer(401, Says.failure("authentication_error", "expired")) }
            let isOver = Promise<Void>()
            stand.control.onToken = {
                try? await isOver.wait()
                return (503, [])
            }
            let canceller = FetchCanceller()
            let request = stand.request(body: Array(Stand.body().utf8))
            let asked = stand.loop.start { try await stand.caller.send(request, canceller: canceller) }
            await stand.loop.wait { Self.questions(stand) == 1 && stand.upstream.calls.count == (isRefused ? 1 : 0) }
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: Self.account)) == 1)
            canceller.cancel()
            _ = try? await asked.wait()
            // The question is still open.
            try await stand.quiesce()
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: Self.account)) == 0)
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
            #expect(try await stand.records().isEmpty)
            isOver.succeed(())
        }
    }

    @Test("a token close to its end is used while a new one is being had")
    func closeToItsEnd() async throws {
        try await standing(Self.options()) { (stand) async throws in
            try stand.credentials.accept(Self.entry(stand, 1, ends: 30))
            stand.upstream.script = { $0.answer(200, Says.message()) }
            let isAnswered = Promise<Void>()
            stand.control.onToken = {
                try? await isAnswered.wait()
                return (200, stand.codec.encode(Self.entry(stand, 2, ends: 3600)))
            }
            #expect(try await stand.ask().head.status == 200)
            #expect(try await stand.ask().head.status == 200)
            #expect(!stand.upstream.calls.contains { Self.isNew($0) })
            isAnswered.succeed(())
            await stand.loop.wait { stand.credentials.version(of: Self.account) == 2 }
            #expect(try await stand.ask().head.status == 200)
            #expect(Self.questions(stand) == 1 && stand.upstream.calls.last.map { Self.isNew($0) } == true)
        }
    }

    @Test("with the control plane away a token serves as long as it works; then another account takes the call")
    func controlPlaneAway() async throws {
        try await standing(Self.options(accounts: 2)) { (stand) async throws in
            for upstream in stand.upstreams { upstream.script = { $0.answer(200, Says.message()) } }
            stand.control.onToken = { (503, []) }
            try stand.credentials.accept(Self.entry(stand, 1, ends: 30))
            try stand.credentials.accept(Self.entry(stand, 1, of: AccountID(2), ends: 3600))
            #expect(try await stand.ask().head.status == 200)
            #expect(stand.upstreams[0].calls.count == 1)
            try stand.credentials.accept(Self.entry(stand, 2, ends: -5))
            #expect(try await stand.ask().head.status == 200)
            #expect(stand.upstreams[0].calls.count == 1 && stand.upstreams[1].calls.count == 1)
            // Nobody else: told to come back.
            try stand.credentials.accept(Self.entry(stand, 2, of: AccountID(2), ends: -5))
            let refused = try await stand.ask()
            #expect(refused.head.status == 503 && refused.head.headers["retry-after"] != nil)
            // It is well again as soon as the control plane is back.
            stand.control.onToken = { (200, stand.codec.encode(Self.entry(stand, 3, ends: 3600))) }
            let start = MonotonicTime.now
            while try await stand.ask().head.status != 200 {
                try #require(start.elapsed < .seconds(15))
                await stand.loop.sleep(.milliseconds(50))
            }
        }
    }

    @Test("a call waits for a token no longer than for a slot of its account while another account can take it")
    func anotherIsFree() async throws {
        var options = Self.options(accounts: 2)
        options.settings = ["sticky_wait_milliseconds": 200]
        try await standing(options) { (stand) async throws in
            for upstream in stand.upstreams { upstream.script = { $0.answer(200, Says.message()) } }
            let isOver = Promise<Void>()
            stand.control.onToken = {
                try? await isOver.wait()
                return (200, stand.codec.encode(Self.entry(stand, 2, ends: 3600)))
            }
            try stand.credentials.accept(Self.entry(stand, 1, ends: -5))
            try stand.credentials.accept(Self.entry(stand, 1, of: AccountID(2), ends: 3600))
            let start = MonotonicTime.now
            #expect(try await stand.ask().head.status == 200)
            #expect(start.elapsed < .seconds(10))
            #expect(stand.upstreams.map(\.calls.count) == [0, 1] && Self.questions(stand) == 1)
            // The question goes on, and the account serves again with what it brings.
            isOver.succeed(())
            await stand.loop.wait { stand.credentials.version(of: Self.account) == 2 }
            #expect(try await stand.ask().head.status == 200)
            #expect(stand.upstreams.map(\.calls.count) == [1, 1] && Self.questions(stand) == 1)
        }
    }

    @Test("a refused token without a new one pauses the account, and another one takes the call")
    func needsSignIn() async throws {
        try await standing(Self.options(accounts: 2)) { (stand) async throws in
            try stand.credentials.accept(Self.entry(stand, 1))
            stand.upstreams[0].script = { $0.answer(401, Says.failure("authentication_error", "expired")) }
            stand.upstreams[1].script = { $0.answer(200, Says.message()) }
            stand.control.onToken = { (409, []) }
            #expect(try await stand.ask().head.status == 200)
            try await stand.quiesce()
            let marks = AccountMarks(try await stand.run("HGETALL", RedisNames.marks(of: Self.account)))
            #expect(marks.flags.map(\.kind) == [.paused] && marks.flags.first?.cause == "unauthorized")
            #expect(marks.unauthorized?.version == 1)
        }
    }

    private static func marks(_ stand: Stand) async throws -> AccountMarks {
        AccountMarks(try await stand.run("HGETALL", RedisNames.marks(of: account)))
    }

    @Test("with another account to go to, a refused token pauses the account at once, whatever becomes of its renewal")
    func pausesAtOnce() async throws {
        try await standing(Self.options(accounts: 2)) { (stand) async throws in
            try stand.credentials.accept(Self.entry(stand, 1))
            stand.upstreams[0].script = { call in
                if Self.isNew(call) { return call.answer(200, Says.message()) }
                call.answer(401, Says.failure("authentication_error", "expired"))
            }
            stand.upstreams[1].script = { $0.answer(200, Says.message()) }
            stand.control.onToken = { (200, stand.codec.encode(Self.entry(stand, 2))) }
            #expect(try await stand.ask().head.status == 200)
            await stand.loop.wait { stand.credentials.version(of: Self.account) == 2 }
            try await stand.quiesce()
            #expect(stand.upstreams.map(\.calls.count) == [1, 1] && Self.questions(stand) == 1)
            let flag = try #require(try await Self.marks(stand).flags.first)
            let now = Timestamp.now
            #expect(flag.kind == .paused && flag.cause == "unauthorized" && flag.isLive(now + .seconds(590)))
            #expect(!flag.isLive(now + .seconds(601)))
        }
    }

    @Test("a new token that is refused in the same call pauses the account; the first 401 after the pause is its error")
    func refusedAgain() async throws {
        try await standing(Self.options()) { (stand) async throws in
            try stand.credentials.accept(Self.entry(stand, 1))
            stand.upstream.script = { $0.answer(401, Says.failure("authentication_error", "no")) }
            // Each renewal brings another token.
            let version = Counter()
            version.add()
            stand.control.onToken = {
                version.add()
                return (200, stand.codec.encode(Self.entry(stand, Int64(version.value))))
            }
            #expect(try await stand.ask().head.status == 502)
            #expect(stand.upstream.calls.count == 2)
            await stand.loop.wait { stand.credentials.version(of: Self.account) == 3 }
            try await stand.quiesce()
            var marks = try await Self.marks(stand)
            #expect(marks.flags.map(\.kind) == [.paused] && marks.unauthorized?.version == 2)
            // The pause ends, with no success between.
            let past = WallClock.microseconds - 1_000_000
            let name = RedisNames.marks(of: Self.account)
            _ = try await stand.run("HSET", name, "unauthorized", "2 \(past) \(past)")
            _ = try await stand.run("HDEL", name, try #require(marks.flags.first).kind.field)
            stand.context.slots.forgetHints(of: Self.account)
            #expect(try await stand.ask().head.status == 502)
            try await stand.quiesce()
            marks = try await Self.marks(stand)
            #expect(marks.flags.map(\.kind) == [.error])
        }
    }

    @Test("the token that came between the call and its 401 is used without asking anybody")
    func rotatedMeanwhile() async throws {
        try await standing(Self.options()) { (stand) async throws in
            try stand.credentials.accept(Self.entry(stand, 1))
            stand.upstream.script = { call in
                if Self.isNew(call) { return call.answer(200, Says.message()) }
                try? stand.credentials.accept(Self.entry(stand, 2))
                call.answer(401, Says.failure("authentication_error", "expired"))
            }
            #expect(try await stand.ask().head.status == 200)
            #expect(Self.questions(stand) == 0)
        }
    }

    @Test("a call whose token is newer than the one that is being replaced, and as stale, waits for yet another")
    func joinsAnOlderQuestion() async throws {
        try await standing(Self.options()) { (stand) async throws in
            try stand.credentials.accept(Self.entry(stand, 1, ends: -5))
            stand.upstream.script = { $0.answer(200, Says.message()) }
            let second = Promise<Void>()
            stand.control.onToken = {
                if Self.questions(stand) > 1 { return (200, stand.codec.encode(Self.entry(stand, 3, ends: 3600))) }
                // The announcement of the answer, a token that lasts for a moment only, is here before the answer.
                try? stand.credentials.accept(Self.entry(stand, 2, ends: -5))
                try? await second.wait()
                return (200, stand.codec.encode(Self.entry(stand, 2, ends: -5)))
            }
            var statuses: [Int] = []
            func ask() {
                stand.loop.spawn { statuses.append((try? await stand.ask().head.status) ?? 0) }
            }
            ask()
            await stand.loop.wait { stand.credentials.version(of: Self.account) == 2 }
            ask()
            await stand.loop.wait { stand.context.openCalls == 2 && stand.context.redis.inFlight == 0 }
            second.succeed(())
            await stand.loop.wait { statuses.count == 2 }
            #expect(statuses == [200, 200])
            #expect(Self.questions(stand) == 2)
        }
    }

    @Test("flights are shared, end for all who wait, and what came to nothing is left alone for a second")
    func flights() {
        let flights = TokenFlights()
        let landed = Counter()
        let now = MonotonicTime.now
        #expect(flights.board(Self.account, now: now) { if $0 { landed.add() } } == .ask)
        #expect(flights.board(Self.account, now: now) { if $0 { landed.add() } } == .wait)
        #expect(flights.board(AccountID(2), now: now) { _ in } == .ask)
        flights.land(Self.account, hasNewer: true, now: now)
        #expect(landed.value == 2)
        #expect(flights.board(Self.account, now: now) { _ in } == .ask)
        flights.land(Self.account, hasNewer: false, now: now)
        #expect(flights.board(Self.account, now: now + .milliseconds(999)) { _ in } == .notNow)
        #expect(flights.board(Self.account, now: now + .seconds(1)) { _ in } == .ask)
        // A token that has just come is not renewed ahead of its end; one that is over is.
        flights.land(Self.account, hasNewer: true, now: now)
        #expect(flights.board(Self.account, isEarly: true, now: now + .seconds(9)) { _ in } == .notNow)
        #expect(flights.board(Self.account, now: now + .seconds(9)) { _ in } == .ask)
        flights.land(Self.account, hasNewer: true, now: now)
        #expect(flights.board(Self.account, isEarly: true, now: now + .seconds(10)) { _ in } == .ask)
        flights.refuse(Self.account, version: 5, now: now)
        flights.refuse(Self.account, version: 3, now: now)
        #expect(flights.isRefused(Self.account, version: 5, now: now))
        #expect(flights.isRefused(Self.account, version: 4, now: now))
        #expect(!flights.isRefused(Self.account, version: 6, now: now))
        flights.refuse(Self.account, version: 6, now: now)
        #expect(!flights.isRefused(Self.account, version: 6, now: now + .seconds(60)))
    }
}
