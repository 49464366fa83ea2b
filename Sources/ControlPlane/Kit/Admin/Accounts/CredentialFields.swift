package import Domain
import Formats
import Providers

/// One field of an account's credentials.
package struct CredentialField: Sendable {
    package enum Kind: Hashable, Sendable {
        /// Sealed at rest, shown as `•••`.
        case secret
        case text(ClosedRange<Int>)
        case url
        case time
        /// The name of an AWS region.
        case region
        case choice([String])
    }

    package let name: String
    package let kind: Kind
    package let isRequired: Bool

    package init(_ name: String, _ kind: Kind, isRequired: Bool = false) {
        self.name = name
        self.kind = kind
        self.isRequired = isRequired
    }

    package var isSecret: Bool { kind == .secret }
}

/// Which credential fields an account of a platform and type has.
package struct CredentialDescription: Sendable {
    package let fields: [CredentialField]
    /// Groups of fields of which at least one must be there.
    package let anyOf: [[String]]

    init(_ fields: [CredentialField], anyOf: [[String]] = []) {
        self.fields = fields
        self.anyOf = anyOf
    }

    /// - Parameter authMode: of Bedrock; an unknown one is described as `sigv4`, whose field then names the fault.
    package static func find(_ platform: Platform, _ type: AccountType, authMode: String?) -> CredentialDescription {
        switch type {
        case .apikey:
            let common = [
                CredentialField("api_key", .secret, isRequired: true),
                // Antigravity has no public endpoint for keys: its base URL is some other gateway's.
                CredentialField("base_url", .url, isRequired: platform == .antigravity),
            ]
            let apis = OpenAIProvider.API.allCases.map(\.rawValue)
            return CredentialDescription(
                platform == .openai ? common + [CredentialField("upstream_api", .choice(apis))] : common
            )
        case .setupToken:
            return CredentialDescription([
                CredentialField("access_token", .secret, isRequired: true), CredentialField("base_url", .url),
                CredentialField("expires_at", .time), CredentialField("oauth_beta", .text(1...200)),
            ])
        case .oauth:
            let common = [
                CredentialField("access_token", .secret), CredentialField("refresh_token", .secret),
                CredentialField("expires_at", .time), CredentialField("base_url", .url),
                CredentialField("token_url", .url), CredentialField("client_id", .text(1...300)),
                CredentialField("client_secret", .secret), CredentialField("email", .text(1...320)),
            ]
            let own: [CredentialField] =
                switch platform {
                case .gemini, .antigravity: [CredentialField("project_id", .text(1...200))]
                case .openai: [CredentialField("account_id", .text(1...200))]
                case .anthropic: [CredentialField("oauth_beta", .text(1...200))]
                default: []
                }
            return CredentialDescription(common + own, anyOf: [["access_token", "refresh_token"]])
        case .bedrock:
            let common = [
                CredentialField("auth_mode", .choice(bedrockModes), isRequired: true),
                CredentialField("region", .region, isRequired: true), CredentialField("base_url", .url),
            ]
            guard authMode == "apikey" else {
                return CredentialDescription(
                    common + [
                        CredentialField("access_key_id", .text(16...128), isRequired: true),
                        CredentialField("secret_access_key", .secret, isRequired: true),
                        CredentialField("session_token", .secret),
                    ]
                )
            }
            return CredentialDescription(common + [CredentialField("api_key", .secret, isRequired: true)])
        }
    }

    package static let bedrockModes = ["sigv4", "apikey"]
}
