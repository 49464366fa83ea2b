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

@Suite(
    "Callers that leave a stream",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct CallerGoneTests {
    private static let wires: [Endpoint.WireProtocol] = [.http1, .http2]

    @Test("a caller that leaves before content ends the upstream's work and pays nothing", arguments: wires)
    func leavesBefore(wire: Endpoint.WireProtocol) async throws {
        try await standing { (stand) async throws in
            let canceller = FetchCanceller()
            let request = stand.request(body: Array(Stand.body(stream: true).utf8), wire: wire)
            let asked = stand.loop.start { try await stand.caller.send(request, canceller: canceller) }
            let call = try await stand.upstream.call()
            call.startStream()
            call.send(Says.start())
            await stand.loop.wait { stand.context.silence.count == 1 }
            canceller.cancel()
            _ = try? await asked.wait()
            await stand.loop.wait { call.isGone }
            #expect(call.isGone)
            try await stand.quiesce()
            #expect(try await stand.records().isEmpty)
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: AccountID(1))) == 0)
        }
    }

    @Test(
        "a caller that leaves after content frees its slot at once; the answer is read on and billed in full",
        arguments: wires
    )
    func leavesAfter(wire: Endpoint.WireProtocol) async throws {
        var options = Stand.Options()
        options.slotLimits = (2, 2)
        try await standing(options) { (stand) async throws in
            let slots = [RedisNames.slots(of: stand.key.user), RedisNames.slots(of: stand.key.id, stand.partition)]
            let reading = Reading(
                try await stand.start { $0.send(Says.start() + Says.blockStart) }.wait(stand, wire),
                stand.loop
            )
            let call = try await stand.upstream.call()
            try await reading.wait(for: "content_block_start")
            for name in slots { #expect(try await stand.count("ZCARD", name) == 1) }
            reading.leave()
            await stand.loop.wait { stand.context.drains.count(of: stand.key.id) == 1 }
            for name in slots {
                var count: Int64 = 1
                for _ in 0..<2000 where count > 0 { count = try await stand.count("ZCARD", name) }
                #expect(count == 0)
            }
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: AccountID(1))) == 1)
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 1)
            #expect(!call.isGone)
            call.send(Says.delta("more") + Says.messageDelta(output: 70) + Says.stop)
            call.finish()
            let record = try #require(try await stand.records(1).first)
            #expect(record.end == .callerGone && !record.isEstimated && record.usage.output == 70)
            try await stand.quiesce()
            #expect(stand.context.drains.count(of: stand.key.id) == 0)
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: AccountID(1))) == 0)
        }
    }

    @Test("an answer that does not end is read on for so long only, and billed for what was delivered")
    func drainTime() async throws {
        var options = Stand.Options()
        options.settings = ["drain_after_disconnect_seconds": 1]
        try await standing(options) { (stand) async throws in
            let text = Says.start() + Says.blockStart + Says.delta(String(repeating: "x", count: 400))
            let reading = Reading(try await stand.start { $0.send(text) }.wait(stand, .http1), stand.loop)
            try await reading.wait(for: "xxx")
            let call = try await stand.upstream.call()
            reading.leave()
            await stand.loop.wait { stand.context.drains.count(of: stand.key.id) == 1 }
            // Not delivered: not billed.
            call.send(Says.delta(String(repeating: "y", count: 4000)))
            let record = try #require(try await stand.records(1).first)
            #expect(record.end == .callerGone && record.isEstimated && (100...110).contains(record.usage.output))
            await stand.loop.wait { call.isGone }
            #expect(call.isGone)
        }
    }

    @Test("no more answers are read on for a key than it may have calls; the others are cancelled at once")
    func drainLimit() async throws {
        var options = Stand.Options()
        options.slotLimits = (0, 1)
        try await standing(options) { (stand) async throws in
            var calls: [UpstreamCall] = []
            for number in 0..<2 {
                let reading = Reading(
                    try await stand.start { $0.send(Says.start() + Says.blockStart) }.wait(stand, .http1),
                    stand.loop
                )
                try await reading.wait(for: "content_block_start")
                calls.append(try await stand.upstream.call(number))
                reading.leave()
                await stand.loop.wait { stand.context.drains.count(of: stand.key.id) == 1 }
                if number == 1 { await stand.loop.wait { calls[1].isGone } }
            }
            #expect(calls[1].isGone && !calls[0].isGone)
            #expect(try await stand.records(1).first?.end == .callerGone)
            calls[0].finish()
            #expect(try await stand.records(2).count == 2)
        }
    }

    @Test("without time for it nothing is read on")
    func noDrain() async throws {
        var options = Stand.Options()
        options.settings = ["drain_after_disconnect_seconds": 0]
        try await standing(options) { (stand) async throws in
            let reading = Reading(
                try await stand.start { $0.send(Says.start() + Says.blockStart) }.wait(stand, .http1),
                stand.loop
            )
            try await reading.wait(for: "content_block_start")
            let call = try await stand.upstream.call()
            reading.leave()
            await stand.loop.wait { call.isGone }
            #expect(call.isGone)
            #expect(try await stand.records(1).first?.end == .callerGone)
        }
    }
}
