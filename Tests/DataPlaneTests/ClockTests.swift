import Decisions
import Domain
import GatewayKit
import HTTPFetching
import HTTPMessages
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

@Suite("Clocks and ways to Redis", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs redis-server"))
struct ClockTests {
    private static func redisNow(_ stand: Stand) async throws -> Timestamp {
        Timestamp(microseconds: try await stand.redis.time())
    }

    @Test(
        "a worker whose clock has jumped counts in the window that Redis' clock says",
        arguments: [-400, -31, -1, 1, 31, 400]
    )
    func jumped(days: Int64) async throws {
        try await standing { (stand) async throws in
            let policy = KeyPolicy(
                period: .month,
                anchor: Timestamp(microseconds: 1_769_817_600_000_000),
                quota: NanoUSD(1_000_000),
                boundary: .graceful
            )
            stand.change { $0.policy = policy }
            try await stand.publish()
            let group = try #require(stand.context.config?.group(stand.key.group))
            let now = try await Self.redisNow(stand)
            let wrong = Timestamp(microseconds: now.microseconds + days * 86_400_000_000)
            let answer = try await stand.context.admission.admit(
                "req_jumped",
                ServingKey(stand.key),
                group,
                amount: NanoUSD(5),
                now: wrong,
                ticket: nil,
                isLenient: false
            )
            guard case .admitted(let grant) = answer else {
                Issue.record("\(answer)")
                return
            }
            let window = LimitWindows(policy.period, anchor: policy.anchor).window(at: now)
            #expect(grant.charge.limits.policy?.window == window.start.milliseconds)
        }
    }

    @Test("a subscription that has not begun by Redis' clock is not replaced by the wallet, and pays from then on")
    func futureSubscription() async throws {
        try await standing { (stand) async throws in
            let start = Timestamp(microseconds: (try await Self.redisNow(stand).milliseconds + 400) * 1000)
            let end = Timestamp(microseconds: start.microseconds + 30 * 86_400_000_000)
            stand.change {
                $0.subscriptions = [
                    SubscriptionSnapshot(id: SubscriptionID(9), group: $0.group, startsAt: start, expiresAt: end)
                ]
            }
            stand.changeConfig { $0.groups[0].isSubscription = true }
            try await stand.publish()
            let group = try #require(stand.context.config?.group(stand.key.group))
            let key = ServingKey(stand.key)
            func admit(_ id: String) async throws -> AdmissionAnswer {
                try await stand.context.admission.admit(
                    id,
                    key,
                    group,
                    amount: NanoUSD(5),
                    now: Timestamp(microseconds: start.microseconds + 1000),
                    ticket: nil,
                    isLenient: false
                )
            }
            guard case .noSubscription = try await admit("req_early") else {
                Issue.record("the wallet paid")
                return
            }
            while try await Self.redisNow(stand) < start { await stand.loop.sleep(.milliseconds(5)) }
            guard case .admitted(let grant) = try await admit("req_late") else {
                Issue.record("refused")
                return
            }
            #expect(grant.charge.limits.subscription?.id == SubscriptionID(9))
        }
    }

    @Test("a minute that began in the future, before Redis' clock was set back, stops nobody")
    func futureMinute() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            stand.change { $0.rpm = 1 }
            try await stand.publish()
            let future = try await Self.redisNow(stand).milliseconds + 3_600_000
            let rate = CounterNames.rate(of: stand.key.id, stand.partition)
            try await stand.run("HSET", rate, "s", "\(future)", "c", "1", "t", "0")
            #expect(try await stand.ask().head.status == 200)
            #expect(try await stand.ask().head.status == 429)
        }
    }

    @Test("an epoch that began in the future, before Redis' clock was set back, stops no strict policy")
    func futureEpoch() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            try await stand.limitWeek(to: NanoUSD(1_000_000_000_000))
            let future = try await Self.redisNow(stand).milliseconds / 1000 + 3600
            try await stand.run("SET", RedisNames.epoch(stand.partition), "e.\(future).1")
            #expect(try await stand.ask().head.status == 200)
        }
    }

    @Test("admission and settlement ask Redis once each", arguments: [false, true])
    func roundTrips(isStream: Bool) async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { call in
                guard isStream else { return call.answer(200, Says.message()) }
                call.startStream()
                call.send(Says.start() + Says.blockStart + Says.delta("x") + Says.messageDelta() + Says.stop)
                call.finish()
            }
            // Scripts, keys and windows are known after the first.
            _ = try await stand.ask(stream: isStream).text()
            try await stand.quiesce()
            try await stand.run("CONFIG", "SET", "slowlog-max-len", "1000", "slowlog-log-slower-than", "0")
            try await stand.run("SLOWLOG", "RESET")
            _ = try await stand.ask(stream: isStream).text()
            try await stand.quiesce()
            let log = try await stand.run("SLOWLOG", "GET", "1000").array ?? []
            let commands = log.reversed().compactMap { $0.array?.dropFirst(3).first?.array?.compactMap(\.text) }
            let tag = "tg:{p\(stand.partition.number < 10 ? "0" : "")\(stand.partition.number)}:"
            // The log has what scripts do as well.
            let asked = commands.filter { command in
                command[0] == "EVALSHA" && command.contains { $0.hasPrefix(tag) }
            }.map { $0[1] }
            #expect(asked == [CallScripts.admit.sha1, CallScripts.settle.sha1])
        }
    }
}
