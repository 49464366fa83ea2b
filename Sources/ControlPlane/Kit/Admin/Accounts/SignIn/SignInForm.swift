import Crypto
package import Domain
package import Formats
package import Providers

/// What requests may say of a sign-in. Pure.
package enum SignInForm {
    package struct Start: Sendable {
        package var platform = Platform.anthropic
        package var account: Int64?
        package var proxy: Int64?

        package init() {}
    }

    package static var start: Form<Start> {
        Form([
            .required("platform", \.platform, .choice(ProviderRegistry.signInPlatforms)),
            .optional(
                "account_id",
                \.account,
                ValueKind<Int64>.id.described("The account to sign in again; a new one if left out.").orNil,
                default: nil
            ),
            .optional(
                "proxy_id",
                \.proxy,
                ValueKind<Int64>.id.described("What to ask the token endpoint through; the account's own if left out.")
                    .orNil,
                default: nil
            ),
        ])
    }

    package struct Finish: Sendable {
        package var code: String?
        package var state: String?
        package var redirectURL: String?
        package var account: JSON?

        package init() {}
    }

    package static var finish: Form<Finish> {
        Form([
            .optional("code", \.code, ValueKind<String>.text(1...8000).orNil, default: nil),
            .optional("state", \.state, ValueKind<String>.text(1...1000).orNil, default: nil),
            .optional(
                "redirect_url",
                \.redirectURL,
                ValueKind<String>.text(1...8000).described(
                    "The address that the browser was sent to, or what the sign-in page shows to be copied; in place of "
                        + "code and state."
                ).orNil,
                default: nil
            ),
            .optional("account", \.account, ValueKind<JSON?>.newAccount, default: nil),
        ])
    }

    /// What the request brings, or what is wrong with it.
    package static func pasted(_ draft: Finish) -> Result<PastedCode, Problem> {
        func fault(_ field: String, _ fault: PastedCode.Fault) -> Problem {
            let message = fault == .noCode ? "must have a code in it" : "must have the state in it"
            return .invalid([FieldFault(field, message)])
        }
        switch (draft.redirectURL, draft.code) {
        case (let text?, nil):
            do throws(PastedCode.Fault) {
                return .success(try PastedCode(pasted: text))
            } catch {
                return .failure(fault("redirect_url", error))
            }
        case (nil, let code?):
            do throws(PastedCode.Fault) {
                return .success(try PastedCode(code: code, state: draft.state))
            } catch {
                return .failure(
                    error == .noState ? .invalid([FieldFault("state", "is required")]) : fault("code", error)
                )
            }
        case (nil, nil):
            return .failure(.invalid([FieldFault("code", "is required with state, or else redirect_url")]))
        case (.some, .some):
            return .failure(.invalid([FieldFault("redirect_url", "must not be given together with code")]))
        }
    }

    /// The body with which the new account is made: what the admin said of it, with the tokens.
    ///
    /// - Parameter tokens: nil before they are there, to see what else is wrong.
    package static func accountBody(_ given: JSON?, _ signIn: PendingSignIn, _ tokens: TokenSet?) -> JSON {
        var body = given ?? [:]
        body["platform"] = .string(signIn.platform.rawValue)
        body["type"] = .string(AccountType.oauth.rawValue)
        if body["proxy_id"] == nil, let proxy = signIn.proxy { body["proxy_id"] = .int(proxy.raw) }
        // What the admin says of the account goes before what the provider does.
        let said = given?["credentials"]?.object == nil ? [:] : given?["credentials"] ?? [:]
        var credentials: JSON = [:]
        for (name, value) in tokens?.fields ?? [:] { credentials[name] = .string(value) }
        credentials = credentials.merged(with: said)
        credentials["access_token"] = .string(tokens?.accessToken.reveal() ?? "to-come")
        if let refresh = tokens?.refreshToken { credentials["refresh_token"] = .string(refresh.reveal()) }
        if let end = tokens?.expiresAt { credentials["expires_at"] = .string(RFC3339.format(end.microseconds)) }
        body["credentials"] = credentials
        return body
    }
}

extension ValueKind where Value == JSON? {
    /// Read in a second step, as the body of an account's creation.
    fileprivate static var newAccount: Self {
        Self([
            "type": ["object", "null"],
            "description": "Of a new account: the fields of its creation, but platform, type and tokens.",
        ]) { (json) throws(ValueFaults) -> JSON? in
            guard let members = json.object else { throw ValueFaults("must be an object") }
            let own = ["platform", "type"].filter { name in members.contains { $0.key == name } }
            guard own.isEmpty else {
                throw ValueFaults(own.map { FieldFault(".\($0)", "is the sign-in's own") })
            }
            return json
        }
    }
}
