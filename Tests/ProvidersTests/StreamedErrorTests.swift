import Domain
import Formats
import HTTPMessages
import Testing

@testable import Providers

@Suite("Errors within an answer of status 200")
struct StreamedErrorTests {
    private func answer(_ data: String) -> UpstreamAnswer? {
        UpstreamAnswer(errorWithin: Array(data.utf8), [:], JSONParser())
    }

    @Test(
        "an error event is the refusal it would have been with a status",
        arguments: [
            (
                "Anthropic", #"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, 529,
                VerdictReason.overloaded
            ),
            ("Anthropic", #"{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}"#, 429, .rateLimited),
            ("Anthropic", #"{"type":"error","error":{"type":"api_error","message":"oops"}}"#, 500, .upstreamError),
            (
                "Anthropic", #"{"type":"error","error":{"type":"invalid_request_error","message":"bad"}}"#, 400,
                .callerFault
            ),
            (
                "OpenAI",
                #"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"m"}}}"#, 429,
                .rateLimited
            ),
            ("OpenAI", #"{"type":"error","code":"server_error","message":"m"}"#, 500, .upstreamError),
            (
                "OpenAI",
                #"{"error":{"type":"invalid_request_error","code":"token_revoked","message":"m"}}"#, 401,
                .credentialRevoked
            ),
            (
                "Gemini", #"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#, 503,
                .upstreamError
            ),
            ("Gemini", #"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#, 429, .rateLimited),
            ("Antigravity", #"{"error":{"message":"m","status":"RESOURCE_EXHAUSTED"}}"#, 429, .rateLimited),
        ]
    )
    func events(platform: String, data: String, status: Int, reason: VerdictReason) throws {
        let answer = try #require(self.answer(data))
        #expect(answer.status == status)
        let context = VerdictContext(now: VerdictFixture.now, accountType: .oauth, model: "m")
        #expect(VerdictCase.table(of: platform).verdict(.refused(answer), context).reason == reason)
    }

    @Test("a reset within the event counts")
    func reset() throws {
        let data =
            #"{"type":"response.failed","response":{"error":{"code":"usage_limit_reached","resets_in_seconds":90}}}"#
        let answer = try #require(self.answer(data))
        let context = VerdictContext(now: VerdictFixture.now, accountType: .oauth, model: "m")
        let verdict = VerdictCase.table(of: "OpenAI").verdict(.refused(answer), context)
        #expect(verdict.effects == [.rateLimited(until: .after(90), isGuessed: false)])
    }

    @Test(
        "what does not tell its kind is none",
        arguments: [
            "", "{}", "[]", "null", "text", #"{"error":"sorry"}"#, #"{"error":{"code":200}}"#,
            #"{"error":{"code":"x"}}"#,
            #"{"error":{"type":7}}"#, #"{"error":null,"code":"x"}"#, #"{"response":{"error":null}}"#,
        ]
    )
    func unknown(data: String) {
        #expect(answer(data) == nil)
    }
}
