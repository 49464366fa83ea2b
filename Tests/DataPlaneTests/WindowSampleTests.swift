import Domain
import Formats
import GatewayKit
import HTTPFetching
import HTTPMessages
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

@Suite(
    "Windows, sampled from heads",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct WindowSampleTests {
    private static func samples(_ stand: Stand) async throws -> [WindowsSample] {
        let entries = try await stand.run("XRANGE", RedisNames.accountEvents, "-", "+").array ?? []
        return entries.compactMap { entry in
            let parts = entry.array?.last?.array?.compactMap(\.text) ?? []
            var fields: [String: String] = [:]
            for index in stride(from: 0, to: parts.count - 1, by: 2) { fields[parts[index]] = parts[index + 1] }
            return WindowsSample(fields: fields)
        }
    }

    private func sampling(
        _ type: AccountType = .oauth,
        _ body: @escaping @Sendable (Stand) async throws -> Void
    ) async throws {
        var options = Stand.Options()
        options.type = type
        try await standing(options) { (stand) async throws in try await body(stand) }
    }

    private static func headers(end: Int64, used: String) -> HeaderFields {
        [
            "content-type": "application/json", "anthropic-ratelimit-unified-5h-reset": "\(end)",
            "anthropic-ratelimit-unified-5h-utilization": used, "anthropic-ratelimit-unified-5h-status": "allowed",
        ]
    }

    @Test("of many heads one is read, and the control plane hears of it once")
    func sampled() async throws {
        try await sampling { (stand) async throws in
            let end = WallClock.microseconds / 1_000_000 + 7200
            stand.upstream.script = { $0.answer(200, Says.message(), Self.headers(end: end, used: "0.4217")) }
            for _ in 0..<20 { #expect(try await stand.ask().head.status == 200) }
            try await stand.quiesce()
            #expect(stand.context.windows.samples == 1)
            let samples = try await Self.samples(stand)
            #expect(samples.count == 1)
            let sample = try #require(samples.first)
            let window = UsageWindow(used: 4217, endsAt: Timestamp(microseconds: end * 1_000_000))
            #expect(sample.account == AccountID(1) && sample.windows == AccountWindows(fiveHours: window))
            #expect(sample.countsForSession)
        }
    }

    @Test("when a window has ended the next head is read at once")
    func ended() async throws {
        try await sampling { (stand) async throws in
            let end = WallClock.microseconds / 1_000_000 + 4
            stand.upstream.script = { $0.answer(200, Says.message(), Self.headers(end: end, used: "0.99")) }
            #expect(try await stand.ask().head.status == 200)
            await stand.loop.wait { WallClock.microseconds > end * 1_000_000 }
            stand.upstream.script = { $0.answer(200, Says.message(), Self.headers(end: end + 18_000, used: "0.01")) }
            #expect(try await stand.ask().head.status == 200)
            try await stand.quiesce()
            #expect(try await Self.samples(stand).compactMap(\.windows.fiveHours?.used) == [9900, 100])
        }
    }

    @Test("a success without a word of its window begins one, once; a refusal and a key begin none")
    func begins() async throws {
        try await sampling { (stand) async throws in
            stand.upstream.script = { $0.answer(500, Says.failure("api_error", "no")) }
            _ = try await stand.ask().text()
            try await stand.quiesce()
            #expect(try await Self.samples(stand).isEmpty)
        }
        try await sampling { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            for _ in 0..<3 { #expect(try await stand.ask().head.status == 200) }
            try await stand.quiesce()
            let samples = try await Self.samples(stand)
            #expect(
                samples.count == 1 && samples.first?.countsForSession == true && samples.first?.windows.isEmpty == true
            )
        }
        try await sampling(.apikey) { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            #expect(try await stand.ask().head.status == 200)
            try await stand.quiesce()
            #expect(try await Self.samples(stand).isEmpty)
        }
    }

    @Test("absurd headers are passed over and park nobody", arguments: ["-5", "99999999999999999999", "x", "NaN"])
    func absurd(text: String) async throws {
        try await sampling { (stand) async throws in
            stand.upstream.script = {
                $0.answer(
                    200,
                    Says.message(),
                    [
                        "content-type": "application/json", "anthropic-ratelimit-unified-5h-reset": text,
                        "anthropic-ratelimit-unified-5h-utilization": text,
                    ]
                )
            }
            for _ in 0..<2 { #expect(try await stand.ask().head.status == 200) }
            try await stand.quiesce()
            for sample in try await Self.samples(stand) {
                #expect(sample.windows.fiveHours?.endsAt == nil && sample.windows.fiveHours?.used == nil)
            }
        }
    }

    @Test("a stream that nobody empties gets no samples beyond a bound, and keeps its room for errors")
    func bounded() async throws {
        try await sampling { (stand) async throws in
            for _ in 0..<20 {
                var script = ""
                script += "for i = 1, 1000 do redis.call('XADD', KEYS[1], '*', 'kind', 'x') end return 1"
                try await stand.run("EVAL", script, "1", RedisNames.accountEvents)
            }
            let end = WallClock.microseconds / 1_000_000 + 7200
            stand.upstream.script = { $0.answer(200, Says.message(), Self.headers(end: end, used: "0.42")) }
            #expect(try await stand.ask().head.status == 200)
            try await stand.quiesce()
            #expect(try await stand.run("XLEN", RedisNames.accountEvents).integer == 20_000)
        }
    }
}
