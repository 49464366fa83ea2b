import Domain
import HTTPMessages
import Testing

@testable import Providers

@Suite("Which limit a 429 speaks of")
struct LimitTests {
    private func verdict(
        _ platform: String,
        _ headers: [(String, String)],
        _ body: String = "{}",
        model: String = "claude-opus-4-5"
    ) -> UpstreamVerdict {
        var fields = HeaderFields()
        for (name, value) in headers { fields.add(name, value) }
        let answer = UpstreamAnswer(status: 429, headers: fields, body: Array(body.utf8))
        let context = VerdictContext(now: VerdictFixture.now, accountType: .oauth, model: model)
        return VerdictCase.table(of: platform).verdict(.refused(answer), context)
    }

    private func limited(_ seconds: Double) -> AccountEffect { .rateLimited(until: .after(seconds), isGuessed: false) }
    private let guess = AccountEffect.rateLimited(until: .after(5), isGuessed: true)

    private func unified(_ rest: [(String, String)]) -> [(String, String)] {
        rest.map { ("anthropic-ratelimit-unified-\($0.0)", $0.1) }
    }

    @Test("of Anthropic's windows only those that are used up count, the later one of two")
    func windows() {
        let both = [
            ("5h-status", "rejected"), ("5h-reset", "1800000100"), ("7d-status", "rejected"),
            ("7d-reset", "1800000200"),
        ]
        #expect(verdict("Anthropic", unified(both)).effects == [limited(200)])
        let other = [("5h-status", "allowed"), ("5h-reset", "1800000100"), ("overage-status", "rejected")]
        #expect(verdict("Anthropic", unified(other)).effects == [guess])
        let byUse = [("5h-utilization", "1.0"), ("5h-reset", "1800000100"), ("7d-utilization", "0.999")]
        #expect(verdict("Anthropic", unified(byUse)).effects == [limited(100)])
        let milliseconds = [("5h-status", "rejected"), ("5h-reset", "1800000100000")]
        #expect(verdict("Anthropic", unified(milliseconds)).effects == [limited(100)])
    }

    @Test("without a word on windows the claim's reset counts, or the common one")
    func claims() {
        #expect(
            verdict(
                "Anthropic",
                unified([("status", "rejected"), ("representative-claim", "five_hour"), ("5h-reset", "1800000070")])
            ).effects == [limited(70)]
        )
        #expect(
            verdict("Anthropic", unified([("status", "rejected"), ("reset", "1800000080")])).effects == [limited(80)]
        )
        let opus = unified([
            ("status", "rejected"), ("representative-claim", "seven_day_opus"), ("reset", "1800000090"),
        ])
        #expect(verdict("Anthropic", opus).effects == [.modelLimited("claude-opus-4-5", until: .after(90))])
        #expect(verdict("Anthropic", opus, model: "claude-sonnet-5").effects == [limited(90)])
        #expect(verdict("Anthropic", unified([("status", "allowed"), ("reset", "1800000080")])).effects == [guess])
    }

    @Test("a family's window limits that family's model, and both limits are kept where both are used up")
    func families() {
        let headers = unified([
            ("7d_opus-status", "rejected"), ("7d_opus-reset", "1800000300"), ("5h-status", "rejected"),
            ("5h-reset", "1800000100"),
        ])
        #expect(
            verdict("Anthropic", headers).effects
                == [limited(100), .modelLimited("claude-opus-4-5", until: .after(300))]
        )
        #expect(verdict("Anthropic", headers, model: "claude-sonnet-5").effects == [limited(100)])
    }

    @Test(
        "an absurd reset is named and never parks an account",
        arguments: [
            ("-5", IgnoredValue.Fault.negative), ("99999999999999", .tooFar), ("18000000000000000000000", .tooFar),
            ("tomorrow", .unreadable),
        ]
    )
    func absurd(text: String, fault: IgnoredValue.Fault) {
        let anthropic = verdict("Anthropic", unified([("5h-status", "rejected"), ("5h-reset", text)]))
        #expect(anthropic.effects == [guess])
        #expect(anthropic.ignored == [IgnoredValue("anthropic-ratelimit-unified-5h-reset", text, fault)])
        let claimed = unified([
            ("status", "rejected"), ("representative-claim", "five_hour"), ("5h-status", "rejected"),
            ("5h-reset", text),
        ])
        #expect(verdict("Anthropic", claimed).ignored == anthropic.ignored)
        let codex = verdict("OpenAI", [("x-codex-primary-used-percent", "100"), ("x-codex-primary-reset-at", text)])
        #expect(codex.effects == [guess])
        #expect(codex.ignored == [IgnoredValue("x-codex-primary-reset-at", text, fault)])
        let body = "{\"error\":{\"resets_at\":\"\(text)\",\"resets_in_seconds\":17}}"
        #expect(verdict("OpenAI", [], body).effects == [limited(17)])
        let after = verdict("Bedrock", [("retry-after", text)])
        #expect(after.effects == [guess])
        #expect(after.ignored == [IgnoredValue("retry-after", text, fault)])
        let google = verdict("Gemini", [], "{\"error\":{\"details\":[{\"retryDelay\":\"\(text)\"}]}}")
        #expect(google.effects == [guess])
        #expect(google.ignored.count == 1)
    }

    @Test("a reset that is over counts as none; retry-after is next")
    func over() {
        let past = unified([("5h-status", "rejected"), ("5h-reset", "1799999990")])
        #expect(verdict("Anthropic", past).effects == [guess])
        #expect(verdict("Anthropic", past + [("retry-after", "9")]).effects == [limited(9)])
        #expect(verdict("Anthropic", past).ignored.isEmpty)
    }

    @Test("of OpenAI's windows and its body the latest end counts; a key's limits only where they are used up")
    func openAI() {
        let windows = [
            ("x-codex-primary-used-percent", "100"), ("x-codex-primary-reset-after-seconds", "50"),
            ("x-codex-secondary-used-percent", "100.0"), ("x-codex-secondary-reset-at", "1800000070"),
        ]
        #expect(verdict("OpenAI", windows).effects == [limited(70)])
        #expect(verdict("OpenAI", windows, #"{"error":{"resets_in_seconds":80}}"#).effects == [limited(80)])
        #expect(
            verdict("OpenAI", [("x-codex-primary-used-percent", "99.9"), ("x-codex-primary-reset-at", "1800000070")])
                .effects == [guess]
        )
        let key = [
            ("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", "1h"),
            ("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6m0s"),
        ]
        #expect(verdict("OpenAI", key).effects == [limited(360)])
        #expect(verdict("OpenAI", key + [("retry-after", "3")]).effects == [limited(3)])
    }

    @Test(
        "of Google's delays the longest counts, a time only where no delay can be used, and a model's limit is its own"
    )
    func google() {
        func body(_ details: String) -> String { "{\"error\":{\"details\":[\(details)]}}" }
        let delay = #"{"retryDelay":"3s"}"#
        let quota = #"{"metadata":{"quotaResetDelay":"1h","quotaResetTimeStamp":"2027-01-15T23:00:00Z"}}"#
        #expect(verdict("Gemini", [], body(delay)).effects == [limited(3)])
        #expect(verdict("Gemini", [], body("\(delay),\(quota)")).effects == [limited(3600)])
        let stamp = #"{"metadata":{"quotaResetDelay":"-5s","quotaResetTimeStamp":"2027-01-15T09:00:00Z","model":"x"}}"#
        #expect(
            verdict("Antigravity", [], body(stamp), model: "m").effects == [.modelLimited("m", until: .after(3600))]
        )
        #expect(verdict("Antigravity", [], "[\(body(delay))]").effects == [limited(3)])
        #expect(verdict("Antigravity", [("retry-after", "7")]).effects == [limited(7)])
    }
}
