import Crypto
package import Domain
package import Providers
package import Service

/// The operator's clients at the platforms' authorization servers: configuration, never constants.
///
/// `TOLLGATE_OAUTH_<PLATFORM>_…` for ANTHROPIC, OPENAI, GEMINI and ANTIGRAVITY: `CLIENT_ID` and `TOKEN_URL` let tokens
/// be renewed; `AUTHORIZE_URL` and `REDIRECT_URL` besides let admins sign in, with `SCOPES` (separated by spaces) and
/// `AUTHORIZE_PARAMS` (further parameters of the sign-in page, `a=b&c=d`). `CLIENT_SECRET` (or `…_FILE`) for clients
/// that have one.
package struct OAuthClients: Sendable {
    private var clients: [Platform: SignInClient]

    package init(_ clients: [Platform: SignInClient] = [:]) { self.clients = clients }

    package subscript(_ platform: Platform) -> SignInClient? { clients[platform] }

    /// Reads the configuration and notes every fault in it.
    package init(_ reader: inout ConfigReader) {
        clients = [:]
        for platform in ProviderRegistry.signInPlatforms {
            clients[platform] = Self.client("TOLLGATE_OAUTH_\(platform.rawValue.uppercased())_", &reader)
        }
    }

    /// Nil when nothing is configured under this prefix, or not all that must be.
    private static func client(_ prefix: String, _ reader: inout ConfigReader) -> SignInClient? {
        let names = [
            "CLIENT_ID", "TOKEN_URL", "AUTHORIZE_URL", "REDIRECT_URL", "SCOPES", "AUTHORIZE_PARAMS", "CLIENT_SECRET",
            "CLIENT_SECRET_FILE",
        ]
        guard names.contains(where: { reader.optional(prefix + $0) != nil }) else { return nil }
        let id = reader.required(prefix + "CLIENT_ID", "the id of the operator's OAuth client")
        if !isParameter(id) { reader.fault(prefix + "CLIENT_ID", "must be printable ASCII") }
        let secret = reader.optionalSecret(prefix + "CLIENT_SECRET")
        let tokenURL = url(prefix + "TOKEN_URL", "the token endpoint", &reader)
        var client = SignInClient(id: id, secret: secret.map { Secret($0) }, tokenURL: tokenURL)
        guard names[2...5].contains(where: { reader.optional(prefix + $0) != nil }) else { return client }
        client.page = SignInClient.Page(
            authorizeURL: url(prefix + "AUTHORIZE_URL", "the sign-in page", &reader),
            redirectURL: url(prefix + "REDIRECT_URL", "where the browser is sent with the code", &reader),
            scopes: scopes(prefix + "SCOPES", &reader),
            parameters: parameters(prefix + "AUTHORIZE_PARAMS", &reader)
        )
        return client
    }

    private static func url(_ key: String, _ what: String, _ reader: inout ConfigReader) -> String {
        let text = reader.required(key, what)
        if !text.isEmpty, let fault = UpstreamURL.fault(in: text) { reader.fault(key, fault) }
        return text
    }

    /// Scope tokens (RFC 6749, 3.3).
    private static func scopes(_ key: String, _ reader: inout ConfigReader) -> [String] {
        let words = (reader.optional(key) ?? "").split(separator: " ").map(String.init)
        let isValid = words.allSatisfy { word in
            word.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c }
        }
        if !isValid { reader.fault(key, "must be scopes separated by spaces") }
        return words
    }

    /// What these may not be: the standard's parameters, on which the exchange depends.
    private static let reserved: Set<String> = [
        "response_type", "client_id", "redirect_uri", "state", "scope", "code_challenge", "code_challenge_method",
    ]

    private static func parameters(_ key: String, _ reader: inout ConfigReader) -> [SignInClient.Parameter] {
        let parameters = (reader.optional(key) ?? "").split(separator: "&").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return SignInClient.Parameter(String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
        }
        if parameters.contains(where: { $0.name.isEmpty || !isParameter($0.name) || !isParameter($0.value) }) {
            reader.fault(key, "must be name=value pairs with & between them, not encoded")
        }
        let taken = parameters.map(\.name).filter { reserved.contains($0) }
        if !taken.isEmpty { reader.fault(key, "must not set \(taken.joined(separator: ", "))") }
        return parameters
    }

    private static func isParameter(_ text: String) -> Bool {
        text.utf8.count <= 1000 && text.utf8.allSatisfy { (0x20...0x7e).contains($0) }
    }

    /// The client that an account's tokens belong to: its own, or the operator's; nil when there is neither.
    ///
    /// The operator's secret is never sent to an endpoint, or with a client, that an account has of its own.
    package func client(for platform: Platform, plain: [String: String], secrets: [String: String]) -> SignInClient? {
        let common = clients[platform]
        guard let tokenURL = plain["token_url"] ?? common?.tokenURL, let id = plain["client_id"] ?? common?.id else {
            return nil
        }
        let isCommon = tokenURL == common?.tokenURL && id == common?.id
        let own = secrets["client_secret"].map { Secret($0) }
        return SignInClient(id: id, secret: own ?? (isCommon ? common?.secret : nil), tokenURL: tokenURL)
    }
}
