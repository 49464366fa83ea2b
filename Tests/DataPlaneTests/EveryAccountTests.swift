import Dialects
import Domain
import Formats
import HTTPFetching
import HTTPMessages
import SimulatorKit
import Snapshots
import TestSupport
import Testing

@testable import GatewayKit

/// Every dialect on every kind of account, through sockets, with the simulator as all the providers.
@Suite(
    "Every dialect on every kind of account",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct EveryAccountTests {
    /// Asks in every dialect there is a way for.
    private func each(
        _ kind: UpstreamKind,
        _ body: @escaping @Sendable (Stand, Conversation, _ isStream: Bool) async throws -> Void
    ) async throws {
        try await standing(kind.options) { (stand) async throws in
            for conversation in Conversation.all {
                for isStream in [false, true] {
                    do {
                        try await body(stand, conversation, isStream)
                    } catch {
                        Issue.record("\(conversation.testDescription), stream \(isStream): \(error)")
                    }
                }
            }
        }
    }

    private func ask(
        _ stand: Stand,
        _ conversation: Conversation,
        _ model: String,
        _ text: String = "Hello there",
        isStream: Bool,
        hasTools: Bool = false
    ) async throws -> (status: Int, text: String) {
        let response = try await stand.post(
            conversation.path(model, isStream: isStream),
            conversation.body(model, text, isStream: isStream, hasTools: hasTools)
        )
        return (response.head.status, try await response.text())
    }

    @Test("text comes back, whole and streamed, and is billed as the upstream counted", arguments: UpstreamKind.all)
    func text(kind: UpstreamKind) async throws {
        try await each(kind) { (stand, conversation, isStream) async throws in
            let known = try await stand.records().count
            let answer = try await ask(stand, conversation, kind.family + "-i31-o17-cr200", isStream: isStream)
            let name = "\(conversation.testDescription), stream \(isStream), had \(answer.text.prefix(2000))"
            try #require(answer.status == 200, "\(name)")
            let reading = try conversation.read(answer.text, isStream: isStream)
            #expect(reading.text.contains("Hello there") && reading.calls.isEmpty, "\(name)")
            let record = try #require(try await stand.records(known + 1).last)
            #expect(record.usage == TokenUsage(input: 31, output: 17, cacheRead: 200), "\(name)")
            #expect(!record.isEstimated && record.end == .complete, "\(name)")
            #expect(record.dialect == conversation.dialect && record.isStream == isStream, "\(name)")
        }
    }

    @Test(
        "an upstream behind TLS is called by h2 as ALPN agrees, or by HTTP/1.1 where its account says so",
        arguments: UpstreamKind.all.filter { ["Anthropic key", "OpenAI key", "Bedrock key"].contains($0.name) },
        [UpstreamProtocol.auto, .http1]
    )
    func overTLS(kind: UpstreamKind, wire: UpstreamProtocol) async throws {
        var options = kind.options
        options.isSimulatedOverTLS = true
        options.wire = wire
        try await standing(options) { (stand) async throws in
            let conversation = try #require(Conversation.all.first)
            for isStream in [false, true] {
                let answer = try await ask(stand, conversation, kind.family, isStream: isStream)
                try #require(answer.status == 200, "\(answer.text)")
                #expect(try conversation.read(answer.text, isStream: isStream).text.contains("Hello there"))
            }
            let calls = stand.simulator.log.records(after: 0, limit: 10)
            #expect(calls.count == 2 && calls.allSatisfy(\.isTLS))
            #expect(calls.allSatisfy { $0.version == (wire == .http1 ? .http1 : .http2) })
        }
    }

    @Test("tools are called in parallel, with their arguments", arguments: UpstreamKind.all)
    func tools(kind: UpstreamKind) async throws {
        try await each(kind) { (stand, conversation, isStream) async throws in
            let answer = try await ask(
                stand,
                conversation,
                kind.family,
                "use all tools",
                isStream: isStream,
                hasTools: true
            )
            let name = "\(conversation.testDescription), stream \(isStream), had \(answer.text.prefix(2000))"
            try #require(answer.status == 200, "\(name)")
            let reading = try conversation.read(answer.text, isStream: isStream)
            #expect(reading.toolCalls == [["get_weather", "sim city"], ["get_time", "sim city"]], "\(name)")
        }
    }

    @Test("the upstream's refusals and failures are told in the caller's dialect", arguments: UpstreamKind.all)
    func errors(kind: UpstreamKind) async throws {
        try await each(kind) { (stand, conversation, isStream) async throws in
            for (word, statuses) in [("400", [400]), ("529", [503, 529]), ("429", [429]), ("500", [500])] {
                try await stand.clearFlags()
                let answer = try await ask(stand, conversation, "\(kind.family)-\(word)", isStream: isStream)
                let name = "\(conversation.testDescription), stream \(isStream), \(word), had \(answer)"
                #expect(statuses.contains(answer.status), "\(name)")
                let error = try JSON(text: answer.text)["error"]
                #expect(error?["message"]?.string?.isEmpty == false, "\(name)")
                if conversation.dialect == .gemini {
                    #expect(error?["status"]?.string != nil, "\(name)")
                } else {
                    #expect(error?["type"]?.string != nil, "\(name)")
                }
            }
            #expect(try await stand.records().isEmpty)
        }
    }

    @Test("a refusal of the caller's own does not tell whose account it was", arguments: UpstreamKind.all)
    func leaks(kind: UpstreamKind) async throws {
        try await each(kind) { (stand, conversation, isStream) async throws in
            let answer = try await ask(stand, conversation, "\(kind.family)-400leak", isStream: isStream)
            let name = "\(conversation.testDescription), stream \(isStream), had \(answer)"
            let message = try #require(try JSON(text: answer.text)["error"]?["message"]?.string, "\(name)")
            #expect(answer.status == 400, "\(name)")
            #expect(
                message == "[redacted] of [redacted] (key [redacted]) may not do this at [redacted]",
                "\(name)"
            )
        }
    }

    @Test("an answer that goes wrong on its way ends in the caller's error event", arguments: UpstreamKind.all)
    func midStream(kind: UpstreamKind) async throws {
        try await each(kind) { (stand, conversation, isStream) async throws in
            guard isStream else { return }
            for word in ["errevent2", "cut2", "cutclean2"] {
                let known = try await stand.records().count
                let answer = try await ask(stand, conversation, "\(kind.family)-e6-\(word)", isStream: true)
                let name = "\(conversation.testDescription), \(word), had \(answer.text)"
                try #require(answer.status == 200 && conversation.tellsError(answer.text), "\(name)")
                let record = try #require(try await stand.records(known + 1).last)
                #expect(record.end == (word == "errevent2" ? .errorEvent : .upstreamCut), "\(name)")
            }
        }
    }
}
