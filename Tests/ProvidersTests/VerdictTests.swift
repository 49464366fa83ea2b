import Domain
import Formats
import HTTPMessages
import Testing

@testable import Providers

@Suite("What every answer means")
struct VerdictTests {
    /// A fixture with the types of account that it is tried with, and what is expected.
    struct Row: CustomTestStringConvertible, Sendable {
        var cases: [VerdictCase]
        var request: UpstreamVerdict.RequestEffect
        var reason: VerdictReason
        var effects: [AccountEffect]
        var testDescription: String { cases.map(\.testDescription).joined(separator: "; ") }

        init(
            _ fixture: String,
            _ types: [AccountType],
            _ request: UpstreamVerdict.RequestEffect,
            _ reason: VerdictReason,
            _ effects: [AccountEffect] = []
        ) {
            cases = types.map { VerdictCase(fixture: fixture, type: $0) }
            self.request = request
            self.reason = reason
            self.effects = effects
        }
    }

    private static let all: [AccountType] = [.apikey, .oauth, .setupToken]
    private static let logins: [AccountType] = [.oauth, .setupToken]
    private static let retried = UpstreamVerdict.RequestEffect.retryHere(limit: 2, after: .milliseconds(500))
    private static let model = "claude-opus-4-5"

    private static func error(_ text: String) -> [AccountEffect] { [.error(AccountError(text))] }
    private static func limited(_ seconds: Double) -> [AccountEffect] {
        [.rateLimited(until: .after(seconds), isGuessed: false)]
    }
    private static let fallback: [AccountEffect] = [.rateLimited(until: .after(5), isGuessed: true)]
    private static let missing: [AccountEffect] = [.modelLimited(model, until: .after(1800))]
    private static func unauthorized(_ text: String) -> [AccountEffect] {
        [
            .invalidateToken(version: 7), .countUnauthorized(version: 7, pausedUntil: .after(600)),
            .paused(until: .after(600), .unauthorized, reason: text),
        ]
    }

    private static let anthropic: [Row] = [
        Row("Anthropic/400-invalid", all, .passThrough, .callerFault),
        Row(
            "Anthropic/400-organization-disabled",
            all,
            .failover,
            .organizationDisabled,
            error("400: This organization has been disabled.")
        ),
        Row(
            "Anthropic/400-credit-balance",
            [.apikey],
            .failover,
            .paymentRequired,
            error(
                "400: Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to"
                    + " upgrade or purchase credits."
            )
        ),
        Row("Anthropic/400-credit-balance", logins, .passThrough, .callerFault),
        Row("Anthropic/401-key", [.apikey], .failover, .credentialRejected, error("401: invalid x-api-key")),
        Row(
            "Anthropic/401-token-expired",
            logins,
            .failover,
            .credentialRejected,
            unauthorized("401: OAuth token has expired. Please obtain a new token or refresh your existing token.")
        ),
        Row(
            "Anthropic/402-billing",
            all,
            .failover,
            .paymentRequired,
            error("402: There is a problem with your billing or payment details.")
        ),
        Row(
            "Anthropic/403-token-revoked",
            logins,
            .failover,
            .forbidden,
            error("403: OAuth token has been revoked. Please obtain a new token.")
        ),
        Row(
            "Anthropic/403-permission",
            [.apikey],
            .failover,
            .forbidden,
            error("403: Your API key does not have permission to use the specified resource.")
        ),
        Row("Anthropic/403-page", all, .failover, .proxyPage),
        Row("Anthropic/404-model", all, .failover, .modelNotFound, missing),
        Row("Anthropic/404-file", all, .passThrough, .callerFault),
        Row("Anthropic/404-file-named", all, .passThrough, .callerFault),
        Row("Anthropic/408-timeout", all, .failover, .requestTimeout),
        Row("Anthropic/413-too-large", all, .passThrough, .callerFault),
        Row("Anthropic/429-five-hours", all, .failover, .rateLimited, limited(8000)),
        Row("Anthropic/429-seven-days", all, .failover, .rateLimited, limited(300_000)),
        Row(
            "Anthropic/429-opus",
            all,
            .failover,
            .modelRateLimited,
            [.modelLimited(model, until: .after(300_000))]
        ),
        Row("Anthropic/429-key-requests", all, .failover, .rateLimited, limited(12)),
        Row("Anthropic/429-plain", all, .failover, .rateLimited, fallback),
        Row(
            "Anthropic/429-included",
            logins,
            .failover,
            .modelRateLimited,
            [.modelLimited(model, until: .after(300_000))]
        ),
        Row("Anthropic/429-spend-limit", [.apikey], .failover, .insufficientQuota, limited(167_400)),
        Row("Anthropic/400-spend-limit", [.apikey], .failover, .insufficientQuota, limited(167_400)),
        Row("Anthropic/400-spend-limit", logins, .passThrough, .callerFault),
        // Later than any reset is believed.
        Row("Anthropic/400-spend-limit-workspace", [.apikey], .failover, .insufficientQuota, limited(3600)),
        Row("Anthropic/400-spend-limit-undated", [.apikey], .failover, .insufficientQuota, limited(3600)),
        Row("Anthropic/400-extra-usage", logins, .failover, .optionLimited),
        Row("Anthropic/400-extra-usage", [.apikey], .passThrough, .callerFault),
        Row("Anthropic/429-long-context", all, .failover, .optionLimited),
        Row("Anthropic/429-fast-mode", all, .failover, .optionLimited),
        Row("Anthropic/429-fast-mode-in-used-up-window", all, .failover, .rateLimited, limited(8000)),
        Row("Anthropic/500-internal", all, .failover, .upstreamError),
        Row("Anthropic/503-envoy", all, .failover, .upstreamError),
        Row("Anthropic/529-overloaded", all, .failover, .overloaded, [.overloaded(until: .after(600))]),
    ]

    private static let openai: [Row] = [
        Row("OpenAI/400-context", all, .passThrough, .callerFault),
        Row(
            "OpenAI/401-key",
            [.apikey],
            .failover,
            .credentialRejected,
            error(
                "401: Incorrect API key provided: [redacted]. You can find your API key at"
                    + " https://platform.openai.com/account/api-keys."
            )
        ),
        Row("OpenAI/401-detail", [.apikey, .oauth], .failover, .credentialRevoked, error("401: Unauthorized")),
        Row(
            "OpenAI/401-invalidated",
            [.apikey, .oauth],
            .failover,
            .credentialRevoked,
            error("401: Your authentication token has been invalidated. Please try signing in again.")
        ),
        Row(
            "OpenAI/401-revoked",
            [.apikey, .oauth],
            .failover,
            .credentialRevoked,
            error("401: Encountered invalidated oauth token for user, failing request")
        ),
        Row(
            "OpenAI/401-expired",
            [.oauth],
            .failover,
            .credentialRejected,
            unauthorized("401: Provided authentication token is expired. Please try signing in again.")
        ),
        Row("OpenAI/402-workspace", [.oauth], .failover, .paymentRequired, error("402: deactivated_workspace")),
        Row(
            "OpenAI/403-country",
            [.apikey, .oauth],
            .failover,
            .forbidden,
            [
                .countForbidden(until: .after(10_800)),
                .paused(
                    until: .after(600),
                    .forbidden,
                    reason: "403: Country, region, or territory not supported"
                ),
            ]
        ),
        Row("OpenAI/403-page", [.apikey, .oauth], .failover, .proxyPage),
        Row("OpenAI/404-model", [.apikey, .oauth], .failover, .modelNotFound, missing),
        Row("OpenAI/403-model", [.apikey, .oauth], .failover, .modelNotFound, missing),
        Row("OpenAI/404-item", [.apikey, .oauth], .passThrough, .callerFault),
        Row("OpenAI/404-route", [.apikey, .oauth], .passThrough, .callerFault),
        Row("OpenAI/429-codex", [.oauth], .failover, .rateLimited, limited(13_872)),
        Row("OpenAI/429-codex-free", [.oauth], .failover, .rateLimited, limited(471_285)),
        Row(
            "OpenAI/429-codex-model",
            [.oauth],
            .failover,
            .modelRateLimited,
            [.modelLimited(model, until: .after(200_000))]
        ),
        Row("OpenAI/429-codex-beside", [.oauth], .failover, .rateLimited, limited(9000)),
        Row("OpenAI/429-resets-at", [.oauth], .failover, .rateLimited, limited(529_498)),
        Row("OpenAI/429-resets-in", [.oauth], .failover, .rateLimited, limited(529_498)),
        Row(
            "OpenAI/429-requests",
            [.apikey],
            .failover,
            .modelRateLimited,
            [.modelLimited(model, until: .after(90))]
        ),
        Row("OpenAI/429-requests", [.oauth], .failover, .rateLimited, limited(90)),
        Row("OpenAI/429-too-large", [.apikey], .failover, .optionLimited),
        Row("OpenAI/429-flex", [.apikey], .failover, .optionLimited),
        Row("OpenAI/401-scopes", [.apikey], .failover, .optionLimited),
        Row("OpenAI/429-quota", [.apikey], .failover, .insufficientQuota, fallback),
        Row("OpenAI/500-server", [.apikey], .failover, .upstreamError),
    ]

    private static let gemini: [Row] = [
        Row("Gemini/400-argument", [.apikey, .oauth], .passThrough, .callerFault),
        Row(
            "Gemini/400-key",
            [.apikey],
            .failover,
            .credentialRejected,
            error("400: API key not valid. Please pass a valid API key.")
        ),
        Row(
            "Gemini/401-token",
            [.oauth],
            .failover,
            .credentialRejected,
            unauthorized(
                "401: Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or"
                    + " other valid authentication credential."
            )
        ),
        Row(
            "Gemini/403-suspended",
            [.apikey, .oauth],
            .failover,
            .forbidden,
            error("403: Permission denied: Consumer 'api_key:[redacted]' has been suspended.")
        ),
        Row("Gemini/403-file", [.apikey, .oauth], .passThrough, .callerFault),
        Row("Gemini/403-cached-content", [.apikey, .oauth], .passThrough, .callerFault),
        Row("Gemini/429-prepayment", [.apikey], .failover, .insufficientQuota, limited(3600)),
        Row("Gemini/400-location", [.apikey, .oauth], .failover, .forbidden),
        Row("Gemini/404-model", [.apikey, .oauth], .failover, .modelNotFound, missing),
        Row("Gemini/404-cached-content", [.apikey, .oauth], .passThrough, .callerFault),
        Row(
            "Gemini/429-free-tier",
            [.apikey],
            .failover,
            .modelRateLimited,
            [.modelLimited(model, until: .after(22))]
        ),
        Row("Gemini/429-project", [.apikey], .failover, .rateLimited, limited(3.957525)),
        Row("Gemini/429-plain", [.apikey, .oauth], .failover, .rateLimited, fallback),
        Row("Gemini/503-overloaded", [.apikey, .oauth], .failover, .upstreamError),
    ]

    private static let antigravity: [Row] = [
        Row(
            "Antigravity/400-project",
            [.oauth],
            retried,
            .invalidProject,
            [.paused(until: .after(60), .invalidProject, reason: "400: Invalid project resource name projects/")]
        ),
        Row(
            "Antigravity/401",
            [.oauth, .apikey],
            .failover,
            .credentialRejected,
            error("401: Request had invalid authentication credentials.")
        ),
        Row("Antigravity/404-entity", [.oauth], .failover, .modelNotFound, missing),
        Row("Antigravity/key-claude-404-model", [.apikey], .failover, .modelNotFound, missing),
        Row(
            "Antigravity/429-model-quota",
            [.oauth],
            .failover,
            .modelRateLimited,
            [.modelLimited(model, until: .after(33_740.9104))]
        ),
        Row("Antigravity/429-capacity", [.oauth], .failover, .rateLimited, fallback),
        // Without credits in the call these are like any other.
        Row("Antigravity/429-credits", [.oauth], .failover, .rateLimited, fallback),
        Row("Antigravity/400-credits", [.oauth], .passThrough, .callerFault),
    ]

    private static let bedrock: [Row] = [
        Row("Bedrock/400-model", [.bedrock], .failover, .modelNotFound, missing),
        Row("Bedrock/400-too-long", [.bedrock], .passThrough, .callerFault),
        Row("Bedrock/400-quota", [.bedrock], .failover, .rateLimited, fallback),
        Row(
            "Bedrock/403-denied",
            [.bedrock],
            .failover,
            .forbidden,
            error("403: User: [redacted] is not authorized to perform: bedrock:InvokeModel")
        ),
        Row("Bedrock/403-not-available", [.bedrock], .failover, .modelNotFound, missing),
        Row("Bedrock/403-marketplace", [.bedrock], .failover, .modelNotFound, missing),
        Row("Bedrock/403-policy", [.bedrock], .failover, .modelNotFound, missing),
        Row("Bedrock/403-model", [.bedrock], .failover, .modelNotFound, missing),
        Row(
            "Bedrock/403-expired",
            [.bedrock],
            .failover,
            .forbidden,
            error("403: The security token included in the request is expired")
        ),
        Row("Bedrock/404-model", [.bedrock], .failover, .modelNotFound, missing),
        Row("Bedrock/424-model-error", [.bedrock], .failover, .upstreamError),
        Row("Bedrock/429-throttled", [.bedrock], .failover, .rateLimited, fallback),
        Row("Bedrock/429-retry-after", [.bedrock], .failover, .rateLimited, limited(30)),
        Row("Bedrock/503-unavailable", [.bedrock], .failover, .upstreamError),
    ]

    @Test(
        "an answer means what the table of verdicts says",
        arguments: anthropic + openai + gemini + antigravity + bedrock
    )
    func row(_ row: Row) {
        for one in row.cases {
            let verdict = one.verdict()
            #expect(verdict.request == row.request)
            #expect(verdict.reason == row.reason)
            #expect(verdict.effects == row.effects)
            #expect(verdict.ignored.isEmpty)
            #expect(verdict.clears.isEmpty)
        }
    }

    @Test("no fixture is left out of the tables")
    func everyFixture() {
        let rows = Self.anthropic + Self.openai + Self.gemini + Self.antigravity + Self.bedrock
        let known = Set(rows.flatMap { $0.cases.map(\.fixture) })
        let forbidden = VerdictFixture.names.filter { $0.hasPrefix("Antigravity/403") }
        #expect(Set(VerdictFixture.names).subtracting(forbidden) == known)
    }

    @Test(
        "without an answer there is no flag, and no verdict of the account",
        arguments: ["Anthropic", "OpenAI", "Gemini", "Antigravity", "Bedrock"]
    )
    func noAnswer(platform: String) {
        let table = VerdictCase.table(of: platform)
        let context = VerdictContext(now: VerdictFixture.now, accountType: .apikey)
        #expect(table.verdict(.connectionFailed, context) == UpstreamVerdict(.failover, .connectionFailed))
        #expect(table.verdict(.timedOut, context) == UpstreamVerdict(.failover, .upstreamTimeout))
        for status in [302, 304, 500, 502, 503, 504, 599, 408, 0, 999] {
            let answer = UpstreamAnswer(status: status, headers: [:], body: [])
            let verdict = table.verdict(.refused(answer), context)
            #expect(verdict.request == .failover)
            #expect(verdict.effects.isEmpty)
        }
        for status in [400, 404, 405, 409, 413, 418, 422, 451, 499] {
            let answer = UpstreamAnswer(status: status, headers: [:], body: Array(#"{"error":{"message":"no"}}"#.utf8))
            #expect(table.verdict(.refused(answer), context) == UpstreamVerdict(.passThrough, .callerFault))
        }
    }

    @Test(
        "an empty stream is tried here twice more, half a second apart, and then pauses the account for a minute",
        arguments: ["Anthropic", "OpenAI", "Gemini", "Antigravity", "Bedrock"]
    )
    func emptyStream(platform: String) {
        let context = VerdictContext(now: VerdictFixture.now, accountType: .apikey)
        let verdict = VerdictCase.table(of: platform).verdict(.emptyStream, context)
        #expect(verdict.request == Self.retried)
        #expect(Self.isGuessed(verdict))
        for done in 0..<2 {
            let retry = verdict.resolved(retriesDone: done)
            #expect(retry.request == Self.retried)
            #expect(retry.effects.isEmpty)
        }
        let last = verdict.resolved(retriesDone: 2)
        #expect(last.request == .failover)
        guard case .paused(let end, .emptyStream, _)? = last.effects.first else {
            Issue.record("the account is not paused")
            return
        }
        #expect(end == .after(60))
        #expect(last.effects.count == 1)
    }

    @Test("quoted texts match in any case")
    func anyCase() {
        func verdict(_ message: String) -> UpstreamVerdict {
            let body = "{\"type\":\"error\",\"error\":{\"type\":\"x\",\"message\":\"\(message)\"}}"
            let answer = UpstreamAnswer(status: 400, headers: [:], body: Array(body.utf8))
            let context = VerdictContext(now: VerdictFixture.now, accountType: .apikey)
            return VerdictCase.table(of: "Anthropic").verdict(.refused(answer), context)
        }
        #expect(verdict("THIS ORGANIZATION HAS BEEN DISABLED").reason == .organizationDisabled)
        #expect(verdict("Low Credit Balance").reason == .paymentRequired)
        #expect(verdict("organization has been enabled").reason == .callerFault)
    }

    /// Whether the flag that it sets says that its end is a guess.
    private static func isGuessed(_ verdict: UpstreamVerdict) -> Bool {
        verdict.effects.contains { AccountFlag($0, setAt: VerdictFixture.now)?.isGuessed == true }
    }

    @Test("which pauses are guesses that may be probed")
    func guesses() {
        #expect(Self.isGuessed(VerdictCase(fixture: "Anthropic/429-plain", type: .apikey).verdict()))
        #expect(Self.isGuessed(VerdictCase(fixture: "Anthropic/529-overloaded", type: .apikey).verdict()))
        #expect(Self.isGuessed(VerdictCase(fixture: "Antigravity/400-project", type: .oauth).verdict()))
        for fixture in [
            "Anthropic/429-five-hours", "Anthropic/404-model", "Anthropic/401-token-expired", "OpenAI/403-country",
        ] {
            #expect(!Self.isGuessed(VerdictCase(fixture: fixture, type: .oauth).verdict()))
        }
        let ruled = VerdictCase(fixture: "Anthropic/500-internal", type: .oauth).verdict {
            $0.rules.pauseRules = [PauseRule(status: 500, minutes: 3)]
        }
        #expect(!Self.isGuessed(ruled))
    }
}
