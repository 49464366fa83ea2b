/// What a caller presented.
package struct Credential: Hashable, Sendable {
    package enum Kind: String, Sendable { case apiKey = "api_key", bearer }
    package var kind: Kind
    package var secret: String

    package init(_ kind: Kind, _ secret: String) {
        self.kind = kind
        self.secret = secret
    }
}

/// Which credentials are good: any that is not empty, until some are named.
package struct CredentialRules: Sendable {
    /// Nil is any.
    package var valid: Set<String>?
    package var revoked: Set<String> = []

    package init() {}

    package func accepts(_ secret: String) -> Bool {
        !secret.isEmpty && !revoked.contains(secret) && valid?.contains(secret) != false
    }
}
