import Domain
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Telemetry
import TestSupport
import Testing

@testable import GatewayKit

@Suite("Memory that calls share", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct BudgetTests {
    private static func body(_ size: Int) -> [UInt8] {
        let text = String(repeating: "x", count: size)
        return Array(#"{"model":"claude-a","max_tokens":9,"messages":[{"role":"user","content":"\#(text)"}]}"#.utf8)
    }

    @Test(
        "bodies beyond the budget are 503 with Retry-After; what is given back serves the next",
        arguments: [Endpoint.WireProtocol.http1, .http2]
    )
    func bodies(wire: Endpoint.WireProtocol) async throws {
        try await standing { (stand) async throws in
            let budget = ByteBudget(limit: 250_000)
            stand.gateway.bodyBudget = budget
            func ask() async throws -> FetchResponse {
                try await stand.caller.send(stand.request(body: Self.body(100_000), wire: wire))
            }
            let asked = (0..<2).map { _ in stand.loop.start { try await ask() } }
            let calls = [try await stand.upstream.call(0), try await stand.upstream.call(1)]
            #expect(budget.used > 200_000)
            let refused = try await ask()
            #expect(refused.head.status == 503 && refused.head.headers["retry-after"] == "1")
            #expect(stand.metrics.bodiesRefused.value == 1)
            // Small calls are held to the same budget, and fit in what is left.
            stand.upstream.script = { $0.answer(200, Says.message()) }
            #expect(try await stand.ask(wire: wire).head.status == 200)
            for call in calls { call.answer(200, Says.message()) }
            for promise in asked { #expect(try await promise.wait().head.status == 200) }
            try await stand.quiesce()
            await stand.loop.wait { budget.used == 0 }
            #expect(budget.used == 0)
            #expect(try await ask().head.status == 200)
        }
    }

    @Test("a packed body counts with what it holds")
    func inflated() async throws {
        try await standing { (stand) async throws in
            let budget = ByteBudget(limit: 100_000)
            stand.gateway.bodyBudget = budget
            let packed = gzip(Self.body(200_000))
            #expect(packed.count < 10_000)
            let response = try await stand.caller.send(
                stand.request(body: packed, headers: ["content-encoding": "gzip"])
            )
            #expect(response.head.status == 503 && response.head.headers["retry-after"] == "1")
            await stand.loop.wait { budget.used == 0 }
            #expect(budget.used == 0 && stand.upstream.calls.isEmpty)
        }
    }

    @Test("events that have not arrived whole share a budget: one more is lost upstream, the others pass whole")
    func events() async throws {
        try await standing { (stand) async throws in
            let budget = ByteBudget(limit: 1 << 20)
            stand.context.eventBudget = budget
            let big = Says.delta(String(repeating: "x", count: 700_000))
            let half = big.utf8.count - 10_000
            func start(_ number: Int) async throws -> (UpstreamCall, Reading) {
                let asked = stand.loop.start { try await stand.ask(stream: true) }
                let call = try await stand.upstream.call(number)
                call.startStream()
                call.send(Says.start() + Says.blockStart + Says.delta("first"))
                let reading = Reading(try await asked.wait(), stand.loop)
                try await reading.wait(for: "first")
                call.send(Array(big.utf8.prefix(half)))
                return (call, reading)
            }
            let (first, firstReading) = try await start(0)
            await stand.loop.wait { budget.used > 600_000 }
            let (second, secondReading) = try await start(1)
            #expect(try await secondReading.rest().contains("event: error"))
            await stand.loop.wait { second.isGone }
            #expect(second.isGone && stand.metrics.eventsRefused.value == 1)
            first.send(Array(big.utf8.dropFirst(half)))
            first.send(Says.messageDelta() + Says.stop)
            first.finish()
            #expect(try await firstReading.rest().hasSuffix(big + Says.messageDelta() + Says.stop))
            #expect(budget.used == 0)
            let records = try await stand.records(2)
            #expect(Set(records.map(\.end)) == [.upstreamCut, .complete])
        }
    }

    @Test("an event of more than 16 MiB ends the stream")
    func hugeEvent() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { call in
                call.startStream()
                call.send(Says.start() + Says.blockStart + Says.delta("first") + "data: ")
                let piece = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
                for _ in 0..<17 { call.send(piece) }
            }
            let reading = Reading(try await stand.ask(stream: true), stand.loop)
            #expect(try await reading.rest().contains("event: error"))
            #expect(try await stand.records(1).map(\.end) == [.upstreamCut])
        }
    }
}
