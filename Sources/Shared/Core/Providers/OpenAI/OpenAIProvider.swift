package import Crypto
package import Domain
package import HTTPMessages

/// OpenAI and what speaks its APIs: accounts with a key, or with a login.
package struct OpenAIProvider: Provider {
    /// Which of its APIs an upstream has (credential field `upstream_api`).
    package enum API: String, Sendable, CaseIterable {
        /// Both; callers of other dialects go to Chat Completions.
        case auto
        case chat
        case responses
    }
    package static let defaultBaseURL = "https://api.openai.com"
    package static let defaultLoginBaseURL = "https://chatgpt.com/backend-api/codex"

    package let target: UpstreamTarget
    private let api: API
    private let isLogin: Bool
    private let accountID: String?
    private let overrides: [String: String]

    package init?(_ account: ProviderAccount) {
        isLogin = account.type == .oauth
        let target =
            isLogin
            ? account.target(default: Self.defaultLoginBaseURL)
            : account.target(default: Self.defaultBaseURL, without: "/v1")
        guard let target else { return nil }
        self.target = target
        api = isLogin ? .responses : account.fields["upstream_api"].flatMap(API.init) ?? .auto
        accountID = account.fields["account_id"]
        overrides = account.headerOverrides
    }

    package func dialect(for route: CallRoute, model: String) -> Dialect? {
        switch route.action {
        case .embed: isLogin ? nil : .openaiChat
        case .countTokens: isLogin || api == .chat ? nil : .openaiResponses
        case .generate:
            switch api {
            case .auto: route.dialect == .openaiResponses ? .openaiResponses : .openaiChat
            case .chat: .openaiChat
            case .responses: .openaiResponses
            }
        }
    }

    package func offers(_ model: String) -> Bool {
        let families = ["gpt-", "o1", "o3", "o4", "chatgpt-", "codex-"]
        return families.contains { model.hasPrefix($0) } || (!isLogin && model.hasPrefix("text-embedding-"))
    }

    package func rewrites(_ call: UpstreamCall) -> Bool { isLogin || call.action == .countTokens }

    /// Few of those that speak OpenAI's APIs count.
    package var countsOptionally: Bool { true }

    package func request(for call: UpstreamCall) throws -> UpstreamRequest? {
        guard var head = head(call.callerHeaders, call.secrets, isTranslated: call.isTranslated) else { return nil }
        let query = call.isTranslated ? "" : call.callerQuery
        let path =
            switch (call.action, call.dialect) {
            case (.embed, _): "/v1/embeddings"
            case (.countTokens, _): "/v1/responses/input_tokens"
            case (_, .openaiResponses): isLogin ? "/responses" : "/v1/responses"
            default: "/v1/chat/completions"
            }
        guard isLogin else {
            let body = call.action == .countTokens ? try OpenAICountBody.convert(call.body) : call.body
            return UpstreamRequest(head.finish(path, query: query, overrides: overrides), body: body)
        }
        head.set("accept", "text/event-stream")
        return UpstreamRequest(
            head.finish(path, query: query, overrides: overrides),
            body: try OpenAILoginBody.convert(call.body),
            form: .alwaysStream
        )
    }

    package func lookup(response id: String, caller: HeaderFields, query: Substring, _ secrets: [String: Secret])
        -> HTTPRequestHead?
    {
        guard !isLogin, api != .chat, let head = head(caller, secrets, isTranslated: false) else { return nil }
        return head.finish(
            "/v1/responses/" + PercentCoding.encode(id),
            method: "GET",
            query: query,
            overrides: overrides
        )
    }

    private func head(_ caller: HeaderFields, _ secrets: [String: Secret], isTranslated: Bool) -> UpstreamHead? {
        guard let secret = secrets[isLogin ? "access_token" : "api_key"] else { return nil }
        var head = UpstreamHead(
            to: target,
            caller,
            forwarding: isTranslated ? CallerHeaders.isForwardedInTranslation : CallerHeaders.isForwardedToOpenAI
        )
        head.add("authorization", "Bearer " + secret.reveal())
        if isLogin, let accountID { head.add("chatgpt-account-id", accountID) }
        return head
    }

    package var verdicts: VerdictTable { VerdictTable(OpenAIVerdicts()) }
}
