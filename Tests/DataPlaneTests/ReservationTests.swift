import Domain
import HTTPFetching
import HTTPMessages
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

@testable import GatewayKit

/// The stand's models cost 3 USD a million tokens of input and 15 of output, and have no bounds of their own.
@Suite("What a call reserves", .serialized, .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server"))
struct ReservationTests {
    private static let base64 = String(repeating: "iVBORw0K", count: 5_000)
    private static let size = Int64(base64.utf8.count)

    private static func chat(_ part: String, _ fields: String = #""max_tokens":9,"#) -> String {
        #"{"model":"gpt-a",\#(fields)"messages":[{"role":"user","content":[{"type":"text","text":"hi"},\#(part)]}]}"#
    }

    private static func responses(_ item: String, _ fields: String = #""max_output_tokens":9,"#) -> String {
        #"{"model":"gpt-a",\#(fields)"input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]},\#(item)]}"#
    }

    private static func gemini(_ part: String, _ fields: String = "") -> String {
        #"{\#(fields)"generationConfig":{"maxOutputTokens":9},"contents":[{"role":"user","parts":[\#(part)]}]}"#
    }

    private static func anthropic(_ block: String) -> String {
        #"{"model":"claude-a","max_tokens":9,"messages":[{"role":"user","content":[\#(block)]}]}"#
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let speech: Speech
        let body: String
        /// Bytes of the body that are media, and what they reserve.
        let media: Int64
        let tokens: Int64

        init(_ name: String, _ speech: Speech, _ body: String, media: Int64 = 0, tokens: Int64) {
            testDescription = "\(speech.dialect.rawValue): \(name)"
            (self.speech, self.body, self.media, self.tokens) = (speech, body, media, tokens)
        }
    }

    private static let cases: [Case] = [
        Case(
            "image",
            .anthropic,
            anthropic(#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"\#(base64)"}}"#),
            media: size,
            tokens: 5_000
        ),
        Case(
            "document",
            .anthropic,
            anthropic(
                #"{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"\#(base64)"}}"#
            ),
            media: size,
            tokens: 160_000 + size / 2
        ),
        Case(
            "document's URL",
            .anthropic,
            anthropic(#"{"type":"document","source":{"type":"url","url":"https://a.example/a.pdf"}}"#),
            tokens: 160_000
        ),
        Case(
            "image's file",
            .anthropic,
            anthropic(#"{"type":"image","source":{"type":"file","file_id":"file_1"}}"#),
            tokens: 5_000
        ),
        Case(
            "image",
            .chat,
            chat(#"{"type":"image_url","image_url":{"url":"data:image/png;base64,\#(base64)"}}"#),
            media: size + 22,
            tokens: 10_000
        ),
        Case(
            "image's URL",
            .chat,
            chat(#"{"type":"image_url","image_url":{"url":"https://a.example/a.png"}}"#),
            tokens: 10_000
        ),
        Case(
            "sound",
            .chat,
            chat(#"{"type":"input_audio","input_audio":{"format":"wav","data":"\#(base64)"}}"#),
            media: size,
            tokens: 1_000 + size / 100
        ),
        Case("file", .chat, chat(#"{"type":"file","file":{"file_id":"file-1"}}"#), tokens: 160_000),
        Case(
            "document",
            .chat,
            chat(#"{"type":"file","file":{"file_data":"data:application/pdf;base64,\#(base64)"}}"#),
            media: size + 28,
            tokens: 160_000 + (size + 28) / 2
        ),
        Case(
            "image",
            .responses,
            responses(
                #"{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,\#(base64)"}]}"#
            ),
            media: size + 22,
            tokens: 10_000
        ),
        Case(
            "file",
            .responses,
            responses(#"{"role":"user","content":[{"type":"input_file","file_id":"file-1"}]}"#),
            tokens: 160_000
        ),
        Case(
            "conversation that lies there",
            .responses,
            responses(#"{"role":"user","content":"hi"}"#, #""max_output_tokens":9,"conversation":"conv_1","#),
            tokens: 160_000
        ),
        Case(
            "document",
            .gemini,
            gemini(#"{"inlineData":{"mimeType":"application/pdf","data":"\#(base64)"}}"#),
            media: size,
            tokens: 160_000 + size / 2
        ),
        Case(
            "file",
            .gemini,
            gemini(#"{"file_data":{"mime_type":"video/mp4","file_uri":"https://a.example/files/1"}}"#),
            tokens: 160_000
        ),
        Case(
            "cached content",
            .gemini,
            gemini(#"{"text":"hi"}"#, #""cachedContent":"cachedContents/1","#),
            tokens: 160_000
        ),
        Case(
            "words after a run of base64",
            .anthropic,
            anthropic(
                #"{"type":"text","text":"\#(String(repeating: "A", count: 768)) \#(String(repeating: "word ", count: 9_000))"}"#
            ),
            tokens: 0
        ),
    ]

    /// What the user's calls have reserved while this one is under way.
    private static func reserved(_ stand: Stand, _ speech: Speech, _ body: String) async throws -> Int64 {
        let gate = Promise<Void>()
        let number = stand.upstream.calls.count
        stand.upstream.script = { call in
            try? await gate.wait()
            call.answer(200, speech.answer)
        }
        let answer = stand.loop.start { try await stand.post(speech.path, body).text() }
        await stand.loop.wait { stand.upstream.calls.count > number || answer.isFulfilled }
        let reserved = try await stand.counter(CounterNames.wallet(of: stand.key.user)).reserved
        gate.succeed(())
        _ = try await answer.wait()
        try await stand.quiesce()
        return reserved
    }

    @Test("a token for two bytes of text, so many for each piece of media, and the answer", arguments: cases)
    func media(test: Case) async throws {
        var options = Stand.Options()
        options.platform = test.speech.platform
        try await standing(options) { (stand) async throws in
            let reserved = try await Self.reserved(stand, test.speech, test.body)
            let text = Int64(test.body.utf8.count) - test.media
            #expect(reserved == (text / 2 + 1 + test.tokens) * 3_000 + 9 * 15_000)
        }
    }

    @Test(
        "as many answers as are asked for, each as long as the model allows at most",
        arguments: [
            (#""max_tokens":10,"n":5,"#, 50), (#""n":2,"#, 256_000), (#""max_tokens":1000000,"n":3,"#, 384_000),
            (#""max_tokens":10,"n":1.5,"#, 1_280), (#""max_tokens":10,"n":null,"#, 10),
            (#""n":999999999999,"#, 16_384_000),
        ]
    )
    func answers(fields: String, tokens: Int64) async throws {
        var options = Stand.Options()
        options.platform = .openai
        try await standing(options) { (stand) async throws in
            let body = #"{"model":"gpt-a",\#(fields)"messages":[{"role":"user","content":"hi"}]}"#
            let reserved = try await Self.reserved(stand, .chat, body)
            #expect(reserved == Int64(body.utf8.count / 2 + 1) * 3_000 + tokens * 15_000)
        }
    }

    @Test("a document does not slip through a strict policy that has less left than it may cost")
    func strictDocument() async throws {
        try await standing { (stand) async throws in
            stand.upstream.script = { $0.answer(200, Says.message()) }
            let body = Self.anthropic(
                #"{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"\#(Self.base64)"}}"#
            )
            try await stand.limitWeek(to: NanoUSD(400_000_000))
            try await stand.run("SET", RedisNames.epoch(stand.partition), "old.1.1")
            let refused = try await stand.post("/v1/messages", body)
            #expect(refused.head.headers["x-tollgate-code"] == "token_quota_policy_exhausted")
            _ = try await refused.text()
            // Where what is left may be overdrawn, it is no reason to refuse.
            stand.change { $0.policy = nil }
            try await stand.publish()
            try await stand.setWallet("1000")
            #expect(try await stand.post("/v1/messages", body).head.status == 200)
        }
    }
}
