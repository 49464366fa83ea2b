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

@Suite("Ends and leaks", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct EndTests {
    private static let wires: [Endpoint.WireProtocol] = [.http1, .http2]

    @Test("a drain lets streams finish and settles them", arguments: wires)
    func drains(wire: Endpoint.WireProtocol) async throws {
        try await standing { (stand) async throws in
            let reading = Reading(
                try await stand.start { $0.send(Says.start() + Says.blockStart) }.wait(stand, wire),
                stand.loop
            )
            let call = try await stand.upstream.call()
            let drained = stand.loop.start { await WorkerDrain.run(stand.context, stand.gateway, .seconds(20)) }
            await #expect(throws: FetchError.self) { _ = try await stand.ask() }
            call.send(Says.delta("x") + Says.messageDelta() + Says.stop)
            call.finish()
            #expect(try await reading.rest().hasSuffix(Says.stop))
            try await drained.wait()
            #expect(try await stand.records().first?.end == .complete)
            #expect(stand.context.outbox.unsettled == 0 && stand.context.openCalls == 0)
        }
    }

    @Test("what is not over at the limit is cut, settled and released: streams, answers awaited, answers read on")
    func cut() async throws {
        var options = Stand.Options()
        options.slotLimits = (9, 9)
        try await standing(options) { (stand) async throws in
            let open = Reading(
                try await stand.start { $0.send(Says.start() + Says.blockStart) }.wait(stand, .http1),
                stand.loop
            )
            let left = Reading(
                try await stand.start { $0.send(Says.start() + Says.blockStart) }.wait(stand, .http1),
                stand.loop
            )
            try await open.wait(for: "content_block_start")
            try await left.wait(for: "content_block_start")
            left.leave()
            await stand.loop.wait { stand.context.drains.count(of: stand.key.id) == 1 }
            let waiting = stand.loop.start { try await stand.ask() }
            _ = try await stand.upstream.call(2)
            await WorkerDrain.run(stand.context, stand.gateway, .milliseconds(100))
            await #expect(throws: FetchError.self) { _ = try await waiting.wait() }
            await stand.loop.wait { open.isEnded }
            let records = try await stand.records()
            #expect(records.count == 2 && records.allSatisfy { $0.end == .callerGone && $0.isEstimated })
            #expect(stand.context.outbox.unsettled == 0 && stand.context.openCalls == 0)
            #expect(try await stand.count("HLEN", RedisNames.holds(stand.partition)) == 0)
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: stand.key.user)) == 0)
            #expect(try await stand.count("ZCARD", RedisNames.slots(of: AccountID(1))) == 0)
            for call in stand.upstream.calls { await stand.loop.wait { call.isGone } }
            #expect(stand.upstream.calls.filter { !$0.isGone }.isEmpty)
        }
    }

    @Test("a drain waits for Redis to take what it has not taken")
    func drainWithoutRedis() async throws {
        var options = Stand.Options()
        options.isPersistent = true
        try await standing(options) { (stand) async throws in
            let reading = Reading(
                try await stand.start { $0.send(Says.start() + Says.blockStart) }.wait(stand, .http1),
                stand.loop
            )
            let call = try await stand.upstream.call()
            try await stand.server.kill()
            await stand.loop.wait { !stand.context.redis.isConnected }
            call.send(Says.messageDelta() + Says.stop)
            call.finish()
            _ = try await reading.rest()
            let drained = stand.loop.start { await WorkerDrain.run(stand.context, stand.gateway, .seconds(20)) }
            try await stand.server.restart()
            try await drained.wait()
            #expect(stand.context.outbox.unsettled == 0)
            #expect(try await stand.records(1).count == 1)
        }
    }

    /// Calls of every kind, each in its own way ended.
    private func mixed(_ stand: Stand, _ wire: Endpoint.WireProtocol) async throws {
        stand.upstream.forget()
        stand.upstream.script = { $0.answer(200, Says.message()) }
        _ = try await stand.ask(wire: wire).text()
        stand.upstream.script = { $0.stream(Says.whole()) }
        _ = try await stand.ask(stream: true, wire: wire).text()
        stand.upstream.script = { $0.answer(400, Says.failure()) }
        _ = try await stand.ask(wire: wire).text()
        stand.upstream.script = { $0.answer(500, Says.failure()) }
        _ = try await stand.ask(stream: true, wire: wire).text()
        stand.upstream.script = { call in
            call.startStream()
            call.send(Says.start() + Says.blockStart)
            await stand.loop.wait { call.exchange.pendingBytes == 0 }
            call.cut()
        }
        _ = try? await stand.ask(stream: true, wire: wire).text()
        stand.upstream.script = { $0.stream("") }
        _ = try await stand.ask(stream: true, wire: wire).text()
        // An empty stream pauses its account.
        try await stand.quiesce()
        try await stand.clearFlags()
        stand.upstream.script = nil
        // Left before the head, before content, and after it.
        for opening in [nil, "", Says.start() + Says.blockStart] as [String?] {
            let number = stand.upstream.calls.count
            let canceller = FetchCanceller()
            let request = stand.request(body: Array(Stand.body(stream: true).utf8), wire: wire)
            let asked = stand.loop.start { try await stand.caller.send(request, canceller: canceller) }
            let call = try await stand.upstream.call(number)
            if let opening {
                call.startStream()
                call.send(opening)
                if opening.isEmpty {
                    await stand.loop.wait { stand.context.silence.count > 0 }
                } else {
                    let reading = Reading(try await asked.wait(), stand.loop)
                    try await reading.wait(for: "content_block_start")
                    reading.leave()
                    await stand.loop.wait { stand.context.drains.count(of: stand.key.id) == 1 }
                    call.send(Says.stop)
                    call.finish()
                }
            }
            canceller.cancel()
            _ = try? await asked.wait()
            await stand.loop.wait { call.isGone || call.exchange.isFinished }
        }
        stand.upstream.forget()
        try await stand.quiesce()
    }

    /// Calls, pumps and runners hold their exchange: one of them that stayed would keep it.
    @Test(
        "after calls of every kind nothing of them is left: no exchange, no slot, no lease, no connection",
        arguments: wires
    )
    func leaks(wire: Endpoint.WireProtocol) async throws {
        final class Weak {
            weak var exchange: ServerExchange?
            init(_ exchange: ServerExchange) { self.exchange = exchange }
        }
        var options = Stand.Options()
        options.slotLimits = (50, 50)
        options.wire = wire == .http2 ? .h2 : .http1
        try await standing(options) { (stand) async throws in
            var seen: [Weak] = []
            stand.watch.onExchange = { seen.append(Weak($0)) }
            try await mixed(stand, wire)
            await stand.loop.wait { stand.context.client.openExchanges == 0 }
            let connections = (stand.context.client.openConnections, stand.gateway.openConnections)
            for _ in 0..<10 { try await mixed(stand, wire) }
            await stand.loop.wait { stand.context.client.openExchanges == 0 && seen.allSatisfy { $0.exchange == nil } }
            #expect(seen.count == 11 * 9 && seen.allSatisfy { $0.exchange == nil })
            #expect(stand.context.client.openExchanges == 0 && stand.gateway.openExchanges == 0)
            #expect(stand.context.silence.count == 0 && stand.context.leases.count == 0)
            let slots = [
                RedisNames.slots(of: stand.key.user), RedisNames.slots(of: stand.key.id, stand.partition),
                RedisNames.slots(of: AccountID(1)), RedisNames.live(stand.partition),
            ]
            for name in slots { #expect(try await stand.count("ZCARD", name) == 0) }
            // A whole answer, a stream, a cut one, and one whose caller left: the others cost nothing.
            let records = try await stand.records()
            #expect(records.count == 11 * 4 && Set(records.map(\.requestID)).count == records.count)
            #expect(stand.context.client.openConnections <= connections.0 + 1)
            #expect(stand.gateway.openConnections <= connections.1 + 1)
            stand.caller.close()
            stand.context.client.close()
            await stand.loop.wait { stand.gateway.openConnections == 0 && stand.context.client.openConnections == 0 }
            #expect(stand.gateway.openConnections == 0 && stand.context.client.openConnections == 0)
        }
    }
}
