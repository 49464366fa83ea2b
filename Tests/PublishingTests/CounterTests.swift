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
    fileprivate func counter(_ name: String) async throws -> [String: Int64] {
        let parts = try await redis.send(RedisCommand(["HGETALL", name])).array ?? []
        var found: [String: Int64] = [:]
        for index in stride(from: 0, to: parts.count - 1, by: 2) {
            found[parts[index].text ?? ""] = Int64(parts[index + 1].text ?? "")
        }
        return found
    }

    @discardableResult
    fileprivate func send(_ words: String...) async throws -> RedisValue { try await redis.send(RedisCommand(words)) }

    /// Settles in Redis as the workers' script does, as far as counters go.
    fileprivate func charge(_ record: UsageRecord) async throws {
        for name in CounterNames.all(of: record) { try await send("HINCRBY", name, "u", "\(record.cost.raw)") }
        try await append(record)
    }

    fileprivate func addPolicy(_ key: KeyID, quota: Int64 = 5000, resumes: Bool = true) async throws {
        try await run(
            """
            insert into key_policies (key_id, period, anchor_time, quota, boundary, exhausted_action, auto_resume,
                version, window_start_ms)
            values ($1, 'daily', timestamptz 'epoch', $2, 'graceful', 'disable_key', $3, 7, 0)
            """,
            [.integer(key.raw), .integer(quota), .bool(resumes)]
        )
    }
}

@Suite("Counters", .enabled(if: canRun, requirement))
struct CounterTests {
    private static let day: Int64 = 86_400_000

    @Test("what is settled moves from unsettled to base, in every counter, and nothing is left over")
    func moves() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            try await world.run("update api_keys set quota = 1000000")
            for key in cast.keys { try await world.addPolicy(key) }
            try await world.publisher().writeCounters(of: cast.users)
            let today = WallClock.microseconds / 1000 / Self.day * Self.day
            for number in 0..<30 {
                var record = cast.record(number)
                record.limits = FrozenLimits(
                    hasQuota: true,
                    policy: .init(version: 7, resetEpoch: 0, window: today)
                )
                try await world.charge(record)
            }
            let settler = world.settler()
            settler.start()
            try await world.waitUntilSettled()
            await settler.stop()
            (try await world.books()).expect(30, cost: Cast.cost(0..<30))
            for (place, user) in cast.users.enumerated() {
                let cost = stride(from: place, to: 30, by: cast.users.count).reduce(0) { $0 + 1000 + Int64($1) }
                let partition = Partition(of: user)
                let wallet = try await world.counter(CounterNames.wallet(of: user))
                #expect(wallet["u"] == 0 && wallet["b"] == -cost)
                let quota = try await world.counter(CounterNames.quota(of: cast.keys[place], partition))
                #expect(quota["u"] == 0 && quota["b"] == cost)
                let window = FrozenLimits.Policy(version: 7, resetEpoch: 0, window: today)
                let policy = try await world.counter(CounterNames.policy(of: cast.keys[place], window, partition))
                #expect(policy["u"] == 0 && policy["b"] == cost)
            }
            #expect(try await world.number("select sum(used)::bigint as n from key_policies") == Cast.cost(0..<30))
        }
    }

    @Test("a window's use goes to its window: late calls of an earlier one do not count in the later")
    func windows() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            try await world.addPolicy(cast.keys[0])
            for (number, window) in [(0, 2 * Self.day), (1, Self.day), (2, 2 * Self.day), (3, 3 * Self.day)] {
                var record = cast.record(number)
                record.limits.policy = .init(version: 7, resetEpoch: 0, window: window)
                try await world.charge(record)
            }
            // Of a version that is no more, and of an epoch before a reset.
            for (number, version, epoch) in [(4, Int64(6), Int64(0)), (5, 7, 1)] {
                var record = cast.record(number)
                record.limits.policy = .init(version: version, resetEpoch: epoch, window: 3 * Self.day)
                try await world.charge(record)
            }
            let settler = world.settler()
            settler.start()
            try await world.waitUntilSettled()
            await settler.stop()
            #expect(try await world.number("select used as n from key_policies") == 1003)
            #expect(try await world.number("select window_start_ms as n from key_policies") == 3 * Self.day)
        }
    }

    @Test("a subscription pays in its windows, and the wallet keeps its money")
    func subscription() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            try await world.run(
                """
                insert into subscriptions (user_id, group_id, starts_at, expires_at, day_start_ms, week_start_ms,
                    month_start_ms)
                values ($1, $2, timestamptz 'epoch', now() + interval '1 day', 0, 0, 0)
                """,
                [.integer(cast.users[0].raw), .integer(cast.group.raw)]
            )
            for (number, day) in [(0, Self.day), (1, 2 * Self.day), (2, 2 * Self.day)] {
                var record = cast.record(number)
                record.limits.subscription = .init(id: SubscriptionID(1), day: day, week: 0, month: 0)
                try await world.charge(record)
            }
            let settler = world.settler()
            settler.start()
            try await world.waitUntilSettled()
            await settler.stop()
            #expect(try await world.number("select day_used as n from subscriptions") == 1001 + 1002)
            #expect(try await world.number("select week_used as n from subscriptions") == Cast.cost(0..<3))
            #expect(try await world.number("select month_used as n from subscriptions") == Cast.cost(0..<3))
            #expect(try await world.number("select balance as n from users") == 0)
            #expect(try await world.number("select count(*) as n from wallet_ledger") == 0)
        }
    }

    @Test("an older number never replaces a newer one, and an entry that is gone takes nothing out")
    func order() async throws {
        try await withWorld { world in
            let name = "tg:{p00}:wallet:64"
            func write(_ number: Int, _ sequence: Int) async throws {
                _ = try await world.redis.run(
                    CounterScripts.write,
                    keys: ["tg:{p00}:epoch", "tg:{p00}:usage", name],
                    arguments: ["e", "", "", "\(number)", "\(sequence)", "0"]
                )
            }
            try await write(100, 5)
            try await write(50, 4)
            #expect(try await world.counter(name)["b"] == 100)
            try await world.send("SET", "tg:{p00}:epoch", "here")
            try await world.send("HINCRBY", name, "u", "70")
            try await world.send("XADD", "tg:{p00}:usage", "7-1", "r", "x")
            for removed in [Int64(1), 0] {
                let answer = try await world.redis.run(
                    CounterScripts.acknowledge,
                    keys: ["tg:{p00}:epoch", "tg:{p00}:usage"],
                    arguments: [
                        "here", "c", "m", "7-1", "7-1", "7-2", "1", "1", name, "70", name, "30", "6", "7-1 1 70 ",
                    ]
                )
                #expect(answer.integer == removed)
            }
            let now = try await world.counter(name)
            #expect(now["u"] == 0 && now["b"] == 30 && now["s"] == 6)
            let other = try await world.redis.run(
                CounterScripts.acknowledge,
                keys: ["tg:{p00}:epoch", "tg:{p00}:usage"],
                arguments: ["gone", "c", "m", "7-1", "7-1", "7-2", "0", "1", name, "0", "9", ""]
            )
            #expect(other.integer == -1)
            #expect(try await world.counter(name)["b"] == 30)
        }
    }

    @Test(
        "an acknowledgement takes out what stood, however much of it did",
        arguments: [
            ([], 4, 1234), (["1-0"], 3, 1204), (["4-0"], 3, 234), (["2-0"], 3, 1234), (["1-0", "4-0"], 2, 204),
            (["1-0", "2-0", "3-0", "4-0"], 0, 0),
        ]
    )
    func partly(missing: [String], removed: Int64, taken: Int64) async throws {
        try await withWorld { world in
            let (stream, one, other) = ("tg:{p00}:usage", "tg:{p00}:wallet:64", "tg:{p00}:quota:1")
            try await world.send("SET", "tg:{p00}:epoch", "e")
            try await world.send("HSET", one, "u", "5000")
            try await world.send("HSET", other, "u", "5000")
            for id in ["1-0", "2-0", "3-0", "4-0", "5-0"] where !missing.contains(id) {
                try await world.send("XADD", stream, id, "r", "x")
            }
            let answer = try await world.redis.run(
                CounterScripts.acknowledge,
                keys: ["tg:{p00}:epoch", stream],
                arguments: [
                    "e", "c", "m", "1-0", "4-0", "4-1", "2", "0", one, "34", one + " " + other, "1200",
                    "1-0 1 30 2-0 2 200 3-0 1 4 4-0 2 1000 ",
                ]
            )
            #expect(answer.integer == removed)
            // In the middle only a person removes anything: the reconciler's business.
            #expect(try await world.counter(one)["u"] == 5000 - taken)
            #expect(try await world.send("XLEN", stream).integer == 1)
        }
    }

    @Test("an emptied Redis is told again what everybody has spent, exhausted policies included")
    func rebuild() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 2)
            try await world.run("update users set balance = 70 + id, money_seq = 3")
            try await world.run("update api_keys set quota = 100, quota_used = 40")
            try await world.addPolicy(cast.keys[0], resumes: false)
            let today = WallClock.microseconds / 1000 / Self.day * Self.day
            try await world.run(
                "update key_policies set used = 60, exhausted_window_ms = $1, window_start_ms = $1",
                [.integer(today)]
            )
            let publisher = world.publisher()
            try await publisher.healNow()
            try await world.send("FLUSHALL")
            try await publisher.healNow()
            for (place, user) in cast.users.enumerated() {
                let partition = Partition(of: user)
                #expect(try await world.counter(CounterNames.wallet(of: user))["b"] == 70 + user.raw)
                #expect(try await world.counter(CounterNames.quota(of: cast.keys[place], partition))["b"] == 40)
            }
            let partition = Partition(of: cast.users[0])
            let window = FrozenLimits.Policy(version: 7, resetEpoch: 0, window: today)
            #expect(try await world.counter(CounterNames.policy(of: cast.keys[0], window, partition))["b"] == 60)
            #expect(
                try await world.counter(CounterNames.exhaustion(of: cast.keys[0], partition)) == ["7.0.5000": today]
            )
        }
    }

    @Test("a worker's word on an exhausted policy is noted once; recovery follows when its window is over")
    func exhaustion() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            try await world.addPolicy(cast.keys[0])
            let partition = Partition(of: cast.users[0])
            let today = WallClock.microseconds / 1000 / Self.day * Self.day
            for _ in 0..<3 {
                try await world.send(
                    "XADD",
                    RedisNames.usage(partition),
                    "*",
                    "e",
                    #"{"key":\#(cast.keys[0]),"user":\#(cast.users[0]),"version":7,"epoch":0,"window":\#(today)}"#
                )
            }
            try await world.send("XADD", RedisNames.usage(partition), "*", "e", "nonsense")
            let settler = world.settler()
            settler.start()
            try await world.waitUntilSettled()
            await settler.stop()
            #expect(try await world.number("select exhausted_until_ms as n from key_policies") == today + Self.day)
            #expect(try await world.number("select count(*) as n from policy_events where kind = 'exhausted'") == 1)
            let now = Timestamp.now
            try await KeyPolicyStore.recover(now: now, in: world.pool)
            #expect(try await world.number("select count(*) as n from policy_events") == 1)
            for _ in 0..<2 {
                try await KeyPolicyStore.recover(
                    now: Timestamp(microseconds: (today + Self.day) * 1000),
                    in: world.pool
                )
            }
            #expect(try await world.number("select count(*) as n from policy_events where kind = 'recovered'") == 1)
            #expect(
                try await world.number("select count(*) as n from key_policies where exhausted_window_ms is null") == 1
            )
        }
    }

    @Test("a dead worker's calls are settled from their checkpoints, living ones are let be")
    func sweep() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let user = cast.users[0]
            let partition = Partition(of: user)
            let wallet = CounterNames.wallet(of: user)
            try await world.send("SET", RedisNames.epoch(partition), "e")
            var record = cast.record(1, phase: .swept)
            record.end = .workerLost
            for id in ["req_1", "unbilled", "alive"] {
                try await world.send("HSET", RedisNames.holds(partition), id, "\(wallet) 500")
                try await world.send("ZADD", RedisNames.live(partition), "1763731200000", id)
                try await world.send("HINCRBY", wallet, "r", "500")
            }
            var checkpoint = RedisCommand(["HSET", CounterNames.checkpoints(partition), "req_1"])
            checkpoint.add(Array("1001 ".utf8) + record.encoded)
            _ = try await world.redis.send(checkpoint)
            var pace = ReservationSweeper.Pace()
            pace.interval = .milliseconds(200)
            pace.patience = .seconds(1)
            pace.afterNewEpoch = .milliseconds(100)
            let sweeper = ReservationSweeper(
                world.loop,
                world.redis,
                log: world.log,
                metrics: world.metrics,
                pace: pace
            )
            sweeper.start()
            var score = 1_763_731_200_000
            try await world.wait("two are swept") {
                score += 1
                _ = try? await world.send("ZADD", RedisNames.live(partition), "XX", "\(score)", "alive")
                return (try? await world.send("HLEN", RedisNames.holds(partition)).integer) == 1
            }
            sweeper.stop()
            let left = try await world.counter(wallet)
            #expect(left["r"] == 500 && left["u"] == 1001)
            let settler = world.settler()
            settler.start()
            try await world.waitUntilSettled()
            (try await world.books()).expect(1, cost: 1001)
            #expect(try await world.counter(wallet)["u"] == 0)
            #expect(
                try await world.number("select count(*) as n from usage_records where \"end\" = 'worker_lost'") == 1
            )
            // The worker was not dead after all: what it says last counts.
            var final = cast.record(1, cost: 1500)
            final.phase = .final
            try await world.append(final)
            try await world.waitUntilSettled()
            await settler.stop()
            (try await world.books()).expect(1, cost: 1500)
        }
    }

    @Test("a reservation that is no longer listed as live is given back as well")
    func sweepUnlisted() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let partition = Partition(of: cast.users[0])
            let counter = CounterNames.wallet(of: cast.users[0])
            try await world.send("SET", RedisNames.epoch(partition), "e")
            try await world.send("HSET", RedisNames.holds(partition), "lost", counter + " 5")
            try await world.send("HSET", counter, "r", "5")
            var pace = ReservationSweeper.Pace()
            pace.interval = .milliseconds(200)
            pace.patience = .milliseconds(300)
            pace.afterNewEpoch = .zero
            let sweeper = ReservationSweeper(
                world.loop,
                world.redis,
                log: world.log,
                metrics: world.metrics,
                pace: pace
            )
            sweeper.start()
            try await world.wait("swept") { try await world.send("HLEN", RedisNames.holds(partition)).integer == 0 }
            #expect(try await world.send("HGET", counter, "r").text == "0")
            #expect(try await world.send("ZCARD", RedisNames.live(partition)).integer == 0)
            sweeper.stop()
        }
    }

    @Test("time in which Redis was away does not make a living worker's call a dead one's")
    func sweepAfterOutage() async throws {
        var options = PrivateRedis.Options()
        options.isPersistent = true
        try await withWorld(options) { world in
            let cast = try await Cast(world, users: 1)
            let partition = Partition(of: cast.users[0])
            try await world.send("SET", RedisNames.epoch(partition), "e")
            var pace = ReservationSweeper.Pace()
            pace.interval = .milliseconds(200)
            pace.patience = .seconds(3)
            pace.afterNewEpoch = .zero
            let sweeper = ReservationSweeper(
                world.loop,
                world.redis,
                log: world.log,
                metrics: world.metrics,
                pace: pace
            )
            sweeper.start()
            func looks() async throws -> Int {
                let text = try await world.send("INFO", "commandstats").text ?? ""
                let calls = text.split(separator: "cmdstat_zrange:calls=").dropFirst().first?.prefix { $0 != "," }
                return calls.flatMap { Int($0) } ?? 0
            }
            var seen: Duration
            repeat {
                let start = MonotonicTime.now
                try await world.send("HSET", RedisNames.holds(partition), "alive", "name 5")
                try await world.send("ZADD", RedisNames.live(partition), "1763731200000", "alive")
                let before = try await looks()
                try await world.wait("looked at") { try await looks() > before + 2 * Partition.count }
                try await world.server.kill()
                seen = start.elapsed
                // Away for longer than a worker may be silent.
                await world.loop.sleep(pace.patience)
                let back = MonotonicTime.now
                try await world.server.restart()
                try await world.wait { world.redis.isConnected }
                try await world.wait("swept") { try await world.send("HLEN", RedisNames.holds(partition)).integer == 0 }
                // On a machine so busy that it had been silent for long enough before, nothing was shown.
                if seen < pace.patience { #expect(back.elapsed >= pace.patience) }
            } while seen >= pace.patience
            sweeper.stop()
        }
    }

    @Test("records that were settled by one who died before saying so leave the counters with what Postgres says")
    func unacknowledged() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 2)
            try await world.run("update api_keys set quota = 1000000")
            try await world.publisher().writeCounters(of: cast.users)
            let records = (0..<6).map { cast.record($0) }
            for record in records { try await world.charge(record) }
            try await world.pool.withConnection { connection in
                try await SettlementStore.prepare(connection)
                _ = try await connection.transaction { connection in
                    try await SettlementStore.settle(
                        records.map { SettlementItem($0, streamID: nil) },
                        positions: [],
                        connection
                    )
                }
            }
            try await world.run("delete from outbox")
            let settler = world.settler()
            settler.start()
            try await world.waitUntilSettled()
            await settler.stop()
            (try await world.books()).expect(6, cost: Cast.cost(0..<6))
            for (place, user) in cast.users.enumerated() {
                let spent = records.filter { $0.user == user }.reduce(0) { $0 + $1.cost.raw }
                let wallet = try await world.counter(CounterNames.wallet(of: user))
                #expect(wallet["b"] == -spent && wallet["u"] == 0)
                let quota = try await world.counter(CounterNames.quota(of: cast.keys[place], Partition(of: user)))
                #expect(quota["b"] == spent)
            }
        }
    }

    @Test("a word on a policy that cannot be true is put aside and holds up nobody")
    func poisonedEvent() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            try await world.addPolicy(cast.keys[0])
            let stream = RedisNames.usage(Partition(of: cast.users[0]))
            try await world.append(cast.record(0))
            for window in ["9223372036854775807", "-9223372036854775808", "1.5", "\"x\"", "253402300799999"] {
                let event =
                    #"{"key":\#(cast.keys[0]),"user":\#(cast.users[0]),"version":7,"epoch":0,"window":\#(window)}"#
                try await world.send("XADD", stream, "*", "e", event)
            }
            try await world.append(cast.record(1))
            let settler = world.settler()
            settler.start()
            try await world.waitUntilSettled()
            await settler.stop()
            (try await world.books()).expect(2, cost: Cast.cost(0..<2), deadLetters: 4)
        }
    }

    @Test("a counter that is wrong is corrected by what the stream and the holds say")
    func reconciled() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 2)
            let user = cast.users[0]
            let wallet = CounterNames.wallet(of: user)
            try await world.charge(cast.record(0))
            try await world.send("HSET", RedisNames.holds(Partition(of: user)), "req", "\(wallet) 70")
            try await world.send("HSET", wallet, "r", "70")
            let reconciler = CounterReconciler(
                world.loop,
                world.pool,
                world.redis,
                world.publisher(),
                log: world.log,
                metrics: world.metrics
            )
            func check() async throws {
                try await reconciler.run()
                let found = try await world.counter(wallet)
                #expect(found["u"] == 1000 && found["r"] == 70 && found["b"] == 0)
            }
            try await check()
            try await world.send("HINCRBY", wallet, "u", "123456789012345")
            try await world.send("HINCRBY", wallet, "r", "-71")
            try await check()
            try await world.send("DEL", wallet)
            try await check()
        }
    }
}
