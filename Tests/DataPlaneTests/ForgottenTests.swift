import Domain
import GatewayKit
import HTTPFetching
import HTTPMessages
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

@Suite("When Redis loses what it had", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs redis-server"))
struct ForgottenTests {
    private static func message(_ call: UpstreamCall) async { call.answer(200, Says.message()) }

    /// A stream whose content has begun, and what Redis then holds of it.
    private static func begin(_ stand: Stand) async throws -> (UpstreamCall, Reading, id: String) {
        let reading = Reading(
            try await stand.start { $0.send(Says.start() + Says.blockStart + Says.delta("first")) }.wait(stand, .http1),
            stand.loop
        )
        try await reading.wait(for: "first")
        let call = try await stand.upstream.call()
        let id = try #require(
            try await stand.run("HKEYS", RedisNames.holds(stand.partition)).array?.first?.text
        )
        await stand.loop.wait { stand.context.redis.inFlight == 0 }
        return (call, reading, id)
    }

    private static func holds(_ stand: Stand, _ id: String) async throws -> Bool {
        let names = [RedisNames.holds(stand.partition), CounterNames.checkpoints(stand.partition)]
        for name in names {
            guard try await stand.run("HEXISTS", name, id).integer == 1 else { return false }
        }
        return try await stand.run("ZSCORE", RedisNames.slots(of: AccountID(1)), id) != .null
    }

    @Test("a stream under way has its reservation, its checkpoint and its slots again", arguments: [false, true])
    func reserved(isRefusedAtFirst: Bool) async throws {
        var options = Stand.Options()
        options.slotLimits = (4, 4)
        options.pace.epochWatch = .seconds(1000)
        options.pace.leaseRenewal = .seconds(1000)
        options.pace.checkpoint = .seconds(1000)
        try await standing(options) { (stand) async throws in
            let (call, reading, id) = try await Self.begin(stand)
            #expect(try await Self.holds(stand, id))
            try await stand.run("FLUSHALL")
            if isRefusedAtFirst { try await stand.run("CONFIG", "SET", "min-replicas-to-write", "1") }
            stand.context.leases.reserveAgain(in: stand.partition)
            await stand.loop.wait { stand.context.redis.inFlight == 0 }
            if isRefusedAtFirst {
                #expect(try await !Self.holds(stand, id))
                try await stand.run("CONFIG", "SET", "min-replicas-to-write", "0")
            }
            try await stand.until(within: .seconds(10)) { try await Self.holds(stand, id) }
            call.send(Says.messageDelta() + Says.stop)
            call.finish()
            _ = try await reading.rest()
            try await stand.quiesce()
            #expect(try await stand.records(1).count == 1)
            #expect(try await !Self.holds(stand, id))
        }
    }

    @Test("a strict policy lets nobody in before all workers have reserved again, also where no connection broke")
    func strictAfterFlush() async throws {
        try await standing { (stand) async throws in
            try await stand.limitWeek(to: NanoUSD(1_000_000_000_000))
            try await stand.age()
            let (call, reading, id) = try await Self.begin(stand)
            try await stand.run("FLUSHALL")
            try await stand.publish()
            // Somebody else's calls; the worker with the stream has none that would show it the new epoch.
            let other = AdmissionStore(stand.redis, proposedEpoch: "other")
            try await stand.until(within: .seconds(15)) { try await Self.isAdmitted(stand, other, "req_other") }
            #expect(try await Self.holds(stand, id))
            call.finish()
            _ = try? await reading.rest()
            try await stand.quiesce()
        }
    }

    @Test("nor after a new connection: Redis may lack what other workers had reserved, and show the old epoch")
    func strictAfterFailover() async throws {
        try await standing { (stand) async throws in
            try await stand.limitWeek(to: NanoUSD(1_000_000_000_000))
            try await stand.age()
            #expect(try await Self.isAdmitted(stand, stand.context.admission, "req_before"))
            var ends = 0
            let end = stand.context.redis.onDisconnect
            stand.context.redis.onDisconnect = {
                end?()
                ends += 1
            }
            try await stand.run("CLIENT", "KILL", "TYPE", "normal")
            await stand.loop.wait { ends == 1 && stand.context.redis.isConnected }
            #expect(try await !Self.isAdmitted(stand, stand.context.admission, "req_after"))
            try await stand.until(within: .seconds(15)) {
                try await Self.isAdmitted(stand, stand.context.admission, "req_other")
            }
        }
    }

    @Test("a call waits until all is counted again, however often Redis forgets meanwhile")
    func waits() async throws {
        try await standing { (stand) async throws in
            try await stand.limitWeek(to: NanoUSD(1_000_000_000_000))
            stand.upstream.script = Self.message
            let answer = stand.loop.start { try await stand.ask() }
            let start = MonotonicTime.now
            while start.elapsed < .seconds(6) {
                let time = try #require(try await stand.run("TIME").array?.first?.text)
                try await stand.run("SET", RedisNames.epoch(stand.partition), "new.\(time).0")
                // It asks again, and is not let in.
                let asked = try await stand.scriptCalls()
                try await stand.until(within: .seconds(10)) { try await stand.scriptCalls() > asked }
                #expect(!answer.isFulfilled)
            }
            #expect(try await answer.wait().head.status == 200)
        }
    }

    @Test("a call that may not wait so long is told that the gateway is not ready, not that others use its budget")
    func refused() async throws {
        try await standing(.init(settings: ["queue_wait_seconds": 1])) { (stand) async throws in
            try await stand.limitWeek(to: NanoUSD(1_000_000_000_000))
            try await stand.run("DEL", RedisNames.epoch(stand.partition))
            let answer = try await stand.ask().head
            #expect(answer.status == 503 && answer.headers["x-tollgate-code"] == "service_unavailable")
            #expect(answer.headers["retry-after"] == "3")
            #expect(stand.upstream.calls.isEmpty)
        }
    }

    @Test("that Redis has forgotten is acted on when those it had answered before have gone on")
    func order() async throws {
        try await standing { (stand) async throws in
            let outbox = stand.context.outbox
            let other = try #require(Partition.all.first { $0 != stand.partition })
            var steps: [String] = []
            outbox.onForgotten = { _ in steps.append("forgotten") }
            let answered = Promise<Void>()
            stand.loop.spawn {
                try? await answered.wait()
                steps.append("went on")
            }
            Array("old".utf8).withUnsafeBytes { outbox.noteEpoch(other, $0) }
            answered.succeed(())
            Array("new".utf8).withUnsafeBytes { outbox.noteEpoch(other, $0) }
            #expect(steps.isEmpty)
            await stand.loop.wait { steps.count == 2 }
            #expect(steps == ["went on", "forgotten"])
        }
    }

    private static func isAdmitted(_ stand: Stand, _ store: AdmissionStore, _ id: String) async throws -> Bool {
        let answer = try await store.admit(
            id,
            ServingKey(stand.key),
            try #require(stand.context.config?.group(stand.key.group)),
            amount: NanoUSD(5),
            now: .now,
            ticket: nil,
            isLenient: false
        )
        switch answer {
        case .admitted: return true
        case .unsure: return false
        default: throw RedisError.unexpectedAnswer
        }
    }

    @Test(
        "what Redis had taken and Postgres may not have is in the journal as soon as Redis is gone, and sent again once"
    )
    func journaled() async throws {
        let folder = Folder()
        defer { folder.remove() }
        var options = Stand.Options()
        options.isPersistent = true
        options.journal = folder.path
        try await standing(options) { (stand) async throws in
            stand.upstream.script = Self.message
            for _ in 0..<3 { _ = try await stand.ask().text() }
            let before = try await stand.records(3).map(\.requestID)
            await stand.loop.wait { stand.context.outbox.uncovered == 3 }
            let journal = try #require(stand.context.journal)
            #expect(journal.openRecords == 0)
            try await stand.server.kill()
            await stand.loop.wait { !stand.context.redis.isConnected }
            #expect(journal.openRecords == 3 && stand.context.outbox.held == 3 && stand.context.outbox.isSafe)
            try await stand.server.restart()
            await stand.loop.wait { stand.context.outbox.uncovered == 3 }
            #expect(journal.openRecords == 0)
            // This is another connection than the worker's.
            try #require(await stand.redis.waitUntilConnected(.seconds(20)))
            #expect(try await stand.records().map(\.requestID) == before)
        }
    }
}
