import HTTPMessages

/// What a caller presented.
package struct Credential: Hashable, Sendable {
    package enum Kind: String, Sendable { case apiKey = "api_key", bearer, accessKey = "access_key" }
    package var kind: Kind
    package var secret: String

    package init(_ kind: Kind, _ secret: String) {
        self.kind = kind
        self.secret = secret
    }

    /// An API key; none when it is missing or empty.
    static func apiKey(_ value: String?) -> Credential? {
        guard let value, !value.isEmpty else { return nil }
        return Credential(.apiKey, value)
    }

    /// The bearer of `Authorization`; none in another scheme.
    static func bearer(_ head: HTTPRequestHead) -> Credential? {
        guard let value = head.headers["authorization"] else { return nil }
        let parts = value.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        return Credential(.bearer, String(parts[1]))
    }
}

/// Which credentials are good: any that is not empty, until some are named.
package struct CredentialRules: Sendable {
    /// Nil is any.
    package var valid: Set<String>?
    package var revoked: Set<String> = []

    /// Secret keys of AWS, by the id of the access key; any other has `defaultAWSSecret`.
    package var awsSecrets: [String: String] = [:]
    package static let defaultAWSSecret = "simulator-secret"

    package init() {}

    func awsSecret(of id: String) -> String { awsSecrets[id] ?? Self.defaultAWSSecret }

    package func accepts(_ secret: String) -> Bool {
        !secret.isEmpty && !revoked.contains(secret) && valid?.contains(secret) != false
    }
}
