import Domain
import Formats
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

@testable import GatewayKit

@Suite("How streams end", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct StreamEndTests {
    private static let wires: [Endpoint.WireProtocol] = [.http1, .http2]

    @Test("an upstream that breaks off before content fails over, one alone is a bad gateway")
    func cutBeforeContent() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { call in
                call.startStream()
                call.send(Says.start())
                call.cut()
            }
            let response = try await stand.ask(stream: true)
            #expect(response.head.status == 502 && response.head.headers["content-type"] == "application/json")
            try await stand.quiesce()
            #expect(try await stand.records().isEmpty)
        }
    }

    @Test("an error event after content passes and is how the call ended; what was reported is billed")
    func errorEvent() async throws {
        try await standing { (stand) async throws in
            let asked = stand.loop.start { try await stand.ask(stream: true) }
            let call = try await stand.upstream.call()
            call.startStream()
            call.send(Says.start() + Says.blockStart + Says.delta("12345678") + Says.error)
            let reading = Reading(try await asked.wait(), stand.loop)
            try await reading.wait(for: "overloaded_error")
            // A caller hangs up at an error while the upstream still holds the line.
            reading.leave()
            let record = try #require(try await stand.records(1).first)
            #expect(record.end == .errorEvent && record.isEstimated && record.usage.input == 10)
            await stand.loop.wait { call.isGone }
            #expect(call.isGone)
        }
    }

    @Test(
        "an upstream that breaks off after content ends in the dialect's error event, billed by an estimate",
        arguments: [
            true, false,
        ],
        wires
    )
    func cutAfterContent(isClean: Bool, wire: Endpoint.WireProtocol) async throws {
        var options = Stand.Options()
        options.wire = wire == .http2 ? .h2 : .http1
        try await standing(options) { (stand) async throws in
            let asked = stand.loop.start { try await stand.ask(stream: true, wire: wire) }
            let call = try await stand.upstream.call()
            call.startStream()
            let whole = Says.start() + Says.blockStart + Says.delta(String(repeating: "x", count: 400))
            call.send(whole + "event: content_block_delta\ndata: {\"half")
            let reading = Reading(try await asked.wait(), stand.loop)
            try await reading.wait(for: "xxx")
            if isClean { call.finish() } else { call.cut() }
            let text = try await reading.rest()
            #expect(reading.ends == [nil])
            #expect(text.hasPrefix(whole + "event: error\ndata: {\"type\":\"error\""))
            #expect(text.count(of: "half") == 0 && text.hasSuffix("\n\n"))
            let record = try #require(try await stand.records(1).first)
            #expect(record.end == .upstreamCut && record.isEstimated)
            #expect(record.usage.input == 10 && (100...110).contains(record.usage.output), "\(record.usage.output)")
        }
    }

    @Test("after the last usage a break is no estimate")
    func cutAfterUsage() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = {
                $0.stream(Says.start() + Says.blockStart + Says.delta("hi") + Says.messageDelta(output: 5))
            }
            _ = try await stand.ask(stream: true).text()
            let record = try #require(try await stand.records(1).first)
            #expect(record.end == .upstreamCut && !record.isEstimated && record.usage.output == 5)
        }
    }

    @Test("an event whose blank line ends in a bare CR at the end counts, and passes")
    func bareCR() async throws {
        try await standing { (stand) async throws in
            let text = Says.whole().split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r")
            stand.upstream.script = { $0.stream(text) }
            #expect(try await stand.ask(stream: true).text() == text)
            #expect(try await stand.records(1).first?.end == .complete)
        }
    }

    @Test("a huge event passes, one beyond all bounds ends the stream with an error event")
    func hugeEvent() async throws {
        try await standing { (stand) async throws in
            let huge = Says.delta(String(repeating: "h", count: 3 << 20))
            stand.upstream.script = {
                $0.stream(Says.start() + Says.blockStart + huge + Says.messageDelta() + Says.stop)
            }
            let text = try await stand.ask(stream: true).text()
            #expect(text == Says.start() + Says.blockStart + huge + Says.messageDelta() + Says.stop)
            stand.upstream.script = { call in
                call.startStream()
                call.send(Says.start() + Says.blockStart + Says.delta("before"))
                let piece = [UInt8](repeating: 0x61, count: 1 << 20)
                call.send("data: ")
                for _ in 0..<20 where !call.isGone {
                    call.send(piece)
                    await stand.loop.sleep(.milliseconds(1))
                }
                await stand.loop.wait { call.isGone }
            }
            let cut = try await stand.ask(stream: true).text()
            #expect(cut.contains("before") && cut.contains("event: error\n"))
            #expect(try await stand.records(2).last?.end == .upstreamCut)
        }
    }

    @Test("settlement is on its way to Redis before the caller has its last byte, also for the first call of all")
    func settledFirst() async throws {
        try await standing { (stand) async throws in
            // Asked on the worker's own connection: what it has sent before is done before.
            func records() async throws -> Int64? {
                try await stand.context.redis.send(RedisCommand(["XLEN", RedisNames.usage(stand.partition)])).integer
            }
            stand.upstream.script = { $0.stream(Says.whole()) }
            for number in 0..<20 {
                let reading = Reading(try await stand.ask(stream: true), stand.loop)
                try await reading.wait(for: "message_stop")
                #expect(try await records() == Int64(number + 1))
            }
            stand.upstream.script = { $0.answer(200, Says.message()) }
            for number in 20..<40 {
                _ = try await stand.ask().text()
                #expect(try await records() == Int64(number + 1))
            }
        }
    }
}
