import Dialects
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

/// A caller's dialect, and another that its account's upstream speaks.
struct Meeting: Sendable, CustomTestStringConvertible {
    let caller: Speech
    let upstream: Speech
    var testDescription: String { "\(caller.dialect.rawValue) at \(upstream.dialect.rawValue)" }

    static var all: [Meeting] {
        let speeches = [Speech.anthropic, .chat, .responses, .gemini]
        return speeches.flatMap { caller in
            speeches.compactMap { upstream in
                guard caller.dialect != upstream.dialect, caller.platform != upstream.platform,
                    Translator(caller: caller.dialect, upstream: upstream.dialect) != nil
                else { return nil }
                return Meeting(caller: caller, upstream: upstream)
            }
        }
    }

    var model: String {
        switch upstream.dialect {
        case .anthropic: "claude-a"
        case .openaiChat, .openaiResponses: "gpt-a"
        case .gemini: "gemini-a"
        }
    }

    var options: Stand.Options {
        var options = Stand.Options()
        options.platform = upstream.platform
        if upstream.dialect == .openaiResponses { options.fields = ["upstream_api": "responses"] }
        return options
    }

    func ask(_ stand: Stand, isStream: Bool = false) async throws -> FetchResponse {
        try await stand.post(
            caller.path(model, isStream: isStream),
            caller.body(model, isStream: isStream)
        )
    }
}

@Suite(
    "Dialects that meet",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct TranslationTests {
    /// The answer's words and what it says of the model, read by the dialect's own rules.
    private func text(_ json: JSON, _ dialect: Dialect) -> String? {
        switch dialect {
        case .anthropic: json["content"]?[0]?["text"]?.string
        case .openaiChat: json["choices"]?[0]?["message"]?["content"]?.string
        case .openaiResponses: json["output"]?[0]?["content"]?[0]?["text"]?.string
        case .gemini: json["candidates"]?[0]?["content"]?["parts"]?[0]?["text"]?.string
        }
    }

    /// What of a stream's data is text.
    private func deltas(_ text: String) throws -> String {
        var words = ""
        var parser = SSEParser()
        try parser.feed(Array(text.utf8)) { event in
            guard event.hasData, let json = try? JSON(Array(event.data)) else { return }
            words += json["delta"]?["text"]?.string ?? json["choices"]?[0]?["delta"]?["content"]?.string ?? ""
            words += json["candidates"]?[0]?["content"]?["parts"]?[0]?["text"]?.string ?? ""
            if json["type"]?.string == "response.output_text.delta" { words += json["delta"]?.string ?? "" }
        }
        return words
    }

    @Test("a whole answer comes in the caller's dialect and is billed by the upstream's count", arguments: Meeting.all)
    func whole(meeting: Meeting) async throws {
        try await standing(meeting.options) { (stand) async throws in
            var answer = meeting.upstream.answer
            if meeting.upstream.dialect == .openaiResponses {
                answer =
                    #"{"id":"resp_1","object":"response","status":"completed","error":null,"model":"gpt-a","output":[{"type":"message","id":"m","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hello","annotations":[]}]}],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":7}}"#
            }
            stand.upstream.script = { [answer] in $0.answer(200, answer) }
            let response = try await meeting.ask(stand)
            let body = try await response.text()
            #expect(response.head.status == 200, "had \(body)")
            #expect(text(try JSON(text: body), meeting.caller.dialect) == "hello", "had \(body)")
            let call = try await stand.upstream.call()
            #expect(call.exchange.request.path.hasPrefix(meeting.upstream.upstreamPath))
            #expect(call.exchange.request.headers["anthropic-beta"] == nil)
            let record = try #require(try await stand.records(1).first)
            #expect(record.usage == Speech.usage && !record.isEstimated)
            #expect(record.dialect == meeting.caller.dialect && record.model == meeting.model)
        }
    }

    @Test("a stream comes in the caller's dialect, in any pieces, and ends as it should", arguments: Meeting.all)
    func stream(meeting: Meeting) async throws {
        try await standing(meeting.options) { (stand) async throws in
            stand.upstream.script = { call in
                call.startStream()
                for byte in meeting.upstream.stream.utf8 { call.send([byte]) }
                call.finish()
            }
            let response = try await meeting.ask(stand, isStream: true)
            #expect(response.head.headers["content-type"]?.hasPrefix("text/event-stream") == true)
            let body = try await response.text()
            #expect(try deltas(body).hasPrefix("hello"), "had \(body)")
            #expect(!body.contains("event: error") && !body.contains(#""error":{"#))
            let record = try #require(try await stand.records(1).first)
            #expect(record.usage == Speech.usage && !record.isEstimated && record.end == .complete)
        }
    }

    @Test(
        "an empty stream moves on to the next account, a broken one ends in the caller's error event",
        arguments: Meeting.all
    )
    func failures(meeting: Meeting) async throws {
        var options = meeting.options
        options.accounts = 2
        try await standing(options) { (stand) async throws in
            let stream = meeting.upstream.stream
            stand.upstreams[0].script = { $0.answer(200, "", ["content-type": "text/event-stream"]) }
            stand.upstreams[1].script = { $0.stream(stream) }
            let moved = try await meeting.ask(stand, isStream: true).text()
            #expect(try deltas(moved).hasPrefix("hello"))

            try await stand.clearFlags()
            let part = meeting.upstream.events.prefix(meeting.upstream.dialect == .openaiResponses ? 3 : 2).joined()
            stand.upstreams[0].script = { call in
                call.startStream()
                call.send(part)
                await stand.loop.sleep(.milliseconds(20))
                call.cut()
            }
            let broken = try await meeting.ask(stand, isStream: true).text()
            #expect(broken.contains(meeting.caller.errorMark), "had \(broken)")
            let records = try await stand.records(2)
            #expect(records.map(\.end) == [.complete, .upstreamCut] && records[1].isEstimated)
        }
    }

    @Test("a refusal by the upstream is told in the caller's dialect", arguments: Meeting.all)
    func refusal(meeting: Meeting) async throws {
        try await standing(meeting.options) { (stand) async throws in
            stand.upstream.script = { call in
                call.answer(
                    400,
                    #"{"type":"error","error":{"type":"invalid_request_error","code":400,"message":"too long","status":"INVALID_ARGUMENT"}}"#
                )
            }
            let response = try await meeting.ask(stand)
            let json = try JSON(text: try await response.text())
            #expect(response.head.status == 400 && json["error"]?["message"]?.string == "too long")
            if meeting.caller.dialect == .gemini {
                #expect(json["error"]?["status"]?.string == "INVALID_ARGUMENT")
            } else {
                #expect(json["error"]?["type"]?.string == "invalid_request_error")
            }
        }
    }

    @Test("what the upstream cannot express is refused with 400, naming the caller's field")
    func inexpressible() async throws {
        let meeting = Meeting(caller: .chat, upstream: .anthropic)
        try await standing(meeting.options) { (stand) async throws in
            let body = #"{"model":"claude-a","n":2,"messages":[{"role":"user","content":"hi"}]}"#
            let response = try await stand.post("/v1/chat/completions", body)
            let json = try JSON(text: try await response.text())
            #expect(response.head.status == 400 && json["error"]?["param"]?.string == "n")
            #expect(stand.upstream.calls.isEmpty)
        }
    }
}
