import Domain
import Formats
import HTTPFetching
import HTTPMessages
import TestSupport
import Testing

@testable import GatewayKit

@Suite(
    "What callers learn of an upstream's errors",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct LeakTests {
    private static let native = (Speech.all + [.anthropic]).map { Meeting(caller: $0, upstream: $0) }
    private static let said = "org-AbCdEf123456 is over its limit; ask owner@acme.example"
    private static let told = "[redacted] is over its limit; ask [redacted]"

    /// An error as the upstream puts it into a stream.
    private static func events(_ dialect: Dialect, _ text: String) -> [String] {
        switch dialect {
        case .anthropic: [Says.event("error", Says.failure("overloaded_error", text))]
        case .openaiChat: [#"data: {"error":{"message":"\#(text)","type":"server_error"}}"# + "\n\n"]
        case .openaiResponses:
            [
                Says.event("error", #"{"type":"error","code":"server_error","message":"\#(text)"}"#),
                Says.event(
                    "response.failed",
                    #"{"type":"response.failed","response":{"id":"resp_1","status":"failed","output":[],"#
                        + #""error":{"code":"server_error","message":"\#(text)"}}}"#
                ),
            ]
        case .gemini: [#"data: {"error":{"code":503,"message":"\#(text)","status":"UNAVAILABLE"}}"# + "\r\n\r\n"]
        }
    }

    private func stream(_ meeting: Meeting, _ error: String, path: String? = nil) async throws -> String {
        try await standing(meeting.options) { (stand) async throws in
            stand.upstream.script = { call in
                call.startStream()
                let events = meeting.upstream.events
                let content = events.firstIndex { $0.contains("hel") } ?? 0
                for event in events[...content] { call.send(event) }
                call.send(error)
                call.finish()
            }
            let speech = meeting.caller
            let answer = try await stand.post(
                path ?? speech.path(meeting.model, isStream: true),
                speech.body(meeting.model, isStream: true)
            )
            #expect(answer.head.status == 200)
            let text = try await answer.text()
            #expect(try await stand.records(1).first?.end == .errorEvent)
            return text
        }
    }

    @Test("an error in the middle of a stream does not tell whose account it was", arguments: native + Meeting.all)
    private func midStream(meeting: Meeting) async throws {
        for event in Self.events(meeting.upstream.dialect, Self.said) {
            let text = try await stream(meeting, event)
            #expect(text.contains(Self.told), "\(text)")
            #expect(!text.contains("AbCdEf") && !text.contains("acme"), "\(text)")
        }
    }

    @Test("nor does one in an array of objects")
    func array() async throws {
        let meeting = Meeting(caller: .gemini, upstream: .gemini)
        let event = try #require(Self.events(.gemini, Self.said).first)
        let text = try await stream(meeting, event, path: "/v1beta/models/gemini-a:streamGenerateContent")
        #expect(try JSON(text: text).array?.last?["error"]?["message"]?.string == Self.told)
    }

    @Test("an error that gives nothing away keeps its bytes", arguments: native)
    private func untouched(meeting: Meeting) async throws {
        for event in Self.events(meeting.upstream.dialect, "too  much \\u0041t once") {
            let text = try await stream(meeting, event)
            #expect(text.hasSuffix(event), "\(text)")
        }
    }

    @Test("a refusal that gives nothing away keeps its bytes; in another, the upstream's own name goes as well")
    func refusals() async throws {
        try await standing { (stand) async throws in
            let plain = Says.failure("invalid_request_error", "max_tokens  must be \\u0041 number")
            stand.upstream.script = { $0.answer(400, plain) }
            #expect(try await stand.ask().text() == plain)
            stand.upstream.script = {
                $0.answer(400, Says.failure("invalid_request_error", "POST \(stand.upstream.baseURL)/v1 failed"))
            }
            #expect(
                try await stand.ask().text() == Says.failure("invalid_request_error", "POST [redacted] failed")
            )
        }
    }
}
