import ControlKit
import Domain
import Postgres
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

extension World {
    fileprivate func field(_ name: String, _ field: String) async throws -> Int64? {
        try await redis.send(RedisCommand(["HGET", name, field])).text.flatMap { Int64($0) }
    }

    @discardableResult
    fileprivate func send(_ words: String...) async throws -> RedisValue { try await redis.send(RedisCommand(words)) }

    fileprivate func reconciler() -> CounterReconciler {
        CounterReconciler(loop, pool, redis, publisher(), log: log, metrics: metrics)
    }
}

@Suite("The reconciler", .enabled(if: canRun, requirement))
struct ReconcilerTests {
    private static let day: Int64 = 86_400_000
    private static var today: Int64 { WallClock.microseconds / 1000 / day * day }

    /// A policy and a subscription of which nothing has been settled for three days.
    private static func addLimits(_ world: World, _ cast: Cast) async throws {
        let begin = today - 3 * day
        try await world.run(
            """
            insert into key_policies (key_id, period, anchor_time, quota, boundary, exhausted_action, auto_resume,
                version, window_start_ms)
            values ($1, 'daily', timestamptz 'epoch', 5000, 'graceful', 'reject', true, 7, $2)
            """,
            [.integer(cast.keys[0].raw), .integer(begin)]
        )
        try await world.run(
            """
            insert into subscriptions (user_id, group_id, starts_at, expires_at, day_start_ms, week_start_ms,
                month_start_ms)
            values ($1, $2, \(SQL.time("$3")), now() + interval '100 days', $4, $4, $4)
            """,
            [.integer(cast.users[0].raw), .integer(cast.group.raw), .integer(begin * 1000), .integer(begin)]
        )
    }

    private static func policy(_ cast: Cast, _ window: Int64) -> String {
        CounterNames.policy(
            of: cast.keys[0],
            .init(version: 7, resetEpoch: 0, window: window),
            Partition(of: cast.users[0])
        )
    }

    @Test("what is stuck in a window in which nothing is settled yet is given back")
    func runningWindows() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let partition = Partition(of: cast.users[0])
            try await Self.addLimits(world, cast)
            let names = [
                Self.policy(cast, Self.today),
                CounterNames.subscription(SubscriptionID(1), .day, start: Self.today, partition),
            ]
            for name in names { try await world.send("HSET", name, "r", "70") }
            try await world.send("HSET", RedisNames.holds(partition), "req", "\(names[0]) 30")
            try await world.reconciler().run()
            #expect(try await world.field(names[0], "r") == 30)
            #expect(try await world.field(names[1], "r") == 0)
        }
    }

    @Test("what holds and records name is compared, whatever window it is")
    func namedCounters() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let partition = Partition(of: cast.users[0])
            try await Self.addLimits(world, cast)
            let held = Self.policy(cast, Self.today - Self.day)
            let charged = Self.policy(cast, Self.today - 2 * Self.day)
            let gone = Self.policy(cast, Self.today - 4 * Self.day)
            try await world.send("HSET", held, "b", "5", "r", "100")
            try await world.send("HSET", charged, "b", "5", "u", "9000")
            try await world.send("HSET", RedisNames.holds(partition), "req", "\(held) 30 \(gone) 30")
            var record = cast.record(0)
            record.limits.policy = .init(version: 7, resetEpoch: 0, window: Self.today - 2 * Self.day)
            try await world.append(record)
            try await world.reconciler().run()
            #expect(try await world.field(held, "r") == 30)
            #expect(try await world.field(charged, "u") == 1000)
            // Windows that have been forgotten stay so.
            #expect(try await world.send("EXISTS", gone).integer == 0)
        }
    }

    @Test("many calls under way are no reason not to look")
    func manyHolds() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let wallet = CounterNames.wallet(of: cast.users[0])
            var command = ["HSET", RedisNames.holds(Partition(of: cast.users[0]))]
            for number in 0..<6000 { command += ["req_\(number)", "\(wallet) 2"] }
            _ = try await world.redis.send(RedisCommand(command))
            try await world.send("HSET", wallet, "r", "12001")
            try await world.reconciler().run()
            #expect(try await world.field(wallet, "r") == 12_000)
        }
    }
}
