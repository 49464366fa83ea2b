import ControlKit
import Domain
import Postgres
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

@Suite("News of accounts", .serialized, .enabled(if: canRun, requirement))
struct AccountEventTests {
    private let now = Timestamp.now

    private func tell(_ world: World, _ event: AccountEvent) async throws {
        let fields = event.fields.flatMap { [$0.name, $0.value] }
        _ = try await world.redis.send(RedisCommand(["XADD", RedisNames.accountEvents, "*"] + fields))
    }

    private func consumer(_ world: World) -> AccountEventConsumer {
        let publisher = world.publisher()
        return AccountEventConsumer(
            world.loop,
            world.pool,
            world.redis,
            log: world.log,
            metrics: world.metrics,
            untoldInterval: .milliseconds(50)
        ) {
            try await publisher.publishCommitted()
        }
    }

    @Test("an error that stands in Redis and whose news got lost is found")
    func untold() async throws {
        try await withWorld { (world) async throws in
            let group = try await world.addGroup()
            let account = try await world.addAccount("one", in: group)
            let consumer = consumer(world)
            let value = "0 \(now.microseconds) 0 violation - 403: banned"
            _ = try await world.redis.send(RedisCommand(["HSET", RedisNames.marks(of: account), "error", value]))
            consumer.start()
            try await world.wait { try await read(account, world).fields.status == .error }
            let broken = try await read(account, world)
            #expect(broken.errorMessage == "403: banned" && broken.forbiddenType == "violation")
            await consumer.stop()
        }
    }

    private func read(_ account: AccountID, _ world: World) async throws -> AccountRecord {
        try #require(try await world.pool.withConnection { try await AccountStore.find(account, on: $0) })
    }

    private func marks(_ account: AccountID, _ world: World) async throws -> RedisValue {
        try await world.redis.send(RedisCommand(["HGETALL", RedisNames.marks(of: account)]))
    }

    @Test("flags and errors reach Postgres, an error is published, and what is not understood is passed over")
    func applies() async throws {
        try await withWorld { (world) async throws in
            let group = try await world.addGroup()
            let one = try await world.addAccount("one", in: group)
            let two = try await world.addAccount("two", in: group)
            let consumer = consumer(world)
            let end = now + .seconds(600)
            try await tell(world, AccountEvent(one, at: now, .effect(.rateLimited(until: end, isGuessed: true))))
            try await tell(world, AccountEvent(one, at: now, .effect(.modelLimited("m", until: now - .seconds(1)))))
            _ = try await world.redis.send(RedisCommand(["XADD", RedisNames.accountEvents, "*", "what", "ever"]))
            try await tell(world, AccountEvent(AccountID(999), at: now, .effect(.overloaded(until: end))))
            let error = AccountError("403: verify\u{0} you", .validation, validationURL: "https://x")
            try await tell(world, AccountEvent(two, at: now, .effect(.error(error))))
            consumer.start()
            try await world.wait { try await read(two, world).fields.status == .error }
            let broken = try await read(two, world)
            #expect(broken.errorMessage == "403: verify you" && broken.forbiddenType == "validation")
            #expect(broken.validationURL == "https://x")
            #expect(try await read(one, world).flags.map(\.kind) == [.rateLimited], "expired ones read as none")
            try await world.wait {
                try await world.publishedConfig()?.accounts.first { $0.id == two }?.isActive == false
            }
            try await world.wait {
                try await world.redis.send(RedisCommand(["XLEN", RedisNames.accountEvents])).integer == 0
            }
            await consumer.stop()
        }
    }

    @Test("one control plane applies them; when it is gone another one goes on")
    func singleton() async throws {
        try await withWorld { (world) async throws in
            let group = try await world.addGroup()
            let account = try await world.addAccount("one", in: group)
            let first = consumer(world)
            let second = consumer(world)
            first.start()
            try await world.wait {
                try await world.number("select count(*) as n from pg_locks where locktype = 'advisory' and granted") > 0
            }
            second.start()
            await first.stop()
            try await tell(world, AccountEvent(account, at: now, .effect(.overloaded(until: now + .seconds(60)))))
            try await world.wait { try await !read(account, world).flags.isEmpty }
            await second.stop()
        }
    }

    @Test("a Redis that has forgotten everything gets the flags back that still last")
    func restores() async throws {
        try await withWorld { (world) async throws in
            let group = try await world.addGroup()
            let account = try await world.addAccount("one", in: group)
            let end = now + .seconds(600)
            let consumer = consumer(world)
            consumer.start()
            try await tell(
                world,
                AccountEvent(account, at: now, .effect(.paused(until: end, .emptyStream, reason: "no word")))
            )
            try await world.wait { try await !read(account, world).flags.isEmpty }
            // Nobody has marked it in Redis: the same as after a flush.
            try await world.wait { try await marks(account, world).array?.isEmpty == false }
            let texts = try await marks(account, world).array?.compactMap(\.text) ?? []
            let flag = try #require(AccountFlag(field: texts[0], value: texts[1]))
            #expect(flag.kind == .paused && flag.until == end && flag.isGuessed && flag.reason == "no word")
            await consumer.stop()
        }
    }

    @Test("what an admin clears is cleared in both, workers hear of it, and older news do not bring it back")
    func clears() async throws {
        try await withWorld { (world) async throws in
            let group = try await world.addGroup()
            let account = try await world.addAccount("one", in: group)
            let publisher = world.publisher()
            let changes = world.notifier(publisher)
            let announcements = try await world.listen()
            let consumer = consumer(world)
            consumer.start()
            _ = try await world.redis.send(
                RedisCommand(["HSET", RedisNames.marks(of: account), "error", "0 \(now.microseconds) 0 - - 402"])
            )
            let news = AccountEvent(account, at: now, .effect(.error(AccountError("402"))))
            try await tell(world, news)
            try await world.wait { try await read(account, world).fields.status == .error }
            _ = try await changes.commit(by: .system) { try await AccountFlagRoutes.recover(account, with: $0) }
            #expect(try await read(account, world).fields.status == .active)
            let left = try await marks(account, world).array?.compactMap(\.text) ?? []
            #expect(left.first == "recovered" && left.count == 2)
            #expect(try await world.publishedConfig()?.accounts.first?.isActive == true)
            try await world.wait { announcements.heard.contains(.flagsCleared(account)) }
            try await tell(world, news)
            try await world.wait {
                try await world.redis.send(RedisCommand(["XLEN", RedisNames.accountEvents])).integer == 0
            }
            #expect(try await read(account, world).fields.status == .active)
            await consumer.stop()
            announcements.close()
        }
    }
}

extension Timestamp {
    fileprivate static func - (left: Timestamp, right: Duration) -> Timestamp { left + (.zero - right) }
}
