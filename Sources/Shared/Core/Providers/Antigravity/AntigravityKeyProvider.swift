import Crypto
package import Domain

/// Antigravity by key: another gateway that has its Claude and its Gemini models below `/antigravity`.
package struct AntigravityKeyProvider: Provider {
    package let target: UpstreamTarget
    private let overrides: [String: String]
    private let policy: BetaPolicy

    package init?(_ account: ProviderAccount) {
        // There is no public endpoint to fall back to.
        guard let target = account.target(default: "") else { return nil }
        self.target = target.with(suffix: "/antigravity")
        overrides = account.headerOverrides
        policy = account.betaPolicy
    }

    package func dialect(for route: CallRoute, model: String) -> Dialect? {
        if route.action == .embed { return nil }
        return switch route.dialect {
        case .anthropic: .anthropic
        case .gemini: .gemini
        case .openaiChat, .openaiResponses: model.hasPrefix("claude") ? .anthropic : .gemini
        }
    }

    package func offers(_ model: String) -> Bool { model.hasPrefix("gemini-") || model.hasPrefix("claude-") }

    package func rewrites(_ call: UpstreamCall) -> Bool { CountBody.isWrapped(call) }

    package func request(for call: UpstreamCall) throws -> UpstreamRequest? {
        guard let key = call.secrets["api_key"] else { return nil }
        if call.dialect == .anthropic {
            var head = UpstreamHead(to: target, call, forwarding: CallerHeaders.isForwardedToAnthropic)
            try head.setBetas(policy, for: .apikey)
            head.addIfMissing("anthropic-version", "2023-06-01")
            head.add("x-api-key", key.reveal())
            let path = call.action == .countTokens ? "/v1/messages/count_tokens" : "/v1/messages"
            let query = call.isTranslated ? "" : call.callerQuery
            return UpstreamRequest(head.finish(path, query: query, overrides: overrides), body: call.body)
        }
        var head = UpstreamHead(to: target, call, forwarding: CallerHeaders.isForwardedToGoogle)
        head.add("x-goog-api-key", key.reveal())
        return UpstreamRequest(
            head.finish(GooglePaths.path("/v1beta", call), query: GooglePaths.query(of: call), overrides: overrides),
            body: CountBody.isWrapped(call) ? CountBody.wholeRequest(call) : call.body
        )
    }

    package var verdicts: VerdictTable { VerdictTable(AntigravityVerdicts()) }
}
