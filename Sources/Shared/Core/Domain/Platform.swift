/// The maker of an upstream API. A struct round its name, so that a new one needs no `switch` elsewhere to grow.
package struct Platform: RawRepresentable, Hashable, Sendable {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }

    package static let anthropic = Platform(rawValue: "anthropic")
    package static let openai = Platform(rawValue: "openai")
    package static let gemini = Platform(rawValue: "gemini")
    package static let antigravity = Platform(rawValue: "antigravity")

    package static let all: [Platform] = [.anthropic, .openai, .gemini, .antigravity]
}

/// How an account proves itself to its platform.
package enum AccountType: String, Sendable, CaseIterable {
    case oauth
    case setupToken = "setup_token"
    case apikey
    case bedrock

    /// The types that accounts of a platform can have.
    package static func allowed(on platform: Platform) -> [AccountType] {
        switch platform {
        case .anthropic: [.oauth, .setupToken, .apikey, .bedrock]
        case .openai, .gemini, .antigravity: [.oauth, .apikey]
        default: []
        }
    }
}

/// A wire format that callers speak.
package enum Dialect: String, Sendable, CaseIterable {
    case anthropic
    case openaiChat = "openai_chat"
    case openaiResponses = "openai_responses"
    case gemini
}
