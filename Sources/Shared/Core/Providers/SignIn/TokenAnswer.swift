package import Crypto
package import Domain
import Formats
package import HTTPMessages

/// What a token endpoint gave.
package struct TokenSet: Sendable, Equatable {
    package var accessToken: Secret
    /// Nil: the one that was used stays good (RFC 6749, 6).
    package var refreshToken: Secret?
    /// Nil when it did not say.
    package var expiresAt: Timestamp?
    /// Credential fields that are no secret.
    package var fields: [String: String]

    package init(
        accessToken: Secret,
        refreshToken: Secret? = nil,
        expiresAt: Timestamp? = nil,
        fields: [String: String] = [:]
    ) {
        self.accessToken = accessToken
        self.refreshToken = refreshToken
        self.expiresAt = expiresAt
        self.fields = fields
    }
}

/// What a token endpoint's answer means. Texts are for admins: bounded, without secrets.
package enum TokenAnswer: Sendable, Equatable {
    case tokens(TokenSet)
    /// The code or refresh token is of no use any more: somebody must sign in again.
    case gone(String)
    /// Not the token's fault but the configuration's, such as an unknown client.
    case refused(String)
    /// Perhaps later.
    case unavailable(String, retryAfter: Duration?)
}

extension SignIn {
    /// - Parameter request: what was asked, whose secrets are kept out of texts.
    package func read(
        status: Int,
        headers: HeaderFields,
        body: [UInt8],
        to request: TokenRequest,
        now: Timestamp
    ) -> TokenAnswer {
        let answer = UpstreamAnswer(status: status, headers: headers, body: body)
        switch status {
        case 200..<300:
            guard let tokens = TokenFields.read(answer.json, now: now) else {
                return .unavailable("\(status): the answer has no usable access token", retryAfter: nil)
            }
            var complete = tokens
            complete.fields = accountFields(in: answer.json ?? .null)
            return .tokens(complete)
        case 408, 429, 500...:
            var reader = ResetReader(now: now)
            let end = reader.retryAfter(headers)
            return .unavailable(text(answer, request), retryAfter: end.map { $0 - now })
        default:
            // A page of some proxy's on the way says nothing about the token.
            guard answer.json != nil else { return .unavailable(text(answer, request), retryAfter: nil) }
            let codes = TokenFields.errorCodes(answer)
            let isGone = codes.contains("invalid_grant") || !goneCodes.isDisjoint(with: codes)
            return isGone ? .gone(text(answer, request)) : .refused(text(answer, request))
        }
    }

    /// The standard's code and description (RFC 6749, 5.2), or the platform's own words.
    private func text(_ answer: UpstreamAnswer, _ request: TokenRequest) -> String {
        var text = ErrorText.kept(answer)
        if let code = answer.json?["error"]?.string {
            let description = answer.json?["error_description"]?.string ?? ""
            text = "\(answer.status): \(code)" + (description.isEmpty ? "" : " (\(description))")
        }
        text = ErrorText.cleaned(text)
        for secret in request.secrets where secret.reveal().utf8.count >= 4 {
            text = text.replacing(secret.reveal(), with: Secret.mask)
        }
        return text
    }
}

/// Reads the members of token answers; what makes no sense counts as absent.
enum TokenFields {
    /// Longer tokens are none that any platform issues, and no header would carry them.
    private static let longestToken = 16 * 1024
    /// Ten years.
    private static let longestLife: Int64 = 315_360_000

    static func read(_ json: JSON?, now: Timestamp) -> TokenSet? {
        guard let access = token(json?["access_token"]) else { return nil }
        return TokenSet(
            accessToken: access,
            refreshToken: token(json?["refresh_token"]),
            expiresAt: seconds(json?["expires_in"]).map { now + .seconds($0) }
        )
    }

    /// Printable ASCII without spaces, as it must be in a header.
    private static func token(_ json: JSON?) -> Secret? {
        guard let text = json?.string, (1...longestToken).contains(text.utf8.count),
            text.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { return nil }
        return Secret(text)
    }

    /// `expires_in` (RFC 6749, 5.1), also as a text.
    private static func seconds(_ json: JSON?) -> Int64? {
        let number =
            json?.int64 ?? json?.string.flatMap { Int64($0) }
            ?? json?.double.flatMap { Int64(exactly: $0.rounded(.down)) }
        return number.flatMap { (1...longestLife).contains($0) ? $0 : nil }
    }

    /// The standard's `error`, or the code and type of an error object.
    static func errorCodes(_ answer: UpstreamAnswer) -> Set<String> {
        Set([answer.json?["error"]?.string ?? "", answer.errorCode, answer.errorType])
    }

    /// A text of an answer that may become a credential field.
    static func field(_ json: JSON?) -> String? {
        guard let text = json?.string, (1...320).contains(text.unicodeScalars.count),
            !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        else { return nil }
        return text
    }

    /// The claims of a JSON web token (RFC 7519, 3). The signature is not looked at: the token came from the token
    /// endpoint itself (OpenID Connect Core, 3.1.3.7).
    static func claims(_ json: JSON?) -> JSON? {
        guard let text = json?.string, text.utf8.count <= 4 * longestToken else { return nil }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let bytes = Base64.decode(parts[1], .url) else { return nil }
        return try? JSON(bytes, with: JSONParser(maximumDepth: 16))
    }
}
