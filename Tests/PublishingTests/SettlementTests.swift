import ControlKit
import Domain
import Postgres
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

@Suite("Settlement", .enabled(if: canRun, requirement))
struct SettlementTests {
    @Test("a record reaches every book, is removed from its stream, and is announced")
    func oneRecord() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            var record = cast.record(1)
            record.usage.inputMedia = .init(image: 70, audio: 80)
            let ear = try await world.listen()
            try await world.append(record)
            let settler = world.settler()
            settler.start()
            try await world.waitUntilSettled()
            (try await world.books()).expect(1, cost: 1001)
            let row = try #require(
                try await world.pool.query(
                    """
                    select *, (extract(epoch from created_at) * 1000000)::bigint as at from usage_records
                    """
                ).first
            )
            #expect(try row.text("request_id") == record.requestID)
            #expect(try row.int("at") == record.createdAt.microseconds)
            #expect(try row.int("user_id") == record.user.raw)
            #expect(try row.text("upstream_model") == record.upstreamModel)
            #expect(try row.text("user_agent") == record.userAgent)
            #expect(try row.isNull("first_token_ms"))
            #expect(try row.text("end") == "complete")
            #expect(try row.int("web_searches") == 6)
            #expect(try row.int("image_input_tokens") == 70 && row.int("audio_input_tokens") == 80)
            #expect(try row.int("image_output_tokens") == 1 && row.int("audio_output_tokens") == 1)
            #expect(try await world.number("select amount as n from wallet_ledger") == -1001)
            #expect(try await world.number("select balance_after as n from wallet_ledger") == -1001)
            #expect(
                try await world.number("select count(*) as n from accounts where last_used_at is not null") == 1
            )
            #expect(
                try await world.number("select count(*) as n from api_keys where last_used_at is not null") == 1
            )
            let partition = Partition(of: record.user)
            try await world.wait { !ear.heard.isEmpty }
            guard case .watermark(partition, "epoch-1", let id) = ear.heard[0] else {
                Issue.record("\(ear.heard)")
                return
            }
            let position = try await world.pool.query(
                "select epoch, last_id from settlement_positions where partition = $1",
                [.integer(Int64(partition.number))]
            )
            #expect(try position.first?.text("last_id") == id)
            #expect(try position.first?.text("epoch") == "epoch-1")
            ear.close()
            await settler.stop()
        }
    }

    @Test("a record that costs nothing is kept without an entry in the wallet's ledger")
    func freeCall() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            try await world.append([cast.record(1, cost: 0), cast.record(2)])
            let settler = world.settler()
            settler.start()
            try await world.waitUntilSettled()
            let books = try await world.books()
            books.expect(2, cost: 1002)
            #expect(books.charges == 1)
            await settler.stop()
        }
    }

    @Test("a record that is sent again counts once: in one batch, in the next, and by the other way")
    func resent() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            let settler = world.settler()
            try await world.append([cast.record(1), cast.record(1), cast.record(2)])
            settler.start()
            try await world.waitUntilSettled()
            try await world.append([cast.record(1), cast.record(2), cast.record(2)])
            try await world.waitUntilSettled()
            let api = world.internalAPI()
            let answer = try await api.answer(
                .post("/internal/v1/records"),
                body: array([cast.record(2), cast.record(3)])
            )
            #expect(text(answer) == #"{"settled":1,"repeated":1,"rejected":0}"#)
            try await world.append(cast.record(3))
            try await world.waitUntilSettled()
            (try await world.books()).expect(3, cost: Cast.cost(1..<4))
            await settler.stop()
        }
    }

    @Test(
        "a final record replaces a swept one and nothing replaces a final one",
        arguments: [
            ([.swept, .final], 700), ([.final, .swept], 700), ([.swept, .final, .swept, .final], 700),
            ([.swept], 300), ([.swept, .swept], 300),
        ] as [([SettlementPhase], Int64)]
    )
    func phases(order: [SettlementPhase], cost: Int64) async throws {
        try await settle(order, cost: cost, isOneBatch: true)
        try await settle(order, cost: cost, isOneBatch: false)
    }

    private func settle(_ order: [SettlementPhase], cost: Int64, isOneBatch: Bool) async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            let settler = world.settler()
            if !isOneBatch { settler.start() }
            let start = cast.record(1)
            for phase in order {
                var record = start
                record.phase = phase
                record.cost = NanoUSD(phase == .final ? 700 : 300)
                record.usage.output = phase == .final ? 20 : 10
                try await world.append(record)
                if !isOneBatch { try await world.waitUntilSettled() }
            }
            if isOneBatch { settler.start() }
            try await world.waitUntilSettled()
            (try await world.books()).expect(1, cost: cost)
            let hasFinal = order.contains(.final)
            #expect(
                try await world.number("select sum(output_tokens)::bigint as n from key_usage_daily")
                    == (hasFinal ? 20 : 10)
            )
            #expect(
                try await world.number("select count(*) as n from settled where phase = 'final'")
                    == (hasFinal ? 1 : 0)
            )
            await settler.stop()
        }
    }

    @Test("what is no usage record is put aside and holds up nobody")
    func poison() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            let partition = Partition(of: cast.users[0])
            let other = cast.record(1)
            try await world.append(cast.record(0))
            try await world.append(Array("not json \u{0} 中".utf8), partition)
            try await world.append([0xff, 0xfe, 0x00], partition)
            try await world.append(Array("{}".utf8), partition)
            try await world.append([], partition)
            // Stands in another user's partition.
            try await world.append(other.encoded, partition)
            _ = try await world.redis.send(
                RedisCommand(["XADD", RedisNames.usage(partition), "*", "other", "field"])
            )
            try await world.append(cast.record(3))
            let settler = world.settler()
            settler.start()
            try await world.waitUntilSettled()
            (try await world.books()).expect(2, cost: 1000 + 1003, deadLetters: 6)
            await settler.stop()
        }
    }

    @Test("a record that the database refuses is found in its batch and put aside alone")
    func refusedByDatabase() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 5)
            // Adding anything to this key's sums overflows them.
            try await world.run(
                """
                insert into key_usage_daily (key_id, day, input_tokens)
                values ($1, (now() at time zone 'UTC')::date, 9223372036854775807)
                """,
                [.integer(cast.keys[2].raw)]
            )
            try await world.append((1...50).map { cast.record($0) })
            let settler = world.settler()
            settler.start()
            try await world.waitUntilSettled()
            let poisoned = (1...50).filter { $0 % 5 == 2 }
            #expect(try await world.number("select count(*) as n from usage_dead_letter") == 10)
            #expect(try await world.number("select count(*) as n from usage_records") == 40)
            let cost = Cast.cost(1..<51) - poisoned.reduce(0) { $0 + 1000 + Int64($1) }
            #expect(try await world.number("select -sum(balance)::bigint as n from users") == cost)
            #expect(try await world.number("select -sum(amount)::bigint as n from wallet_ledger") == cost)
            // Positions went on past them.
            #expect(
                try await world.number("select count(*) as n from settlement_positions where last_id <> '0-0'") == 5
            )
            await settler.stop()
        }
    }

    @Test("two settlers at once share the partitions and settle each record once")
    func twoSettlers() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 64)
            let settler = world.settler()
            settler.start()
            let stranger = try world.stranger()
            var sent = 0
            while sent < 6000 {
                let records = (sent..<sent + 500).map { cast.record($0) }
                // Every tenth twice.
                try await world.append(records + records.filter { $0.cost.raw % 10 == 0 })
                sent += 500
                await world.loop.sleep(.milliseconds(100))
            }
            try await world.wait("shared") {
                try await world.number(
                    """
                    select count(distinct pid) as n from pg_locks
                    where locktype = 'advisory' and objsubid = 2 and objid < 64
                        and database = (select oid from pg_database where datname = current_database())
                    """
                ) == 2
            }
            try await world.append((6000..<8000).map { cast.record($0) })
            try await world.waitUntilSettled()
            (try await world.books()).expect(8000, cost: Cast.cost(0..<8000))
            await stranger.stop()
            // The other one takes over what was given back.
            try await world.append((8000..<8128).map { cast.record($0) })
            try await world.waitUntilSettled()
            (try await world.books()).expect(8128, cost: Cast.cost(0..<8128))
            await settler.stop()
        }
    }

    @Test("settlements of the same records by two control planes without any lock still count once")
    func withoutLocks() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 3)
            let records = (0..<300).map { SettlementItem(cast.record($0)) }
            var outcomes: [SettlementStore.Outcome] = []
            for _ in 0..<4 {
                world.loop.spawn {
                    let outcome = try? await world.pool.withConnection { connection in
                        try await SettlementStore.prepare(connection)
                        return try await connection.transaction { connection in
                            try await SettlementStore.settle(records, positions: [], connection)
                        }
                    }
                    if let outcome { outcomes.append(outcome) }
                }
            }
            try await world.wait { outcomes.count == 4 }
            #expect(outcomes.map(\.new).reduce(0, +) == 300)
            #expect(outcomes.map(\.repeated).reduce(0, +) == 900)
            (try await world.books()).expect(300, cost: Cast.cost(0..<300))
        }
    }

    @Test("after a flush of Redis positions start over and records sent again count once")
    func flush() async throws {
        try await withWorld { world in
            let cast = try await Cast(world)
            let settler = world.settler()
            settler.start()
            try await world.append((0..<30).map { cast.record($0) })
            try await world.waitUntilSettled()
            _ = try await world.redis.send(RedisCommand(["FLUSHALL"]))
            // A server whose clock is behind gives lower ids.
            let partition = Partition(of: cast.users[0])
            var command = RedisCommand(["XADD", RedisNames.usage(partition), "5-1", "r"])
            command.add(cast.record(0).encoded)
            var fresh = RedisCommand(["XADD", RedisNames.usage(partition), "5-2", "r"])
            fresh.add(cast.record(30).encoded)
            _ = try await world.redis.sendAll([
                RedisCommand(["SET", RedisNames.epoch(partition), "epoch-2"]), command, fresh,
            ])
            try await world.waitUntilSettled()
            (try await world.books()).expect(31, cost: Cast.cost(0..<31))
            let position = try await world.pool.query(
                "select epoch, last_id from settlement_positions where partition = $1",
                [.integer(Int64(partition.number))]
            ).first
            #expect(try position?.text("epoch") == "epoch-2")
            #expect(try position?.text("last_id") == "5-2")
            await settler.stop()
        }
    }

    @Test("Postgres and Redis restarted while 20,000 records are settled: all books agree, each call once")
    func restarts() async throws {
        let postgres = try await PrivatePostgres.start()
        var options = PrivateRedis.Options()
        options.isPersistent = true
        try await withWorld(postgres, options) { world in
            let cast = try await Cast(world, users: 40)
            let settler = world.settler()
            settler.start()
            let stranger = try world.stranger()
            try await world.append((0..<6000).map { cast.record($0) })
            try await postgres.restart()
            try await world.append((6000..<12_000).map { cast.record($0) })
            await world.loop.sleep(.milliseconds(300))
            try await world.server.restart()
            try await world.wait { world.redis.isConnected }
            // What a worker is not sure of it sends again.
            try await world.append((11_000..<16_000).map { cast.record($0) })
            try await postgres.kill()
            try await world.append((16_000..<20_000).map { cast.record($0) })
            try await postgres.restart()
            try await world.waitUntilSettled()
            (try await world.books()).expect(20_000, cost: Cast.cost(0..<20_000))
            await stranger.stop()
            await settler.stop()
        }
    }

    @Test("ids settled more than 45 days ago are forgotten, younger ones kept")
    func expiry() async throws {
        try await withWorld { world in
            try await world.run(
                """
                insert into settled (request_id, phase, cost, settled_at)
                select 'r' || n, 'final', 1, now() - n * interval '1 day' from generate_series(1, 90) n
                """
            )
            await Housekeeping(world.loop, world.pool, log: world.log)
                .run(now: Timestamp.now)
            #expect(try await world.number("select count(*) as n from settled") == 44)
        }
    }

    @Test("a round reads little where little is going on and never more than fits")
    func readPlan() {
        var plan = ReadPlan()
        let all = Set(Partition.all)
        #expect(plan.round(all).count == 64)
        #expect(plan.round(all).allSatisfy { $0.limit == ReadPlan.smallest })
        for _ in 0..<10 { for partition in Partition.all { plan.note(partition, wasFull: true) } }
        var seen: Set<Partition> = []
        for _ in 0..<32 {
            let round = plan.round(all)
            #expect(round.reduce(0) { $0 + $1.limit } <= ReadPlan.total)
            seen.formUnion(round.map(\.partition))
        }
        #expect(seen == all)
        for _ in 0..<10 { for partition in Partition.all { plan.note(partition, wasFull: false) } }
        #expect(plan.round(all).count == 64)
        #expect(plan.round([]).isEmpty)
    }

    @Test("partitions are shared out evenly", arguments: [(0, 64), (1, 64), (2, 32), (3, 22), (64, 1), (100, 1)])
    func share(settlers: Int, partitions: Int) {
        #expect(PartitionLocks.share(settlers: settlers) == partitions)
    }

    private func array(_ records: [UsageRecord]) -> [UInt8] {
        Array("[\(records.map { String(decoding: $0.encoded, as: UTF8.self) }.joined(separator: ","))]".utf8)
    }

    private func text(_ answer: InternalAnswer) -> String { String(decoding: answer.body, as: UTF8.self) }
}
