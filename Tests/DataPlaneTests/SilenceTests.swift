import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import TestSupport
import Testing

@testable import GatewayKit

@Suite(
    "Silence of upstreams",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct SilenceTests {
    @Test("the time that a call waits in a line is not its upstream's silence", arguments: [true, false])
    func waiting(inLineOfKey: Bool) async throws {
        var options = Stand.Options()
        if inLineOfKey { options.slotLimits.key = 1 } else { options.concurrency = 1 }
        options.pace.firstSilence = .milliseconds(1500)
        options.pace.silenceWatch = .milliseconds(10)
        try await standing(options) { (stand) async throws in
            stand.loop.spawn { _ = try? await stand.ask().text() }
            let first = try await stand.upstream.call()
            var status: Int?
            stand.loop.spawn { status = (try? await stand.ask(stream: true).head.status) ?? 0 }
            await stand.loop.sleep(.milliseconds(1700))
            #expect(status == nil && stand.upstream.calls.count == 1)
            first.answer(200, Says.message())
            let second = try await stand.upstream.call(1)
            await stand.loop.sleep(.milliseconds(50))
            second.answer(429, Says.failure("rate_limit_error", "slow down"), ["retry-after": "7"])
            await stand.loop.wait { status != nil }
            #expect(status == 429)
        }
    }

    @Test("what reaches the caller ends a silence: the next one has its first keep-alive as soon as the first one had")
    func anew() async throws {
        var options = Stand.Options()
        options.pace.firstSilence = .milliseconds(50)
        options.pace.furtherSilence = .seconds(600)
        options.pace.silenceWatch = .milliseconds(5)
        try await standing(options) { (stand) async throws in
            let reading = Reading(try await stand.ask(stream: true), stand.loop)
            try await reading.wait(for: "event: ping")
            let call = try await stand.upstream.call()
            call.startStream()
            // Held: the caller has heard nothing of it, and the silence is the same.
            call.send(Says.start())
            await stand.loop.sleep(.milliseconds(300))
            #expect(reading.text.count(of: "event: ping") == 1)
            call.send(Says.blockStart)
            try await reading.wait(for: "content_block_start")
            await stand.loop.wait { reading.text.count(of: "event: ping") > 1 }
            #expect(reading.text.count(of: "event: ping") == 2)
            call.send(Says.delta("x") + Says.messageDelta() + Says.stop)
            call.finish()
            #expect(try await reading.rest().hasSuffix(Says.stop))
        }
    }

    @Test("a silence goes on from one account to the next: the caller hears in time, whoever is silent")
    func acrossAccounts() async throws {
        var options = Stand.Options()
        options.accounts = 2
        options.pace.firstSilence = .milliseconds(2000)
        options.pace.furtherSilence = .seconds(600)
        options.pace.silenceWatch = .milliseconds(10)
        try await standing(options) { (stand) async throws in
            stand.upstreams[0].script = { call in
                await stand.loop.sleep(.milliseconds(1800))
                call.answer(500, Says.failure())
            }
            var secondAskedAt: MonotonicTime?
            stand.upstreams[1].script = { call in
                secondAskedAt = .now
                await stand.loop.wait { call.exchange.isFinished || call.isGone }
            }
            let reading = Reading(try await stand.ask(stream: true), stand.loop)
            try await reading.wait(for: "event: ping")
            // On a late machine it comes before the second account is asked.
            if let secondAskedAt { #expect(secondAskedAt.elapsed < .milliseconds(2000)) }
            try await stand.upstreams[1].call().stream(Says.whole())
            #expect(try await reading.rest().hasSuffix(Says.whole()))
        }
    }
}
