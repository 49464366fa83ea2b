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
    fileprivate func quota(_ account: AccountID) async throws -> [String: String] {
        let parts = try await redis.send(RedisCommand(["HGETALL", RedisNames.quota(of: account)])).array ?? []
        var fields: [String: String] = [:]
        for index in stride(from: 0, to: parts.count - 1, by: 2) {
            fields[parts[index].text ?? ""] = parts[index + 1].text
        }
        return fields
    }

    /// Counts a call as the workers' script does when its slot is given back.
    fileprivate func release(_ record: UsageRecord) async throws {
        let name = RedisNames.quota(of: record.account)
        let cost = "\(record.accountCost.raw)"
        _ = try await redis.send(
            RedisCommand(["HSET", name, record.requestID, "\(cost) \(WallClock.microseconds / 1000)"])
        )
        _ = try await redis.send(RedisCommand(["HINCRBY", name, "u", cost]))
    }

    fileprivate func limit(_ account: AccountID) async throws {
        try await run("update accounts set quota_total = 1000000 where id = $1", [.integer(account.raw)])
    }

    fileprivate func used(_ account: AccountID) async throws -> [Int64] {
        let row = try await pool.query(
            "select daily_used, weekly_used, total_used from account_quotas where account_id = $1",
            [.integer(account.raw)]
        ).first
        guard let row else { return [] }
        return [try row.int("daily_used"), try row.int("weekly_used"), try row.int("total_used")]
    }

    fileprivate func isStage(_ account: AccountID, _ open: String, total: Int64) async throws -> Bool {
        let fields = try await quota(account)
        return fields["u"] == open && fields["t"] == "\(total)"
    }
}

@Suite("Account quotas in the books", .enabled(if: canRun, requirement))
struct AccountQuotaTests {
    @Test("what calls cost their account moves from open to the books, once, and is told to Redis")
    func settles() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            try await world.limit(cast.account)
            for number in 0..<30 {
                try await world.release(cast.record(number))
                try await world.append(cast.record(number))
            }
            let settler = world.settler()
            settler.start()
            try await world.waitUntilSettled()
            let cost = Cast.cost(0..<30)
            #expect(try await world.used(cast.account) == [cost, cost, cost])
            #expect(try await world.isStage(cast.account, "0", total: cost))
            #expect(
                try await world.number("select count(*) as n from usage_records where service_tier = 'flex'") == 6
            )
            let fields = try await world.quota(cast.account)
            #expect(fields["d"] == "\(cost)" && fields["w"] == "\(cost)" && fields.keys.allSatisfy { $0.count < 3 })
            let start = try await world.number("select daily_start_ms as n from account_quotas")
            #expect(fields["de"] == "\(start + 86_400_000)" && fields["we"] == "\(start + 7 * 86_400_000)")
            // All of them again, and one that is new.
            for number in 0..<31 { try await world.append(cast.record(number)) }
            try await world.waitUntilSettled()
            await settler.stop()
            #expect(try await world.used(cast.account)[2] == Cast.cost(0..<31))
            #expect(try await world.isStage(cast.account, "0", total: Cast.cost(0..<31)))
        }
    }

    @Test("a final record replaces what a swept one had cost the account")
    func corrects() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            try await world.limit(cast.account)
            let settler = world.settler()
            settler.start()
            try await world.append(cast.record(1, phase: .swept, cost: 400))
            try await world.waitUntilSettled()
            #expect(try await world.used(cast.account) == [400, 400, 400])
            try await world.append(cast.record(1, cost: 900))
            try await world.append(cast.record(2, cost: 1))
            try await world.waitUntilSettled()
            await settler.stop()
            #expect(try await world.used(cast.account) == [901, 901, 901])
        }
    }

    @Test("two settlers at once count every call of the accounts they share")
    func shared() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 8)
            try await world.append((0..<2000).map { cast.record($0) })
            let stranger = try world.stranger()
            let settler = world.settler()
            settler.start()
            try await world.waitUntilSettled()
            await settler.stop()
            await stranger.stop()
            #expect(try await world.used(cast.account)[2] == Cast.cost(0..<2000))
            // Nobody counts against an account without quotas.
            #expect(try await world.quota(cast.account).isEmpty)
        }
    }

    @Test("a flushed Redis is told again what was used, calls that only Redis knew come with their records")
    func flushed() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            try await world.limit(cast.account)
            let publisher = world.publisher()
            let settler = world.settler()
            settler.start()
            try await world.append((0..<10).map { cast.record($0) })
            try await world.waitUntilSettled()
            try await world.release(cast.record(10))
            _ = try await world.redis.send(RedisCommand(["FLUSHALL"]))
            try await publisher.healNow()
            #expect(try await world.quota(cast.account)["t"] == "\(Cast.cost(0..<10))")
            // Its worker sends the record again.
            try await world.append(cast.record(10))
            try await world.waitUntilSettled()
            await settler.stop()
            #expect(try await world.quota(cast.account)["t"] == "\(Cast.cost(0..<11))")
            #expect(try await world.quota(cast.account)["u"] ?? "0" == "0")
        }
    }

    @Test("records that came without a stream, and calls whose settler died before it told Redis, are told by others")
    func toldByOthers() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            try await world.limit(cast.account)
            let publisher = world.publisher()
            try await world.release(cast.record(1))
            try await world.pool.withConnection { connection in
                try await SettlementStore.prepare(connection)
                _ = try await connection.transaction { connection in
                    try await SettlementStore.settle([SettlementItem(cast.record(1))], positions: [], connection)
                }
            }
            try await publisher.publishCommitted()
            #expect(try await world.isStage(cast.account, "0", total: 1001))

            try await world.release(cast.record(2))
            try await world.pool.withConnection { connection in
                try await SettlementStore.prepare(connection)
                _ = try await connection.transaction { connection in
                    let item = SettlementItem(cast.record(2), streamID: StreamID("1-1"))
                    return try await SettlementStore.settle([item], positions: [], connection)
                }
            }
            #expect(try await world.isStage(cast.account, "1002", total: 1001))
            let reconciler = CounterReconciler(
                world.loop,
                world.pool,
                world.redis,
                publisher,
                log: world.log,
                metrics: MetricsRegistry()
            )
            try await reconciler.run()
            #expect(try await world.isStage(cast.account, "0", total: 2003))
            // A sum that somebody has broken is counted again.
            try await world.release(cast.record(3))
            _ = try await world.redis.send(RedisCommand(["HSET", RedisNames.quota(of: cast.account), "u", "5"]))
            #expect(try await publisher.writeQuotas(of: nil) == 998)
            #expect(try await world.isStage(cast.account, "1003", total: 2003))
        }
    }

    @Test("an account that has no quota any more leaves nothing in Redis, and keeps what is used")
    func unlimited() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            try await world.limit(cast.account)
            let publisher = world.publisher()
            let settler = world.settler()
            settler.start()
            try await world.append(cast.record(1))
            try await world.waitUntilSettled()
            await settler.stop()
            #expect(try await world.quota(cast.account)["t"] == "1001")
            try await world.run("update accounts set quota_total = null")
            try await world.outbox("account_quota", cast.account.raw)
            try await publisher.publishCommitted()
            #expect(try await world.quota(cast.account).isEmpty)
            try await world.limit(cast.account)
            try await world.outbox("account_quota", cast.account.raw)
            try await publisher.publishCommitted()
            #expect(try await world.quota(cast.account)["t"] == "1001")
        }
    }
}
