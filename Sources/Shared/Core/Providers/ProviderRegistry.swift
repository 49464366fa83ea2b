package import Domain

/// Every platform there is, a line each.
package enum ProviderRegistry {
    private static let makers: [Platform: @Sendable (ProviderAccount) -> (any Provider)?] = [
        .anthropic: { account in
            if account.type == .bedrock { BedrockProvider(account) } else { AnthropicProvider(account) }
        },
        .openai: { OpenAIProvider($0) },
        .gemini: { GeminiProvider($0) },
        .antigravity: { account in
            if account.type == .apikey { AntigravityKeyProvider(account) } else { AntigravityProvider(account) }
        },
    ]

    /// Nil when no call can be sent to the account: its base URL cannot be used, or its type is unknown.
    package static func provider(for account: ProviderAccount) -> (any Provider)? {
        guard AccountType.allowed(on: account.platform).contains(account.type) else { return nil }
        return makers[account.platform]?(account)
    }

    private static let signIns: [Platform: any SignIn] = [
        .anthropic: AnthropicSignIn(), .openai: OpenAISignIn(), .gemini: GeminiSignIn(),
        .antigravity: AntigravitySignIn(),
    ]

    /// How logins of a platform are made and renewed; nil for a platform without.
    package static func signIn(for platform: Platform) -> (any SignIn)? { signIns[platform] }

    /// In the order in which platforms are shown.
    package static var signInPlatforms: [Platform] { Platform.all.filter { signIns[$0] != nil } }
}
