import Domain
import HTTPFetching
import HTTPMessages
import HTTPServing
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

@testable import GatewayKit

/// Why an upstream's answer has no word.
enum Wordless: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case limit, refusal
    /// For no reason that it would give: an empty stream.
    case none
    var testDescription: String { rawValue }

    /// Such an answer as a stream: ten tokens in, four of them cached.
    func stream(_ dialect: Dialect) -> String {
        switch dialect {
        case .anthropic:
            let reason = ["max_tokens", "refusal", "end_turn"][index]
            let delta =
                #"{"type":"message_delta","delta":{"stop_reason":"\#(reason)","stop_sequence":null},"usage":{"output_tokens":7}}"#
            return Speech.anthropic.events[0] + Says.event("message_delta", delta) + Says.stop
        case .openaiChat:
            let reason = ["length", "content_filter", "stop"][index]
            let chunk = #"{"id":"c1","model":"gpt-a","choices":[{"index":0,"delta":{},"finish_reason":"\#(reason)"}]}"#
            return Speech.chat.events[0] + "data: \(chunk)\n\n" + Speech.chat.events[3...].joined()
        case .openaiResponses:
            guard self != .none else { return Speech.responses.events[0] + Speech.responses.events[3] }
            let reason = ["max_output_tokens", "content_filter"][index]
            let response =
                #"{"id":"resp_1","model":"gpt-a","status":"incomplete","incomplete_details":{"reason":"\#(reason)"},"output":[],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":7}}"#
            return Speech.responses.events[0]
                + "event: response.incomplete\ndata: {\"type\":\"response.incomplete\",\"response\":\(response)}\n\n"
        case .gemini:
            let answer = [
                #""candidates":[{"content":{"role":"model"},"finishReason":"MAX_TOKENS"}]"#,
                #""promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}"#,
                #""candidates":[{"content":{"role":"model"},"finishReason":"STOP"}]"#,
            ][index]
            let usage = #"{"promptTokenCount":10,"cachedContentTokenCount":4,"thoughtsTokenCount":7}"#
            return "data: {\(answer),\"usageMetadata\":\(usage),\"modelVersion\":\"gemini-a\"}\r\n\r\n"
        }
    }

    /// How a caller is told of it.
    func mark(_ dialect: Dialect) -> String {
        let isLimit = self == .limit
        return switch dialect {
        case .anthropic: isLimit ? #""stop_reason":"max_tokens""# : #""stop_reason":"refusal""#
        case .openaiChat: isLimit ? #""finish_reason":"length""# : #""finish_reason":"content_filter""#
        case .openaiResponses: isLimit ? #""reason":"max_output_tokens""# : #""reason":"content_filter""#
        case .gemini: isLimit ? #""finishReason":"MAX_TOKENS""# : #""finishReason":"SAFETY""#
        }
    }

    private var index: Int { Self.allCases.firstIndex(of: self) ?? 0 }
    static let reasons = [limit, refusal]
}

@Suite(
    "Answers without a word",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct WordlessTests {
    private static let speeches = [Speech.anthropic] + Speech.all

    private func two(_ options: Stand.Options) -> Stand.Options {
        var options = options
        options.accounts = 2
        return options
    }

    private func options(_ speech: Speech) -> Stand.Options {
        var options = Stand.Options()
        options.platform = speech.platform
        return two(options)
    }

    private func expectBilled(_ stand: Stand) async throws {
        let record = try #require(try await stand.records(1).first)
        #expect(record.usage == Speech.usage && !record.isEstimated && record.end == .complete)
        #expect(stand.upstreams[1].calls.isEmpty)
        try await stand.quiesce()
    }

    @Test(
        "one that was cut or refused before its first word is the caller's, byte for byte",
        arguments: speeches,
        Wordless.reasons
    )
    func native(speech: Speech, reason: Wordless) async throws {
        try await standing(options(speech)) { (stand) async throws in
            let stream = reason.stream(speech.dialect)
            stand.upstreams[0].script = { $0.stream(stream) }
            #expect(try await stand.post(speech.streamPath, speech.streamBody).text() == stream)
            try await expectBilled(stand)
        }
    }

    @Test(
        "one that was cut or refused before its first word is told in the caller's dialect",
        arguments: Meeting.all,
        Wordless.reasons
    )
    func translated(meeting: Meeting, reason: Wordless) async throws {
        try await standing(two(meeting.options)) { (stand) async throws in
            let stream = reason.stream(meeting.upstream.dialect)
            stand.upstreams[0].script = { $0.stream(stream) }
            let text = try await meeting.ask(stand, isStream: true).text()
            #expect(text.contains(reason.mark(meeting.caller.dialect)), "had \(text)")
            #expect(!text.contains("event: error") && !text.contains(#""error":{"#), "had \(text)")
            try await expectBilled(stand)
        }
    }

    @Test("one that gives no reason is an empty stream, and another account is asked", arguments: speeches)
    func nativeEmpty(speech: Speech) async throws {
        try await standing(options(speech)) { (stand) async throws in
            let empty = Wordless.none.stream(speech.dialect)
            stand.upstreams[0].script = { $0.stream(empty) }
            stand.upstreams[1].script = { $0.stream(speech.stream) }
            #expect(try await stand.post(speech.streamPath, speech.streamBody).text() == speech.stream)
            #expect(try await stand.records(1).count == 1)
        }
    }

    @Test("a translated one that gives no reason is an empty stream, too", arguments: Meeting.all)
    func translatedEmpty(meeting: Meeting) async throws {
        try await standing(two(meeting.options)) { (stand) async throws in
            let empty = Wordless.none.stream(meeting.upstream.dialect)
            let stream = meeting.upstream.stream
            stand.upstreams[0].script = { $0.stream(empty) }
            stand.upstreams[1].script = { $0.stream(stream) }
            let text = try await meeting.ask(stand, isStream: true).text()
            #expect(!stand.upstreams[1].calls.isEmpty && text.contains("hel"), "had \(text)")
            #expect(try await stand.records(1).count == 1)
        }
    }

    // MARK: Whole answers that come as streams

    private func logins(_ caller: Speech) -> (Meeting, Stand.Options) {
        let meeting = Meeting(caller: caller, upstream: .responses)
        var options = two(meeting.options)
        options.type = .oauth
        options.fields = [:]
        return (meeting, options)
    }

    /// A stream whose last event has the answer, with all of its words.
    private static let answered =
        "event: response.completed\n"
        + #"data: {"type":"response.completed","response":{"id":"resp_1","model":"gpt-a","status":"completed","output":[{"type":"message","id":"m","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hello","annotations":[]}]}],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":7}}}"#
        + "\n\n"

    @Test(
        "a login's stream without a word is an empty stream for a caller who wants the whole answer, too",
        arguments: [Speech.responses, .chat, .anthropic],
        ["", Speech.responses.events[0], Wordless.none.stream(.openaiResponses)]
    )
    func loginEmpty(caller: Speech, empty: String) async throws {
        let (meeting, options) = logins(caller)
        try await standing(options) { (stand) async throws in
            stand.upstreams[0].script = { $0.stream(empty) }
            stand.upstreams[1].script = { $0.stream(Speech.responses.events[0], Self.answered) }
            let start = MonotonicTime.now
            let text = try await meeting.ask(stand).text()
            #expect(text.contains("hello"), "had \(text)")
            #expect(start.elapsed >= .milliseconds(1000), "two retries, half a second apart")
            #expect(stand.upstreams.map(\.calls.count) == [3, 1])
            try await stand.quiesce()
            let marks = AccountMarks(try await stand.run("HGETALL", RedisNames.marks(of: AccountID(1))))
            #expect(marks.flags.map(\.kind) == [.paused] && marks.flags.first?.cause == "empty_stream")
            let records = try await stand.records(1)
            #expect(records.count == 1 && records.first?.account == AccountID(2))
        }
    }

    @Test(
        "a login's answer that was cut or refused before its first word is the caller's, whole as well",
        arguments: [Speech.responses, .chat, .anthropic],
        Wordless.reasons
    )
    func loginCut(caller: Speech, reason: Wordless) async throws {
        let (meeting, options) = logins(caller)
        try await standing(options) { (stand) async throws in
            let stream = reason.stream(.openaiResponses)
            stand.upstreams[0].script = { $0.stream(stream) }
            let text = try await meeting.ask(stand).text()
            #expect(text.contains(reason.mark(caller.dialect)), "had \(text)")
            try await expectBilled(stand)
        }
    }

    @Test("an answer whose words all come in the last event has content", arguments: [false, true])
    func lastEvent(isStream: Bool) async throws {
        let (meeting, options) = logins(.responses)
        try await standing(options) { (stand) async throws in
            stand.upstreams[0].script = { $0.stream(Speech.responses.events[0], Self.answered) }
            let text = try await meeting.ask(stand, isStream: isStream).text()
            #expect(text.contains(#""text":"hello""#), "had \(text)")
            try await expectBilled(stand)
        }
    }
}
