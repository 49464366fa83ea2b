import Crypto
package import Domain

/// The Gemini API: accounts with a key or a login.
package struct GeminiProvider: Provider {
    package static let defaultBaseURL = "https://generativelanguage.googleapis.com"

    package let target: UpstreamTarget
    private let isLogin: Bool
    private let project: String?
    private let overrides: [String: String]

    package init?(_ account: ProviderAccount) {
        guard let target = account.target(default: Self.defaultBaseURL, without: "/v1beta") else { return nil }
        self.target = target
        isLogin = account.type == .oauth
        project = account.fields["project_id"]
        overrides = account.headerOverrides
    }

    package func dialect(for route: CallRoute, model: String) -> Dialect? {
        switch route.action {
        case .generate: .gemini
        case .countTokens: .gemini
        // Google has this one in OpenAI's form as well.
        case .embed: .openaiChat
        }
    }

    package func offers(_ model: String) -> Bool { model.hasPrefix("gemini-") }

    package func rewrites(_ call: UpstreamCall) -> Bool { CountBody.isWrapped(call) }

    package func request(for call: UpstreamCall) throws -> UpstreamRequest? {
        guard let secret = call.secrets[isLogin ? "access_token" : "api_key"] else { return nil }
        var head = UpstreamHead(to: target, call, forwarding: CallerHeaders.isForwardedToGoogle)
        if isLogin || call.action == .embed {
            head.add("authorization", "Bearer " + secret.reveal())
            if let project { head.add("x-goog-user-project", project) }
        } else {
            head.add("x-goog-api-key", secret.reveal())
        }
        guard call.action != .embed else {
            return UpstreamRequest(head.finish("/v1beta/openai/embeddings", overrides: overrides), body: call.body)
        }
        return UpstreamRequest(
            head.finish(
                GooglePaths.path("/v1beta", call),
                query: GooglePaths.query(of: call),
                overrides: overrides
            ),
            body: CountBody.isWrapped(call) ? CountBody.wholeRequest(call) : call.body
        )
    }

    package var verdicts: VerdictTable { VerdictTable(GoogleVerdicts()) }
}
