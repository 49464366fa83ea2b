import Crypto
import Domain
import Formats
import HTTPMessages
import Providers
import Testing

@Suite("Sign-in of each platform")
struct SignInTests {
    private static let now = Timestamp(microseconds: 1_790_000_000_000_000)
    private static let client = SignInClient(
        id: "client 1",
        secret: Secret("s&cret"),
        tokenURL: "https://auth.example/token"
    )
    private static let page = SignInClient.Page(
        authorizeURL: "https://auth.example/authorize",
        redirectURL: "http://localhost:1455/auth/callback",
        scopes: ["openid", "user:profile"],
        parameters: [.init("audience", "a b"), .init("prompt", "login")]
    )

    private static func signIn(_ platform: Platform) throws -> any SignIn {
        try #require(ProviderRegistry.signIn(for: platform))
    }

    private static func read(_ platform: Platform, _ status: Int, _ body: String, _ headers: HeaderFields = [:]) throws
        -> TokenAnswer
    {
        let signIn = try signIn(platform)
        let request = signIn.refresh(Secret("rt-very-secret"), client)
        return signIn.read(status: status, headers: headers, body: Array(body.utf8), to: request, now: now)
    }

    @Test("the challenge of a verifier is that of RFC 7636, appendix B")
    func challenge() {
        #expect(
            PKCE.challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
                == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        )
        #expect(PKCE.verifier([UInt8](repeating: 255, count: PKCE.randomBytes)).utf8.count == 43)
    }

    @Test("the sign-in page is told all that RFC 6749 and 7636 ask for, encoded", arguments: Platform.all)
    func authorizeURL(_ platform: Platform) throws {
        let url = try Self.signIn(platform).authorizeURL(Self.client, Self.page, state: "st/1", challenge: "ch")
        #expect(url.hasPrefix("https://auth.example/authorize?response_type=code&client_id=client%201&"))
        let head = HTTPRequestHead(method: "GET", target: url)
        #expect(head.queryValue("redirect_uri") == Self.page.redirectURL)
        #expect(head.queryValue("scope") == "openid user:profile")
        #expect(head.queryValue("state") == "st/1")
        #expect(head.queryValue("code_challenge") == "ch" && head.queryValue("code_challenge_method") == "S256")
        // The operator's words go before ours.
        #expect(head.queryValue("audience") == "a b" && head.queryValue("prompt") == "login")
        #expect(url.split(separator: "prompt=").count == 2)
        let isGoogle = platform == .gemini || platform == .antigravity
        #expect(head.queryValue("access_type") == (isGoogle ? "offline" : nil))
        #expect(!url.contains("s&cret") && !url.contains("secret"))
    }

    @Test(
        "a code is traded in and a token renewed as a form, at Anthropic as JSON with the state",
        arguments: Platform.all
    )
    func requests(_ platform: Platform) throws {
        let signIn = try Self.signIn(platform)
        let code = signIn.exchange("c&1", verifier: "v", state: "s", redirectURL: "http://r/", Self.client)
        let renewal = signIn.refresh(Secret("r+1"), Self.client)
        #expect(code.url == "https://auth.example/token" && code.headers["accept"] == "application/json")
        guard platform == .anthropic else {
            #expect(code.headers["content-type"] == "application/x-www-form-urlencoded")
            #expect(
                String(decoding: code.body, as: UTF8.self)
                    == "grant_type=authorization_code&code=c%261&redirect_uri=http%3A%2F%2Fr%2F&code_verifier=v"
                    + "&client_id=client%201&client_secret=s%26cret"
            )
            #expect(
                String(decoding: renewal.body, as: UTF8.self)
                    == "grant_type=refresh_token&refresh_token=r%2B1&client_id=client%201&client_secret=s%26cret"
            )
            return
        }
        #expect(code.headers["content-type"] == "application/json")
        #expect(
            try JSON(code.body) == [
                "grant_type": "authorization_code", "code": "c&1", "redirect_uri": "http://r/", "code_verifier": "v",
                "state": "s", "client_id": "client 1", "client_secret": "s&cret",
            ]
        )
        #expect(
            try JSON(renewal.body) == [
                "grant_type": "refresh_token", "refresh_token": "r+1", "client_id": "client 1",
                "client_secret": "s&cret",
            ]
        )
    }

    @Test("tokens are read with their end, which may be a text, and no end that makes no sense")
    func tokens() throws {
        for (life, end) in [
            ("3600", 3600), (#""3600""#, 3600), ("3599.9", 3599), ("0", nil), ("-5", nil), ("1e300", nil),
            ("99999999999999", nil), (#""soon""#, nil), ("null", nil), ("[]", nil),
        ] as [(String, Int64?)] {
            let body = #"{"access_token":"at","refresh_token":"rt","expires_in":\#(life)}"#
            guard case .tokens(let tokens) = try Self.read(.gemini, 200, body) else {
                Issue.record("\(life)")
                continue
            }
            #expect(tokens.accessToken == Secret("at") && tokens.refreshToken == Secret("rt"))
            #expect(tokens.expiresAt == end.map { Self.now + .seconds($0) }, "\(life)")
        }
        guard case .tokens(let kept) = try Self.read(.gemini, 200, #"{"access_token":"at"}"#) else { throw Missing() }
        #expect(kept.refreshToken == nil && kept.expiresAt == nil)
    }

    struct Missing: Error {}

    @Test(
        "an answer without a token that a header can carry is none, whatever its status says",
        arguments: [
            "", "{}", "[]", "null", "<html>", #"{"access_token":""}"#, #"{"access_token":5}"#,
            #"{"access_token":"a b"}"#, #"{"access_token":"a\r\nx: y"}"#, #"{"access_token":"ü"}"#,
        ]
    )
    func unusable(_ body: String) throws {
        guard case .unavailable = try Self.read(.openai, 200, body) else {
            Issue.record("\(body)")
            return
        }
    }

    enum Kind { case gone, refused, unavailable }

    @Test(
        "what a refusal means",
        arguments: [
            (
                Platform.anthropic, 400, #"{"error":"invalid_grant","error_description":"Refresh token not found"}"#,
                Kind.gone
            ),
            (
                .gemini, 400, #"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#,
                .gone
            ),
            (.anthropic, 401, #"{"error":"invalid_grant"}"#, .gone),
            (.anthropic, 400, #"{"error":{"type":"invalid_grant","message":"x"}}"#, .gone),
            (.openai, 401, #"{"error":{"code":"refresh_token_reused","message":"already used"}}"#, .gone),
            (.openai, 401, #"{"error":{"code":"refresh_token_expired","message":"x"}}"#, .gone),
            (.openai, 400, #"{"error":"refresh_token_invalidated"}"#, .gone),
            // Another platform's words are not this one's.
            (.gemini, 401, #"{"error":{"code":"refresh_token_reused","message":"x"}}"#, .refused),
            (.gemini, 401, #"{"error":"invalid_client"}"#, .refused),
            (.openai, 400, #"{"error":"invalid_request"}"#, .refused),
            (.openai, 403, #"{"error":"access_denied"}"#, .refused),
            // Proxies' pages say nothing about tokens.
            (.openai, 403, "<html>invalid_grant</html>", .unavailable), (.openai, 401, "", .unavailable),
            (.openai, 429, #"{"error":"invalid_grant"}"#, .unavailable), (.openai, 503, "", .unavailable),
            (.openai, 500, #"{"error":"invalid_grant"}"#, .unavailable), (.openai, 302, "", .unavailable),
        ]
    )
    func refusals(_ platform: Platform, _ status: Int, _ body: String, _ kind: Kind) throws {
        let found: Kind? =
            switch try Self.read(platform, status, body) {
            case .tokens: nil
            case .gone: .gone
            case .refused: .refused
            case .unavailable: .unavailable
            }
        #expect(found == kind)
    }

    @Test("texts name code and reason, within bounds, without what was sent")
    func texts() throws {
        guard
            case .gone(let text) = try Self.read(
                .gemini,
                400,
                #"{"error":"invalid_grant","error_description":"rt-very-secret\nis s&cret \#(String(repeating: "x", count: 900))"}"#
            )
        else { throw Missing() }
        #expect(text.hasPrefix("400: invalid_grant (") && text.unicodeScalars.count <= 512)
        #expect(!text.contains("rt-very-secret") && !text.contains("s&cret") && !text.contains("\n"))
        guard case .unavailable(_, let wait) = try Self.read(.gemini, 429, "{}", ["retry-after": "30"]) else {
            throw Missing()
        }
        #expect(wait == .seconds(30))
        guard case .unavailable(_, nil) = try Self.read(.gemini, 429, "{}", ["retry-after": "-30"]) else {
            throw Missing()
        }
    }

    @Test("which account it is stands in the answer, or in the claims of the id token")
    func fields() throws {
        func fields(_ platform: Platform, _ body: JSON) throws -> [String: String] {
            let body = body.merged(with: ["access_token": "at"])
            guard case .tokens(let tokens) = try Self.read(platform, 200, body.text) else { throw Missing() }
            return tokens.fields
        }
        let claims: JSON = [
            "email": "a@b.example", "https://api.openai.com/auth": ["chatgpt_account_id": "acc-1"],
        ]
        let token = "e30.\(Base64.encode(claims.encoded, .url)).sig"
        #expect(try fields(.openai, ["id_token": .string(token)]) == ["account_id": "acc-1", "email": "a@b.example"])
        #expect(try fields(.gemini, ["id_token": .string(token)]) == ["email": "a@b.example"])
        #expect(try fields(.antigravity, ["id_token": .string(token)]) == ["email": "a@b.example"])
        #expect(try fields(.anthropic, ["account": ["email_address": "c@d.example"]]) == ["email": "c@d.example"])
        // Cut anywhere it is no token, and no harm.
        for end in 0..<token.utf8.count - 4 {
            #expect(try fields(.openai, ["id_token": .string(String(token.prefix(end)))]) == [:])
        }
        #expect(try fields(.openai, ["id_token": 5]) == [:])
        #expect(try fields(.openai, [:]) == [:])
    }
}
