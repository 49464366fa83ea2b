package import Crypto
package import Formats
package import HTTPMessages

/// How a platform's logins are made and renewed: the authorization code grant with PKCE (RFC 6749, 4.1; RFC 7636) and
/// the refresh token grant (RFC 6749, 6). Pure: what is written here somebody else sends.
///
/// A platform's folder says only in what it differs.
package protocol SignIn: Sendable {
    var bodyFormat: SignInBody { get }
    /// What the sign-in page wants to be told beside the standard's parameters; the operator's own go before these.
    var authorizeParameters: [(name: String, value: String)] { get }
    /// Whether the request that trades the code in repeats the state.
    var exchangeCarriesState: Bool { get }
    /// What a token answer says of the account, under the names of credential fields that are no secret.
    func accountFields(in answer: JSON) -> [String: String]
    /// Codes of errors, besides `invalid_grant`, which mean that the code or refresh token is of no use any more.
    var goneCodes: Set<String> { get }
}

/// How the parameters of a token request are written.
package enum SignInBody: Sendable {
    /// As RFC 6749 wants it.
    case form
    case json
}

extension SignIn {
    package var bodyFormat: SignInBody { .form }
    package var authorizeParameters: [(name: String, value: String)] { [] }
    package var exchangeCarriesState: Bool { false }
    package func accountFields(in answer: JSON) -> [String: String] { [:] }
    package var goneCodes: Set<String> { [] }
}

/// The operator's client at a platform's authorization server. All of it is configuration.
package struct SignInClient: Sendable, Equatable {
    /// What signing in takes beyond renewing.
    package struct Page: Sendable, Equatable {
        package var authorizeURL: String
        /// Where the browser is sent with the code; registered for the client.
        package var redirectURL: String
        package var scopes: [String]
        /// Further parameters of the sign-in page. One takes the place of the platform's own of that name, none that of
        /// the standard's.
        package var parameters: [Parameter]

        package init(authorizeURL: String, redirectURL: String, scopes: [String] = [], parameters: [Parameter] = []) {
            self.authorizeURL = authorizeURL
            self.redirectURL = redirectURL
            self.scopes = scopes
            self.parameters = parameters
        }
    }
    package struct Parameter: Sendable, Equatable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    package var id: String
    /// Nil for public clients (RFC 6749, 2.1).
    package var secret: Secret?
    package var tokenURL: String
    /// Nil where tokens can be renewed only.
    package var page: Page?

    package init(id: String, secret: Secret? = nil, tokenURL: String, page: Page? = nil) {
        self.id = id
        self.secret = secret
        self.tokenURL = tokenURL
        self.page = page
    }
}

/// A request to a token endpoint.
package struct TokenRequest: Sendable, Equatable {
    package let url: String
    package let headers: HeaderFields
    package let body: [UInt8]
    /// What was sent that an answer must not be kept with, should it repeat it.
    package let secrets: [Secret]
}

/// Proof key for code exchange, method S256 (RFC 7636, 4).
package enum PKCE {
    /// Bytes of randomness that a verifier takes; written it has 43 characters.
    package static let randomBytes = 32

    package static func verifier(_ random: [UInt8]) -> String { Base64.encode(random, .url) }

    package static func challenge(_ verifier: String) -> String { Base64.encode(SHA256.hash(verifier), .url) }
}

extension SignIn {
    /// Where the browser is sent to sign in.
    package func authorizeURL(_ client: SignInClient, _ page: SignInClient.Page, state: String, challenge: String)
        -> String
    {
        var parameters = [
            SignInClient.Parameter("response_type", "code"), .init("client_id", client.id),
            .init("redirect_uri", page.redirectURL), .init("state", state), .init("code_challenge", challenge),
            .init("code_challenge_method", "S256"),
        ]
        if !page.scopes.isEmpty { parameters.insert(.init("scope", page.scopes.joined(separator: " ")), at: 3) }
        func add(_ parameter: SignInClient.Parameter) {
            if !parameters.contains(where: { $0.name == parameter.name }) { parameters.append(parameter) }
        }
        for parameter in page.parameters { add(parameter) }
        for (name, value) in authorizeParameters { add(.init(name, value)) }
        let query = parameters.map { PercentCoding.encode($0.name) + "=" + PercentCoding.encode($0.value) }
        return page.authorizeURL + "?" + query.joined(separator: "&")
    }

    /// Trades a code in (RFC 6749, 4.1.3).
    package func exchange(
        _ code: String,
        verifier: String,
        state: String,
        redirectURL: String,
        _ client: SignInClient
    ) -> TokenRequest {
        request(
            [
                ("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirectURL),
                ("code_verifier", verifier),
            ] + (exchangeCarriesState ? [("state", state)] : []),
            client,
            hiding: [Secret(code), Secret(verifier)]
        )
    }

    /// Asks for a new access token (RFC 6749, 6).
    package func refresh(_ token: Secret, _ client: SignInClient) -> TokenRequest {
        request([("grant_type", "refresh_token"), ("refresh_token", token.reveal())], client, hiding: [token])
    }

    private func request(_ parameters: [(String, String)], _ client: SignInClient, hiding secrets: [Secret])
        -> TokenRequest
    {
        let all =
            parameters + [("client_id", client.id)] + (client.secret.map { [("client_secret", $0.reveal())] } ?? [])
        var headers: HeaderFields = ["accept": "application/json"]
        let body: [UInt8]
        switch bodyFormat {
        case .form:
            headers.set("content-type", "application/x-www-form-urlencoded")
            body = Array(
                all.map { PercentCoding.encode($0.0) + "=" + PercentCoding.encode($0.1) }.joined(separator: "&").utf8
            )
        case .json:
            headers.set("content-type", "application/json")
            body = JSON.object(all.map { (key: $0.0, value: .string($0.1)) }).encoded
        }
        return TokenRequest(
            url: client.tokenURL,
            headers: headers,
            body: body,
            secrets: secrets + (client.secret.map { [$0] } ?? [])
        )
    }
}
