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

    /// Settles in Redis as the workers' script does, as far as counters go.
    fileprivate func charge(_ record: UsageRecord) async throws {
        for name in CounterNames.all(of: record) { try await send("HINCRBY", name, "u", "\(record.cost.raw)") }
        try await append(record)
    }

    fileprivate func settleAll() async throws {
        let settler = settler()
        settler.start()
        try await waitUntilSettled()
        await settler.stop()
    }
}

@Suite("What could part Redis from Postgres", .enabled(if: canRun, requirement))
struct CounterDifferenceTests {
    private static let day: Int64 = 86_400_000
    private static var today: Int64 { WallClock.microseconds / 1000 / day * day }

    @Test("a wallet that Redis has forgotten does not stand before the user's other counters do")
    func walletAlone() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let (user, partition) = (cast.users[0], Partition(of: cast.users[0]))
            let other = try await world.addKey("other", of: user, in: cast.group)
            try await world.run(
                "update api_keys set quota = 100, quota_used = 100 where id = $1",
                [.integer(other.raw)]
            )
            // Redis is empty but for a record that a worker has sent again.
            try await world.charge(cast.record(0))
            try await world.settleAll()
            // Where a wallet stands, workers take the user's other counters for what is there of them.
            let wallet = try await world.field(CounterNames.wallet(of: user), "b")
            let quota = try await world.field(CounterNames.quota(of: other, partition), "b")
            #expect(wallet == nil || quota == 100)
            try await world.publisher().writeCounters(of: [user])
            #expect(try await world.field(CounterNames.wallet(of: user), "b") == -1000)
            #expect(try await world.field(CounterNames.wallet(of: user), "u") == 0)
            #expect(try await world.field(CounterNames.quota(of: other, partition), "b") == 100)
        }
    }

    @Test("an exhaustion that is over in Postgres is over in Redis, unless a word of it is on its way")
    func staleExhaustion() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let (key, partition) = (cast.keys[0], Partition(of: cast.users[0]))
            // Exhausted three days ago, when it resumed by itself; now it does not any more.
            try await world.run(
                """
                insert into key_policies (key_id, period, anchor_time, quota, boundary, exhausted_action, auto_resume,
                    version, window_start_ms)
                values ($1, 'daily', timestamptz 'epoch', 5000, 'graceful', 'reject', false, 7, $2)
                """,
                [.integer(key.raw), .integer(Self.today)]
            )
            let name = CounterNames.exhaustion(of: key, partition)
            let window = Self.today - 3 * Self.day
            let publisher = world.publisher()
            try await world.send("HSET", name, "7.0.5000", "\(window)")
            try await publisher.writeCounters(of: cast.users)
            #expect(try await world.field(name, "7.0.5000") == nil)

            let word = #"{"key":\#(key),"user":\#(cast.users[0]),"version":7,"epoch":0,"window":\#(Self.today)}"#
            try await world.send("HSET", name, "7.0.5000", "\(Self.today)")
            try await world.send("XADD", RedisNames.usage(partition), "*", "e", word)
            try await publisher.writeCounters(of: cast.users)
            #expect(try await world.field(name, "7.0.5000") == Self.today)
            try await world.settleAll()
            try await publisher.writeCounters(of: cast.users)
            #expect(try await world.field(name, "7.0.5000") == Self.today)
        }
    }

    @Test("calls of before another beginning of a subscription do not hide what is used after it")
    func subscriptionBegunAnew() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let (user, partition) = (cast.users[0], Partition(of: cast.users[0]))
            let day = Self.today
            let hour: Int64 = 3_600_000
            let old = day + 10 * hour - 5 * Self.day
            try await world.run(
                """
                insert into subscriptions (user_id, group_id, starts_at, expires_at, day_start_ms, week_start_ms,
                    month_start_ms)
                values ($1, $2, \(SQL.time("$3")), now() + interval '100 days', $4, $5, $5)
                """,
                [
                    .integer(user.raw), .integer(cast.group.raw), .integer(old * 1000), .integer(old + 5 * Self.day),
                    .integer(old),
                ]
            )
            // It begins an hour earlier, an hour and nine days earlier.
            let id = SubscriptionID(1)
            let begin = old - hour - 9 * Self.day
            let begun = try await world.pool.withConnection { connection -> SubscriptionRecord? in
                guard let found = try await SubscriptionStore.find(id, on: connection) else { return nil }
                var draft = found.fields
                draft.startsAt = Timestamp(microseconds: begin * 1000)
                try await SubscriptionStore.update(found, to: draft, now: .now, on: connection)
                return try await SubscriptionStore.find(id, on: connection)
            }
            let now = try #require(begun)
            var late = cast.record(0)
            late.limits.subscription = .init(id: id, day: old + 5 * Self.day, week: old, month: old)
            try await world.charge(late)
            try await world.settleAll()
            var next = cast.record(1)
            next.limits.subscription = .init(
                id: id,
                day: now.day.start,
                week: now.week.start,
                month: now.month.start
            )
            try await world.charge(next)
            try await world.settleAll()
            for kind in CounterNames.SubscriptionWindow.allCases {
                #expect(try await world.number("select \(kind.rawValue)_used as n from subscriptions") == 1001)
            }
            let starts: [(CounterNames.SubscriptionWindow, Int64)] = [
                (.day, now.day.start), (.week, now.week.start), (.month, now.month.start),
            ]
            for (kind, start) in starts {
                let name = CounterNames.subscription(id, kind, start: start, partition)
                let used = (try await world.field(name, "b") ?? 0) + (try await world.field(name, "u") ?? 0)
                #expect(used == 1001)
            }
        }
    }

    @Test("what is settled in Postgres and not acknowledged yet is not counted twice")
    func settledNotAcknowledged() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let (user, partition) = (cast.users[0], Partition(of: cast.users[0]))
            try await world.run("update users set balance = 5000")
            let publisher = world.publisher()
            try await publisher.writeCounters(of: [user])
            try await world.charge(cast.record(0))
            let slice = try #require(
                StreamSlice(
                    try await world.redis.runAll([StreamSlice.call(partition, limit: 10)])[0],
                    partition,
                    limit: 10
                )
            )
            // A settler has committed, and is about to acknowledge.
            try await world.pool.withConnection { connection in
                try await SettlementStore.prepare(connection)
                _ = try await connection.transaction { connection in
                    try await SettlementStore.settle(
                        [SettlementItem(cast.record(0), streamID: slice.entries[0].streamID)],
                        positions: [
                            .init(partition: partition, epoch: slice.epoch, lastID: slice.entries[0].streamID)
                        ],
                        connection
                    )
                }
            }
            func left() async throws -> Int64 {
                let wallet = CounterNames.wallet(of: user)
                return (try await world.field(wallet, "b") ?? 0) - (try await world.field(wallet, "u") ?? 0)
            }
            var seen: [Int64] = []
            let isWritten = Promise<Void>()
            world.loop.spawn {
                _ = try? await publisher.writeCounters(of: [user])
                isWritten.succeed(())
            }
            for _ in 0..<20 {
                seen.append(try await left())
                await world.loop.sleep(.milliseconds(2))
            }
            try await world.settleAll()
            try await isWritten.wait()
            seen.append(try await left())
            #expect(seen.allSatisfy { $0 == 4000 }, "\(seen)")
        }
    }

    @Test("what Redis had taken and a worker has posted all the same is not counted twice")
    func postedAndTaken() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 2)
            let (user, other) = (cast.users[0], cast.users[1])
            try await world.run("update users set balance = 5000")
            let publisher = world.publisher()
            try await publisher.writeCounters(of: cast.users)
            try await world.charge(cast.record(0))
            let answer = try await world.internalAPI().answer(
                .post("/internal/v1/records"),
                body: Array("[".utf8) + cast.record(0).encoded + Array("]".utf8)
            )
            #expect(answer.status == 200)
            func left(_ user: UserID) async throws -> Int64 {
                let wallet = CounterNames.wallet(of: user)
                return (try await world.field(wallet, "b") ?? 0) - (try await world.field(wallet, "u") ?? 0)
            }
            // The outbox has its turn before the settler, who is still waiting to try Redis again.
            var seen: [Int64] = []
            let isWritten = Promise<Void>()
            world.loop.spawn {
                _ = try? await publisher.publishCommitted()
                isWritten.succeed(())
            }
            for _ in 0..<50 {
                seen.append(try await left(user))
                await world.loop.sleep(.milliseconds(5))
            }
            // Nobody else waits for it.
            try await world.run(
                "update users set balance = 7000, money_seq = money_seq + 1 where id = $1",
                [.integer(other.raw)]
            )
            try await publisher.writeCounters(of: [other])
            #expect(try await left(other) == 7000)
            try await world.settleAll()
            try await isWritten.wait()
            seen.append(try await left(user))
            #expect(seen.allSatisfy { $0 == 4000 }, "\(Set(seen))")
            #expect(try await world.field(CounterNames.wallet(of: user), "u") == 0)
        }
    }

    @Test("with no settler about, what would count twice is left as it is, and what Redis lacks is written")
    func nobodySettles() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let (user, partition) = (cast.users[0], Partition(of: cast.users[0]))
            try await world.run("update users set balance = 5000")
            let publisher = world.publisher()
            try await publisher.writeCounters(of: [user])
            try await world.charge(cast.record(0))
            try await world.pool.withConnection { connection in
                try await SettlementStore.prepare(connection)
                _ = try await connection.transaction { connection in
                    try await SettlementStore.settle([SettlementItem(cast.record(0))], positions: [], connection)
                }
            }
            try await world.run("update api_keys set quota = 100")
            try await publisher.publishCommitted()
            #expect(try await world.field(CounterNames.wallet(of: user), "b") == 5000)
            #expect(try await world.field(CounterNames.wallet(of: user), "u") == 1000)
            #expect(try await world.field(CounterNames.quota(of: cast.keys[0], partition), "b") == 1000)
            try await world.settleAll()
            #expect(try await world.field(CounterNames.wallet(of: user), "b") == 4000)
            #expect(try await world.field(CounterNames.wallet(of: user), "u") == 0)
        }
    }

    @Test("a word of an exhaustion under another quota than the policy's is none of it", arguments: [5000, 9000])
    func lateExhaustion(quota: Int64) async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let (key, partition) = (cast.keys[0], Partition(of: cast.users[0]))
            let old = KeyPolicy(
                period: .day,
                anchor: Timestamp(microseconds: 0),
                quota: NanoUSD(5000),
                resumesByItself: false,
                version: 7
            )
            try await world.run(
                """
                insert into key_policies (key_id, period, anchor_time, quota, boundary, exhausted_action, auto_resume,
                    version, window_start_ms)
                values ($1, 'daily', timestamptz 'epoch', $2, 'strict', 'disable_key', false, 7, $3)
                """,
                [.integer(key.raw), .integer(quota), .integer(Self.today)]
            )
            let word = PolicyExhaustion.opening(key, cast.users[0], old) + "\(Self.today)}"
            try await world.send("XADD", RedisNames.usage(partition), "*", "e", word)
            try await world.settleAll()
            let exhausted = try await world.number(
                "select count(*) as n from key_policies where exhausted_window_ms is not null"
            )
            #expect(exhausted == (quota == 5000 ? 1 : 0))
        }
    }

    @Test(
        "after Redis' clock was ahead for a while, what is used in the window that runs counts on",
        arguments: [false, true]
    )
    func clockWasAhead(isSubscription: Bool) async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let (key, partition) = (cast.keys[0], Partition(of: cast.users[0]))
            let (today, id) = (Self.today, SubscriptionID(1))
            try await world.run(
                """
                insert into key_policies (key_id, period, anchor_time, quota, boundary, exhausted_action, auto_resume,
                    version, window_start_ms)
                values ($1, 'daily', timestamptz 'epoch', 5000, 'strict', 'reject', true, 7, $2)
                """,
                [.integer(key.raw), .integer(today)]
            )
            try await world.run(
                """
                insert into subscriptions (user_id, group_id, starts_at, expires_at, day_start_ms, week_start_ms,
                    month_start_ms)
                values ($1, $2, timestamptz 'epoch', now() + interval '1 day', 0, 0, 0)
                """,
                [.integer(cast.users[0].raw), .integer(cast.group.raw)]
            )
            for (number, window) in [(0, today), (1, today + Self.day), (2, today), (3, today)] {
                var record = cast.record(number)
                if isSubscription {
                    record.limits.subscription = .init(id: id, day: window, week: 0, month: 0)
                } else {
                    record.limits.policy = .init(version: 7, resetEpoch: 0, window: window)
                }
                try await world.charge(record)
                try await world.settleAll()
            }
            let window = FrozenLimits.Policy(version: 7, resetEpoch: 0, window: today)
            let name =
                isSubscription
                ? CounterNames.subscription(id, .day, start: today, partition)
                : CounterNames.policy(of: key, window, partition)
            let used = (try await world.field(name, "b") ?? 0) + (try await world.field(name, "u") ?? 0)
            #expect(used == 1000 + 1002 + 1003)
        }
    }
}
