import ControlKit
import Domain
import Redis
import Snapshots
import TestSupport
import Testing

@Suite("A Redis that lost the end of its log", .enabled(if: canRun, requirement))
struct RedisLogTests {
    /// What the step has touched.
    private struct Books: Equatable {
        var live: Int64?
        var holds: Int64?
        var reserved: Int64?
        var unsettled: Int64?
        var records: Int64?
        var isDone: Bool

        static let before = Books(live: 1, holds: 1, reserved: 500, unsettled: nil, records: 0, isDone: false)

        init(_ world: World, _ partition: Partition, _ wallet: String) async throws {
            func ask(_ words: String...) async throws -> Int64? {
                try await world.redis.send(RedisCommand(words)).integer
            }
            live = try await ask("ZCARD", RedisNames.live(partition))
            holds = try await ask("HLEN", RedisNames.holds(partition))
            reserved = try await ask("HGET", wallet, "r")
            unsettled = try await ask("HGET", wallet, "u")
            records = try await ask("XLEN", RedisNames.usage(partition))
            isDone = try await ask("EXISTS", RedisNames.done("req_1", partition)) == 1
        }

        init(live: Int64?, holds: Int64?, reserved: Int64?, unsettled: Int64?, records: Int64?, isDone: Bool) {
            (self.live, self.holds, self.reserved, self.unsettled) = (live, holds, reserved, unsettled)
            (self.records, self.isDone) = (records, isDone)
        }
    }

    @Test(
        "a step that the log has no end of never happens by half, not even when Redis starts a second time",
        arguments: ["ZREM", "XADD", "SET", "HINCRBY", "HDEL"]
    )
    func secondStart(command: String) async throws {
        var options = PrivateRedis.Options()
        options.isPersistent = true
        try await withWorld(options) { world in
            let cast = try await Cast(world, users: 1)
            let partition = Partition(of: cast.users[0])
            let wallet = CounterNames.wallet(of: cast.users[0])
            let publisher = world.publisher()
            world.redis.onConnect = { publisher.redisConnected() }
            for words in [
                ["HSET", wallet, "r", "500"], ["HSET", RedisNames.holds(partition), "req_1", wallet + " 500"],
                ["HSET", CounterNames.checkpoints(partition), "req_1", "7 record"],
                ["ZADD", RedisNames.live(partition), "1", "req_1"],
            ] { _ = try await world.redis.send(RedisCommand(words)) }
            #expect(try await Books(world, partition, wallet) == .before)
            _ = try await world.redis.run(
                CounterScripts.sweep,
                keys: [
                    RedisNames.live(partition), RedisNames.holds(partition), CounterNames.checkpoints(partition),
                    RedisNames.usage(partition), RedisNames.done("req_1", partition),
                ],
                arguments: ["req_1", "1", "900"]
            )
            #expect(try await Books(world, partition, wallet).live == 0)
            try await world.server.kill()
            try world.server.cutLog(behind: "\r\n\(command)\r\n")
            try await world.server.restart()
            try await world.wait { world.redis.isConnected }
            #expect(try await Books(world, partition, wallet) == .before)
            try await world.wait("the log is written anew") {
                let information = try await world.redis.send(RedisCommand(["INFO"])).text ?? ""
                let run = try await world.redis.send(RedisCommand(["HGET", RedisNames.logRenewal, "done"])).text
                return run.map { information.contains("run_id:" + $0) } == true
                    && information.contains("aof_rewrite_in_progress:0")
                    && information.contains("aof_rewrite_scheduled:0")
            }
            try await world.server.kill()
            try await world.server.restart()
            try await world.wait { world.redis.isConnected }
            #expect(try await Books(world, partition, wallet) == .before)
        }
    }

    @Test("a run of Redis writes its log anew once, whoever connects; one that keeps no log does not")
    func once() async throws {
        for isPersistent in [true, false] {
            var options = PrivateRedis.Options()
            options.isPersistent = isPersistent
            try await withWorld(options) { world in
                for _ in 0..<3 { await RedisLogRenewal.run(world.redis, log: world.log) }
                let count = try await world.redis.send(RedisCommand(["HGET", RedisNames.logRenewal, "count"]))
                #expect(count.integer == (isPersistent ? 1 : nil))
                guard isPersistent else { return }
                try await world.server.restart()
                try await world.wait { world.redis.isConnected }
                for _ in 0..<3 { await RedisLogRenewal.run(world.redis, log: world.log) }
                let next = try await world.redis.send(RedisCommand(["HGET", RedisNames.logRenewal, "count"]))
                #expect(next.integer == 2)
            }
        }
    }
}
