import Domain
import GatewayKit
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

@Suite("Usage records", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct OutboxTests {
    private static func message(_ call: UpstreamCall) async { call.answer(200, Says.message()) }

    @Test("Redis gone before the end of a call: the answer is whole, and the record in the stream once when it is back")
    func killed() async throws {
        var options = Stand.Options()
        options.isPersistent = true
        try await standing(options) { (stand) async throws in
            let asked = stand.loop.start { try await stand.ask(stream: true) }
            let call = try await stand.upstream.call()
            call.startStream()
            call.send(Says.start() + Says.blockStart)
            let reading = Reading(try await asked.wait(), stand.loop)
            try await reading.wait(for: "content_block_start")
            try await stand.server.kill()
            await stand.loop.wait { !stand.context.redis.isConnected }
            call.send(Says.delta("x") + Says.messageDelta() + Says.stop)
            call.finish()
            #expect(try await reading.rest().hasSuffix(Says.stop))
            #expect(stand.context.outbox.unsettled == 1)
            let refused = try await stand.ask()
            #expect(refused.head.status == 503 && refused.head.headers["retry-after"] == "1")
            try await stand.server.restart()
            #expect(try await stand.records(1).count == 1)
            await stand.loop.wait { stand.context.outbox.unsettled == 0 }
            #expect(try await stand.records().count == 1)
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
        }
    }

    @Test("Redis takes a record and cannot say so: the record is in the stream once")
    func answerLost() async throws {
        var options = Stand.Options()
        options.usesRelay = true
        try await standing(options) { (stand) async throws in
            // Redis knows the scripts by then: an answer is all that can get lost.
            stand.upstream.script = Self.message
            _ = try await stand.ask().text()
            stand.upstream.script = nil
            let reading = Reading(
                try await stand.start { $0.send(Says.start() + Says.blockStart) }.wait(stand, .http1),
                stand.loop
            )
            try await reading.wait(for: "content_block_start")
            let call = try await stand.upstream.call(1)
            stand.relay.losesAnswers = true
            call.send(Says.messageDelta() + Says.stop)
            call.finish()
            _ = try await reading.rest()
            #expect(try await stand.records(2).count == 2)
            #expect(stand.context.outbox.unsettled == 1)
            stand.relay.cut()
            await stand.loop.wait { stand.context.outbox.unsettled == 0 }
            #expect(stand.context.outbox.unsettled == 0 && stand.context.outbox.uncovered == 2)
            #expect(try await stand.records().count == 2)
        }
    }

    @Test(
        "Redis forgets everything: what Postgres may not have is sent again, whoever comes by first",
        arguments: [
            true, false,
        ]
    )
    func flushed(isQuiet: Bool) async throws {
        var options = Stand.Options()
        options.pace.epochWatch = isQuiet ? .milliseconds(50) : .seconds(1000)
        try await standing(options) { (stand) async throws in
            stand.upstream.script = Self.message
            for _ in 0..<3 { _ = try await stand.ask().text() }
            let before = try await stand.records(3).map(\.requestID)
            await stand.loop.wait { stand.context.outbox.uncovered == 3 }
            try await stand.run("FLUSHALL")
            if !isQuiet {
                // The same worker makes the partition's new epoch.
                try await stand.publish()
                _ = try await stand.ask().text()
            }
            let expected = isQuiet ? 3 : 4
            let after = try await stand.records(expected).map(\.requestID)
            #expect(after.count == expected && Set(before).isSubset(of: after))
            await stand.loop.wait { stand.context.outbox.uncovered == expected }
            // And a second time.
            try await stand.run("FLUSHALL")
            if !isQuiet {
                try await stand.publish()
                _ = try await stand.ask().text()
            }
            #expect(try await stand.records(expected).count >= expected)
        }
    }

    @Test("another Redis process with the same epochs gets what it may have lost, once")
    func otherProcess() async throws {
        var options = Stand.Options()
        options.isPersistent = true
        options.pace.epochWatch = .seconds(1000)
        try await standing(options) { (stand) async throws in
            stand.upstream.script = Self.message
            for _ in 0..<3 { _ = try await stand.ask().text() }
            #expect(try await stand.records(3).count == 3)
            await stand.loop.wait { stand.context.outbox.uncovered == 3 }
            // What a crash may take: the end of the log, with the marker of the last record in it.
            let last = try #require(try await stand.records().last)
            let entry = try #require(
                try await stand.run("XREVRANGE", RedisNames.usage(stand.partition), "+", "-", "COUNT", "1").array?
                    .first?
                    .array?.first?.text
            )
            try await stand.run("XDEL", RedisNames.usage(stand.partition), entry)
            try await stand.run("DEL", RedisNames.done(last.requestID, stand.partition))
            try await stand.server.restart()
            let records = try await stand.records(3)
            #expect(records.count == 3 && records.contains { $0.requestID == last.requestID })
            await stand.loop.wait { stand.context.outbox.unsettled == 0 }
            #expect(try await stand.records().count == 3)
        }
    }

    @Test("a watermark covers what stands before it, of its own epoch only")
    func watermark() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = Self.message
            for _ in 0..<3 { _ = try await stand.ask().text() }
            await stand.loop.wait { stand.context.outbox.uncovered == 3 }
            let entries = try await stand.run("XRANGE", RedisNames.usage(stand.partition), "-", "+").array ?? []
            let ids = entries.compactMap { $0.array?.first?.text.flatMap { StreamID($0) } }
            try #require(ids.count == 3)
            let epoch = try #require(try await stand.run("GET", RedisNames.epoch(stand.partition)).text)
            let outbox = stand.context.outbox
            outbox.reached(stand.partition, epoch: "other", ids[2])
            outbox.reached(try #require(Partition((stand.partition.number + 1) % 64)), epoch: epoch, ids[2])
            #expect(outbox.uncovered == 3)
            outbox.reached(stand.partition, epoch: epoch, ids[1])
            #expect(outbox.uncovered == 1)
            outbox.reached(stand.partition, epoch: epoch, ids[0])
            #expect(outbox.uncovered == 1)
            outbox.reached(stand.partition, epoch: epoch, ids[2])
            #expect(outbox.uncovered == 0)
        }
    }

    @Test("an admission whose answer is lost leaves nothing behind")
    func lostAdmission() async throws {
        var options = Stand.Options()
        options.slotLimits = (4, 4)
        options.usesRelay = true
        try await standing(options) { (stand) async throws in
            stand.upstream.script = Self.message
            _ = try await stand.ask().text()
            try await stand.quiesce()
            stand.relay.losesAnswers = true
            let asked = stand.loop.start { try await stand.ask() }
            await stand.loop.wait { stand.relay.lost > 0 }
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 1)
            stand.relay.cut()
            #expect(try await asked.wait().head.status == 503)
            await stand.loop.wait { stand.context.outbox.unsettled == 0 }
            #expect(stand.context.outbox.unsettled == 0)
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: stand.key.user)) == 0)
            #expect(try await stand.records().count == 1)
        }
    }

    @Test("leases of a call that runs are renewed, and none is when it has ended")
    func renewal() async throws {
        var options = Stand.Options()
        options.slotLimits = (4, 4)
        options.pace.leaseRenewal = .milliseconds(20)
        try await standing(options) { (stand) async throws in
            let reading = Reading(
                try await stand.start { $0.send(Says.start() + Says.blockStart) }.wait(stand, .http1),
                stand.loop
            )
            try await reading.wait(for: "content_block_start")
            let sets = [
                RedisNames.slots(of: stand.key.user), RedisNames.slots(of: stand.key.id, stand.partition),
                RedisNames.slots(of: AccountID(1)),
            ]
            for set in sets {
                let id = try #require(try await stand.run("ZRANGE", set, "0", "0").array?.first?.text)
                try await stand.run("ZADD", set, "1", id)
                var score: Int64 = 1
                for _ in 0..<4000 where score == 1 { score = try await stand.run("ZSCORE", set, id).integer ?? 0 }
                #expect(score > 1)
            }
            let call = try await stand.upstream.call()
            call.send(Says.messageDelta() + Says.stop)
            call.finish()
            _ = try await reading.rest()
            try await stand.quiesce()
            #expect(stand.context.leases.count == 0)
            for set in sets { #expect(try await stand.count("ZCARD", set) == 0) }
        }
    }
}
