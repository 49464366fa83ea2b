import Crypto
package import Domain
import HTTPMessages

/// Anthropic's own API: accounts with a key, a login or a setup token.
package struct AnthropicProvider: Provider {
    package static let defaultBaseURL = "https://api.anthropic.com"
    /// What the API wants to see beside a bearer token; the credential field `oauth_beta` has another.
    private static let oauthBeta = "oauth-2025-04-20"
    private static let defaultVersion = "2023-06-01"

    package let target: UpstreamTarget
    private let type: AccountType
    private let overrides: [String: String]
    private let policy: BetaPolicy
    private let oauthBeta: String

    package init?(_ account: ProviderAccount) {
        guard let target = account.target(default: Self.defaultBaseURL, without: "/v1") else { return nil }
        self.target = target
        type = account.type
        overrides = account.headerOverrides
        policy = account.betaPolicy
        oauthBeta = account.fields["oauth_beta"] ?? Self.oauthBeta
    }

    package func dialect(for route: CallRoute, model: String) -> Dialect? { route.action == .embed ? nil : .anthropic }

    package func offers(_ model: String) -> Bool { model.hasPrefix("claude-") }

    package func request(for call: UpstreamCall) throws -> UpstreamRequest? {
        guard let secret = call.secrets[type == .apikey ? "api_key" : "access_token"] else { return nil }
        var head = UpstreamHead(to: target, call, forwarding: CallerHeaders.isForwardedToAnthropic)
        try head.setBetas(policy, for: type, adding: type == .apikey ? "" : oauthBeta)
        head.addIfMissing("anthropic-version", Self.defaultVersion)
        if type == .apikey {
            head.add("x-api-key", secret.reveal())
        } else {
            head.add("authorization", "Bearer " + secret.reveal())
        }
        return UpstreamRequest(
            head.finish(
                call.action == .countTokens ? "/v1/messages/count_tokens" : "/v1/messages",
                query: call.isTranslated ? "" : call.callerQuery,
                overrides: overrides
            ),
            body: call.body
        )
    }

    package var verdicts: VerdictTable { VerdictTable(AnthropicVerdicts()) }

    package var hasSessionWindows: Bool { type != .apikey }

    /// Setup tokens may not ask: of their accounts is known what answers say.
    package var usage: (any UsageProbe)? {
        type == .oauth
            ? AnthropicUsage(target: target, beta: oauthBeta, overrides: overrides, verdicts: verdicts) : nil
    }
}
