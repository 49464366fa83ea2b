import Domain
import HTTPFetching
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

@testable import GatewayKit

/// OpenAI's APIs say in the last event what the input amounts to; callers can see to it that it never comes.
@Suite(
    "Input that no upstream has reported",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct UnreportedInputTests {
    private static let speeches = [Speech.chat, Speech.responses]

    private static func options(_ speech: Speech) -> Stand.Options {
        var options = Stand.Options()
        options.platform = speech.platform
        return options
    }

    /// A stream whose first word the caller has.
    private static func begin(_ stand: Stand, _ speech: Speech) async throws -> (UpstreamCall, Reading) {
        let asked = stand.loop.start { try await stand.post(speech.streamPath, speech.streamBody) }
        let call = try await stand.upstream.call()
        call.startStream()
        call.send(speech.events.prefix(speech.dialect == .openaiResponses ? 3 : 2).joined())
        let reading = Reading(try await asked.wait(), stand.loop)
        try await reading.wait(for: "hello")
        return (call, reading)
    }

    /// A token for four bytes of the request, and for four of what was delivered.
    private static func estimate(_ speech: Speech) -> TokenUsage {
        TokenUsage(input: Int64(speech.streamBody.utf8.count / 4 + 1), output: 2)
    }

    @Test("a caller that leaves pays for what it asked, drained or not", arguments: speeches, [0, 1])
    func callerGone(speech: Speech, drainSeconds: Int64) async throws {
        var options = Self.options(speech)
        options.settings = ["drain_after_disconnect_seconds": drainSeconds]
        try await standing(options) { (stand) async throws in
            let (call, reading) = try await Self.begin(stand, speech)
            reading.leave()
            let record = try #require(try await stand.records(1).first)
            #expect(record.end == .callerGone && record.isEstimated)
            #expect(record.usage == Self.estimate(speech) && record.cost > .zero)
            await stand.loop.wait { call.isGone }
        }
    }

    @Test("what a killed worker's call will be billed stands in Redis with its input", arguments: speeches)
    func checkpoint(speech: Speech) async throws {
        var options = Self.options(speech)
        options.pace.checkpoint = .zero
        try await standing(options) { (stand) async throws in
            let (call, reading) = try await Self.begin(stand, speech)
            await stand.loop.wait { stand.context.redis.inFlight == 0 }
            let names = try await stand.run("HVALS", CounterNames.checkpoints(stand.partition))
            let text = try #require(names.array?.first?.bytes)
            let space = try #require(text.firstIndex(of: UInt8(ascii: " ")))
            let record = try UsageRecordDecoder().decode(Array(text[(space + 1)...]))
            #expect(record.phase == .swept && record.isEstimated && record.usage == Self.estimate(speech))
            #expect(Array("\(record.cost.raw)".utf8) == Array(text[..<space]))
            // What the upstream says at last stands in its place.
            call.send(speech.events.suffix(speech.dialect == .openaiResponses ? 1 : 3).joined())
            call.finish()
            _ = try await reading.rest()
            let final = try #require(try await stand.records(1).first)
            #expect(final.usage == Speech.usage && !final.isEstimated)
        }
    }

    @Test("an upstream that speaks another dialect is billed alike when it breaks off", arguments: speeches)
    func translated(speech: Speech) async throws {
        var options = Self.options(speech)
        options.fields = ["upstream_api": speech.dialect == .openaiChat ? "chat" : "responses"]
        try await standing(options) { (stand) async throws in
            let sent = speech.events.prefix(speech.dialect == .openaiResponses ? 3 : 2).joined()
            stand.upstream.script = { call in
                call.startStream()
                call.send(sent)
                await stand.loop.sleep(.milliseconds(20))
                call.cut()
            }
            let body = Speech.anthropic.body("gpt-a", isStream: true)
            #expect(try await stand.post("/v1/messages", body).text().contains("event: error"))
            let record = try #require(try await stand.records(1).first)
            #expect(record.end == .upstreamCut && record.isEstimated)
            #expect(record.usage == TokenUsage(input: Int64(body.utf8.count / 4 + 1), output: 2))
        }
    }
}
