import Domain
import Formats
import Glibc
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

@testable import GatewayKit

@Suite(
    "Records while Redis is away",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct RedisAwayTests {
    private static func options(_ folder: Folder?) -> Stand.Options {
        var options = Stand.Options()
        options.isPersistent = true
        options.journal = folder?.path
        return options
    }

    /// Streams that have begun, with Redis gone since.
    private static func begin(_ stand: Stand, _ count: Int) async throws -> [(UpstreamCall, Reading)] {
        var begun: [(UpstreamCall, Reading)] = []
        for number in 0..<count {
            let asked = stand.loop.start { try await stand.ask(stream: true) }
            let call = try await stand.upstream.call(number)
            call.startStream()
            call.send(Says.start() + Says.blockStart + Says.delta("first"))
            let reading = Reading(try await asked.wait(), stand.loop)
            try await reading.wait(for: "first")
            begun.append((call, reading))
        }
        // Their checkpoints stand.
        await stand.loop.wait { stand.context.redis.inFlight == 0 }
        try await stand.server.kill()
        await stand.loop.wait { !stand.context.redis.isConnected }
        return begun
    }

    private static func end(_ streams: [(UpstreamCall, Reading)]) async throws {
        for (call, _) in streams {
            call.send(Says.messageDelta() + Says.stop)
            call.finish()
        }
        for (_, reading) in streams { #expect(try await reading.rest().hasSuffix(Says.stop)) }
    }

    @Test(
        "the control plane gets the records, once; Redis gets no second one when it is back",
        arguments: [true, false]
    )
    func posted(hasJournal: Bool) async throws {
        let folder = Folder()
        defer { folder.remove() }
        try await standing(Self.options(hasJournal ? folder : nil)) { (stand) async throws in
            stand.control.takesRecords = true
            let streams = try await Self.begin(stand, 5)
            try await Self.end(streams)
            await stand.loop.wait { stand.context.outbox.held == 0 }
            #expect(stand.control.records.count == 5 && Set(stand.control.records.map(\.requestID)).count == 5)
            #expect(stand.metrics.recordsPosted.value == 5 && (stand.context.journal?.bytes ?? 0) == 0)
            try await stand.server.restart()
            try #require(await stand.redis.waitUntilConnected(.seconds(20)))
            await stand.loop.wait { stand.context.outbox.unsettled == 0 }
            #expect(try await stand.records().isEmpty)
            // What the calls held was given back all the same.
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
        }
    }

    @Test(
        "with nobody there each record is in the journal before its caller sees the end, and goes out when Redis is back"
    )
    func journaled() async throws {
        let folder = Folder()
        defer { folder.remove() }
        try await standing(Self.options(folder)) { (stand) async throws in
            let streams = try await Self.begin(stand, 5)
            for (number, stream) in streams.enumerated() {
                try await Self.end([stream])
                #expect(stand.context.journal?.openRecords == number + 1)
            }
            #expect(stand.context.outbox.held == 5 && stand.context.outbox.isSafe)
            try await stand.server.restart()
            #expect(try await stand.records(5).count == 5)
            await stand.loop.wait { stand.context.outbox.unsettled == 0 && stand.context.journal?.bytes == 0 }
            #expect(try await stand.records().count == 5)
            #expect(stand.context.journal?.openRecords == 0 && stand.context.journal?.bytes == 0)
        }
    }

    @Test(
        "a drain without Redis hands the records to the control plane; with nobody there it leaves them in the journal"
    )
    func drained() async throws {
        let folder = Folder()
        defer { folder.remove() }
        for isThere in [false, true] {
            try await standing(Self.options(folder)) { (stand) async throws in
                if isThere {
                    // What the run before left.
                    #expect(stand.context.journal?.openRecords == 2)
                    try await stand.server.kill()
                    await stand.loop.wait { !stand.context.redis.isConnected }
                    stand.control.takesRecords = true
                    stand.context.outbox.replay()
                    #expect(stand.context.outbox.held == 2)
                } else {
                    try await Self.end(try await Self.begin(stand, 2))
                    _ = await stand.control.server.drain(deadline: .zero)
                }
                let start = MonotonicTime.now
                await WorkerDrain.run(stand.context, stand.gateway, .zero)
                #expect(start.elapsed < .seconds(25))
                #expect(stand.context.outbox.held == (isThere ? 0 : 2))
                #expect(stand.control.records.count == (isThere ? 2 : 0))
                #expect(stand.context.journal?.openRecords == (isThere ? 0 : 2))
            }
        }
    }

    @Test("what a killed worker left in its journal is in the stream once after the next start")
    func replayed() async throws {
        let folder = Folder()
        defer { folder.remove() }
        let left = try await standing(Self.options(folder)) { (stand) async throws -> [UInt8] in
            try await Self.end(try await Self.begin(stand, 3))
            // Killed: nothing is handed in.
            await stand.context.journal?.flush(on: stand.loop)
            return folder.read()
        }
        #expect(JournalFormat.read(left).records.count == 3)
        try await standing(Self.options(folder)) { (stand) async throws in
            stand.context.outbox.replay()
            let records = try await stand.records(3)
            #expect(records.count == 3 && Set(records.map(\.requestID)).count == 3)
            await stand.loop.wait { stand.context.outbox.unsettled == 0 }
            #expect(stand.context.journal?.bytes == 0)
            stand.context.outbox.replay()
            #expect(stand.context.outbox.unsettled == 0)
        }
    }

    @Test("what a call has cost while Redis is away is in the journal until Redis has it, or the call is over")
    func checkpoints() async throws {
        let folder = Folder()
        defer { folder.remove() }
        var options = Self.options(folder)
        options.pace.checkpoint = .zero
        try await standing(options) { (stand) async throws in
            let streams = try await Self.begin(stand, 2)
            for (call, reading) in streams {
                call.send(Says.delta("second"))
                try await reading.wait(for: "second")
            }
            await stand.loop.wait { stand.context.journal?.openRecords ?? 0 >= 2 }
            try await stand.server.restart()
            try #require(await stand.redis.waitUntilConnected(.seconds(20)))
            await stand.loop.wait { stand.context.redis.isConnected }
            // The one goes on, the other one ends.
            streams[0].0.send(Says.delta("third"))
            try await streams[0].1.wait(for: "third")
            try await Self.end([streams[1]])
            await stand.loop.wait { stand.context.outbox.unsettled == 0 && stand.context.journal?.bytes == 0 }
            #expect(stand.context.journal?.openRecords == 0 && stand.context.journal?.bytes == 0)
            try await Self.end([streams[0]])
            let records = try await stand.records(2)
            #expect(records.map(\.phase) == [.final, .final])
            try await stand.quiesce()
            #expect(stand.context.journal?.openRecords == 0)
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
        }
    }

    /// What Redis knows of a call whose worker was killed while it was away.
    enum Known: CaseIterable { case nothing, earlier, further, over }

    @Test(
        "what a killed worker's call had come to without Redis stands there after the next start, unless Redis knows better",
        arguments: Known.allCases
    )
    func killedMeanwhile(known: Known) async throws {
        let folder = Folder()
        defer { folder.remove() }
        var options = Self.options(folder)
        options.pace.checkpoint = .zero
        let left = try await standing(options) { (stand) async throws -> [UInt8] in
            let streams = try await Self.begin(stand, 1)
            let (call, reading) = streams[0]
            for number in 1...3 {
                call.send(Says.delta(String(repeating: "\(number)", count: 100)))
                try await reading.wait(for: String(repeating: "\(number)", count: 100))
            }
            await stand.loop.wait { stand.context.journal?.openRecords ?? 0 >= 3 }
            // Killed here: what comes after this is lost.
            let left = folder.read()
            try await Self.end(streams)
            return left
        }
        let bytes = JournalFormat.read(left).records
        let records = try bytes.map { try UsageRecordDecoder().decode($0) }
        #expect(records.count >= 3 && records.allSatisfy { $0.phase == .swept && $0.end == .workerLost })
        let last = try #require(records.last)
        folder.remove()
        folder.write(bytes)
        try await standing(Self.options(folder)) { (stand) async throws in
            let keys = PartitionKeys.of(last.user)
            let (id, cost) = (last.requestID, last.cost.raw)
            switch known {
            case .nothing: break
            case .earlier: try await stand.run("HSET", keys.checkpoints, id, "\(cost - 1) earlier")
            case .further: try await stand.run("HSET", keys.checkpoints, id, "\(cost + 1) further")
            case .over: try await stand.run("SET", keys.done(id), "final 1-1 \(cost)")
            }
            stand.context.outbox.replay()
            await stand.loop.wait { stand.context.outbox.unsettled == 0 && stand.context.journal?.bytes == 0 }
            #expect(stand.context.journal?.bytes == 0)
            let checkpoint = try await stand.run("HGET", keys.checkpoints, id).bytes
            switch known {
            case .nothing, .earlier:
                #expect(checkpoint == HeldReservation.checkpoint(try #require(bytes.last), cost: last.cost))
            case .further: #expect(checkpoint == Array("\(cost + 1) further".utf8))
            case .over: #expect(checkpoint == nil)
            }
            let isHeld = known != .over
            #expect(try await stand.run("HEXISTS", keys.holds, id).integer == (isHeld ? 1 : 0))
        }
    }

    @Test("a record that Redis is there for and will not take goes to the control plane")
    func refused() async throws {
        try await standing { (stand) async throws in
            stand.control.takesRecords = true
            let asked = stand.loop.start { try await stand.ask(stream: true) }
            let call = try await stand.upstream.call()
            call.startStream()
            call.send(Says.start() + Says.blockStart)
            let reading = Reading(try await asked.wait(), stand.loop)
            try await reading.wait(for: "content_block_start")
            // A text where the stream should be.
            try await stand.run("SET", RedisNames.usage(stand.partition), "x")
            try await Self.end([(call, reading)])
            await stand.loop.wait { stand.context.outbox.unsettled == 0 }
            #expect(stand.control.records.count == 1 && stand.context.outbox.unsettled == 0)
        }
    }

    @Test(
        "a record in the journal that cannot be read goes to the control plane, as it is or as text, and holds up no other",
        arguments: [Array(#"{"version":9}"#.utf8), Array("nonsense".utf8), Array(#"}],"\u{0}"#.utf8), [0xFF, 0xFE]]
    )
    func unreadable(_ record: [UInt8]) async throws {
        let folder = Folder()
        defer { folder.remove() }
        folder.write([record, Array(#"{"version":10}"#.utf8)])
        try await standing(Self.options(folder)) { (stand) async throws in
            stand.control.takesRecords = true
            stand.context.outbox.replay()
            await stand.loop.wait { stand.context.outbox.unsettled == 0 }
            #expect(stand.control.asked.contains("/internal/v1/records"))
            #expect(stand.context.journal?.bytes == 0)
        }
    }
}

/// A folder of one test.
final class Folder: Sendable {
    let path = "/tmp/tollgate-away-\(getpid())-\(MonotonicTime.now.nanoseconds)"

    func remove() {
        for name in ["records.journal", "lock"] { unlink(path + "/" + name) }
        rmdir(path)
    }

    func write(_ records: [[UInt8]]) {
        mkdir(path, 0o700)
        guard let file = fopen(path + "/records.journal", "w") else { return }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        for record in records { JournalFormat.append(record, to: &bytes) }
        fwrite(bytes, 1, bytes.count, file)
    }

    func read() -> [UInt8] {
        guard let file = fopen(path + "/records.journal", "r") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        return Array(bytes[..<fread(&bytes, 1, bytes.count, file)])
    }
}
