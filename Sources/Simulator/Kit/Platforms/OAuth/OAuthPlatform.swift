import Crypto
package import Formats
package import HTTPMessages

/// Where the platforms' logins are made and renewed: the sign-in page, which says yes at once, and the token
/// endpoints. Beside them what a subscription of Anthropic's has used.
package struct OAuthPlatform: SimulatedPlatform {
    package init() {}

    package var bodyLimit: Int { 64 << 10 }

    private static let signInPages: Set<Substring> = ["/oauth/authorize", "/o/oauth2/v2/auth"]
    private static let usagePath = "/api/oauth/usage"

    package func serves(_ head: HTTPRequestHead) -> Bool {
        OAuthProvider(tokenPath: head.path) != nil || Self.signInPages.contains(head.path)
            || head.path == Self.usagePath
    }

    package func credential(of head: HTTPRequestHead) -> Credential? { Credential.bearer(head) }

    package func answer(_ call: SimulatedCall, _ state: inout SimulatorState, _ parser: JSONParser) -> AnswerPlan {
        let errors = OAuthErrors()
        if call.head.path == Self.usagePath { return usage(call, &state) }
        if Self.signInPages.contains(call.head.path) {
            do throws(Refusal) {
                return try authorize(call, &state)
            } catch {
                return errors.refusal(error)
            }
        }
        guard let provider = OAuthProvider(tokenPath: call.head.path) else {
            return errors.plan(404, "not_found", "No such endpoint")
        }
        guard call.head.method == "POST" else { return errors.plan(405, "invalid_request", "Method not allowed") }
        guard let body = call.body else { return errors.plan(413, "invalid_request", "Request body is too large") }
        let form = OAuthForm(body, call.head, parser)
        // A refresh token is the credential here: words in it, and faults armed for it, strike.
        let named = form["refresh_token"] ?? form["code"] ?? ""
        let turn = Turn(call: call, body: body, credential: Credential(.bearer, named), errors: errors)
        let words = state.faults.words(credential: named, model: nil, isNamedOnly: true)
        return turn.answer(&state, Turn.Subject(), words) { (_, state) throws(Refusal) in
            try exchange(form, provider, now: call.now, &state)
        }
    }

    // MARK: Sign-in

    /// Sends the browser back with a code (RFC 6749, 4.1; RFC 7636).
    private func authorize(_ call: SimulatedCall, _ state: inout SimulatorState) throws(Refusal) -> AnswerPlan {
        func required(_ name: String) throws(Refusal) -> String {
            guard let value = call.head.queryValue(name), !value.isEmpty else {
                throw Refusal("Missing required parameter: \(name)")
            }
            return value
        }
        guard try required("response_type") == "code" else {
            throw Refusal("response_type: only code is supported", code: "unsupported_response_type")
        }
        guard try required("code_challenge_method") == "S256" else {
            throw Refusal("code_challenge_method: only S256 is supported")
        }
        let code = TokenDesk.Code(
            challenge: try required("code_challenge"),
            redirect: try required("redirect_uri"),
            client: try required("client_id")
        )
        let text = "code_" + state.tokens.unique(now: call.now)
        state.tokens.store(code, as: text)
        var location = code.redirect + (code.redirect.contains("?") ? "&" : "?") + "code=\(text)"
        if let value = call.head.queryValue("state") { location += "&state=\(PercentCoding.encode(value))" }
        return AnswerPlan(302, ["location": location, "cache-control": "no-store"], body: [])
    }

    // MARK: Tokens

    private func exchange(
        _ form: OAuthForm,
        _ provider: OAuthProvider,
        now: Int64,
        _ state: inout SimulatorState
    ) throws(Refusal) -> AnswerPlan {
        guard form["client_id"] != nil else { throw Refusal("client_id is missing", code: "invalid_request") }
        switch form["grant_type"] {
        case "refresh_token":
            guard let refresh = form["refresh_token"], !refresh.isEmpty else {
                throw Refusal("refresh_token is missing")
            }
            guard state.credentials.accepts(refresh), !state.tokens.isUsed(refresh) else {
                throw OAuthErrors.invalidGrant("Refresh token not found or invalid")
            }
            guard state.tokens.rotates ?? provider.rotates else {
                return issue(provider, refresh: nil, now: now, &state)
            }
            state.tokens.use(refresh)
        case "authorization_code":
            guard let code = form["code"].flatMap({ state.tokens.take($0) }) else {
                throw OAuthErrors.invalidGrant("Invalid 'code' in request.")
            }
            let verifier = Array((form["code_verifier"] ?? "").utf8)
            guard Base64.encode(SHA256.hash(verifier), .url) == code.challenge else {
                throw OAuthErrors.invalidGrant("Invalid 'code_verifier' in request.")
            }
            guard form["redirect_uri"] == code.redirect, form["client_id"] == code.client else {
                throw OAuthErrors.invalidGrant("Invalid 'redirect_uri' in request.")
            }
        case let type:
            throw Refusal("grant_type: \(type ?? "missing")", code: "unsupported_grant_type")
        }
        let refresh = provider.refresh(state.tokens.unique(now: now))
        return issue(provider, refresh: refresh, now: now, &state)
    }

    private func issue(
        _ provider: OAuthProvider,
        refresh: String?,
        now: Int64,
        _ state: inout SimulatorState
    ) -> AnswerPlan {
        let lifetime = state.tokens.lifetime ?? provider.lifetime
        let end = now &+ lifetime &* 1_000_000
        let unique = state.tokens.unique(now: now)
        let access = provider.access(unique, until: end / 1_000_000)
        state.tokens.issue(access, until: end)
        if state.tokens.lacksProjects, provider == .google { state.tokens.leaveWithoutProject(access) }
        let body = JSONWriter.object { text in
            text.member("token_type", "Bearer")
            text.member("access_token", access)
            text.member("expires_in", lifetime)
            if let refresh { text.member("refresh_token", refresh) }
            text.member("scope", provider.scope)
            provider.writeAccount(unique, until: end / 1_000_000, to: &text)
        }
        return AnswerPlan(200, ["content-type": "application/json", "cache-control": "no-store"], body: body)
    }

    // MARK: Usage

    /// How much of a subscription's windows is used.
    private func usage(_ call: SimulatedCall, _ state: inout SimulatorState) -> AnswerPlan {
        let credential = credential(of: call.head)
        let headers = AnthropicHeaders(sequence: call.sequence, credential: credential, now: call.now)
        let errors = AnthropicErrors(headers: headers, credential: credential)
        guard let credential, state.accepts(credential, now: call.now) else { return errors.unauthorized() }
        let turn = Turn(call: call, body: [], credential: credential, errors: errors)
        return turn.answer(&state) { (words, state) throws(Refusal) in
            let used = state.usage.of(credential.secret).windows
            func reset(_ seconds: Int64, _ count: Int64) -> String {
                RFC3339.format((headers.now / seconds + count) * seconds * 1_000_000, .seconds)
            }
            let body = JSONWriter.object { text in
                for (name, percent) in used.sorted(by: { $0.key < $1.key }) {
                    text.key(name)
                    text.object {
                        $0.member("utilization", percent)
                        $0.member("resets_at", name == "five_hour" ? reset(3_600, 5) : reset(86_400, 5))
                    }
                }
                for name in ["seven_day_oauth_apps", "seven_day_opus"] where used[name] == nil {
                    text.key(name)
                    text.null()
                }
                text.objectMember("extra_usage") {
                    $0.member("is_enabled", false)
                    $0.null("monthly_limit")
                    $0.null("used_credits")
                    $0.null("utilization")
                }
            }
            return AnswerPlan(200, headers.fields(contentType: "application/json"), body: body).spoiled(words)
        }
    }
}

/// The parameters of a token request, as a form or as JSON.
struct OAuthForm {
    private var values: [String: String] = [:]

    init(_ body: [UInt8], _ head: HTTPRequestHead, _ parser: JSONParser) {
        if let members = (try? JSON(body, with: parser))?.object {
            for (key, value) in members { values[key] = value.string }
            return
        }
        for pair in String(decoding: body, as: UTF8.self).split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { continue }
            values[PercentCoding.decodeForm(parts[0])] = PercentCoding.decodeForm(parts[1])
        }
    }

    subscript(_ name: String) -> String? { values[name] }
}
