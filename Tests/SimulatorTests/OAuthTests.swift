import Crypto
import Formats
import HTTPMessages
import Testing

@testable import SimulatorKit

@Suite("Sign-in and tokens of the simulator")
struct OAuthTests {
    private static let paths = ["/v1/oauth/token", "/oauth/token", "/token"]
    private static let form: HeaderFields = ["content-type": "application/x-www-form-urlencoded"]

    private func refresh(_ desk: Desk, _ token: String, path: String = "/v1/oauth/token") -> AnswerPlan {
        let body: JSON = ["grant_type": "refresh_token", "refresh_token": .string(token), "client_id": "c"]
        return desk.send("POST", path, [:], body.encoded)
    }

    /// A call with a login, to the platform whose token endpoint has this path.
    private func use(_ desk: Desk, _ token: String, path: String) -> AnswerPlan {
        let dialect: Dialect =
            switch path {
            case "/oauth/token": .responses
            case "/token": .antigravity
            default: .anthropic
            }
        var (head, body) = dialect.request(Dialect.Question())
        head.headers.remove("x-api-key")
        head.headers.set("authorization", "Bearer \(token)")
        return desk.send(head.method, head.target, head.headers, body)
    }

    @Test("a refresh token gives an access token that works until it ends", arguments: paths)
    func expiry(path: String) throws {
        let desk = Desk()
        desk.state.tokens.lifetime = 60
        let answer = refresh(desk, "first", path: path)
        #expect(answer.status == 200)
        #expect(answer.json["expires_in"] == 60)
        let token = try #require(answer.json["access_token"]?.string)
        #expect(use(desk, token, path: path).status == 200)
        desk.now += 59_999_999
        #expect(use(desk, token, path: path).status == 200)
        desk.now += 1
        let refused = use(desk, token, path: path)
        #expect(refused.status == 401)
        switch path {
        case "/oauth/token": #expect(refused.json["error"]?["code"] == "token_expired")
        case "/token": #expect(refused.json["error"]?["status"] == "UNAUTHENTICATED")
        default: #expect(refused.errorMessage?.contains("OAuth token has expired") == true)
        }
    }

    @Test("a used refresh token is replaced and good no more, but for Google's", arguments: paths)
    func rotation(path: String) throws {
        let desk = Desk()
        let first = refresh(desk, "first", path: path)
        let again = refresh(desk, "first", path: path)
        guard path != "/token" else {
            #expect(first.json["refresh_token"] == nil)
            #expect(again.status == 200)
            desk.state.tokens.rotates = true
            #expect(refresh(desk, "first", path: path).json["refresh_token"] != nil)
            return #expect(refresh(desk, "first", path: path).json["error"] == "invalid_grant")
        }
        #expect(again.status == 400)
        #expect(again.json["error"] == "invalid_grant")
        let next = try #require(first.json["refresh_token"]?.string)
        let second = refresh(desk, next, path: path)
        #expect(second.status == 200)
        #expect(second.json["access_token"] != first.json["access_token"])
        desk.state.credentials.revoked = [second.json["refresh_token"]?.string ?? ""]
        #expect(refresh(desk, second.json["refresh_token"]?.string ?? "", path: path).json["error"] == "invalid_grant")
    }

    @Test("a token can be ended by name, also one that was not issued here")
    func named() {
        let desk = Desk()
        desk.state.tokens.expired = ["sk-ant-oat01-mine"]
        #expect(use(desk, "sk-ant-oat01-mine", path: "/v1/oauth/token").status == 401)
        #expect(use(desk, "sk-ant-oat01-other", path: "/v1/oauth/token").status == 200)
    }

    @Test("signing in gives a code that is exchanged once, by who has the verifier", arguments: paths)
    func signIn(path: String) throws {
        let desk = Desk()
        let verifier = "a-verifier-of-enough-letters"
        let challenge = Base64.encode(SHA256.hash(verifier), .url)
        let page = path == "/token" ? "/o/oauth2/v2/auth" : "/oauth/authorize"
        let redirect = "http://localhost:1/callback"
        func code() throws -> String {
            let plan = desk.send(
                "GET",
                "\(page)?response_type=code&client_id=c&redirect_uri=\(PercentCoding.encode(redirect))"
                    + "&code_challenge=\(challenge)&code_challenge_method=S256&state=s%201"
            )
            #expect(plan.status == 302)
            let location = try #require(plan.head?.headers["location"])
            #expect(location.hasPrefix("\(redirect)?code="))
            let head = HTTPRequestHead(method: "GET", target: location)
            #expect(head.queryValue("state") == "s 1")
            return try #require(head.queryValue("code"))
        }
        func exchange(_ code: String, _ verifier: String) -> AnswerPlan {
            let body =
                "grant_type=authorization_code&client_id=c&code=\(code)&code_verifier=\(verifier)"
                + "&redirect_uri=\(PercentCoding.encode(redirect))"
            return desk.send("POST", path, Self.form, Array(body.utf8))
        }
        let good = try code()
        let answer = exchange(good, verifier)
        #expect(answer.status == 200)
        #expect(answer.json["refresh_token"] != nil)
        #expect(exchange(good, verifier).json["error"] == "invalid_grant")
        #expect(exchange(try code(), "another").json["error"] == "invalid_grant")
        #expect(desk.send("GET", "\(page)?response_type=code").status == 400)
    }

    @Test("words in a refresh token and faults armed for it strike its endpoint, other faults do not")
    func faults() throws {
        let desk = Desk()
        #expect(refresh(desk, "rt-sim-400").json["error"] == "invalid_grant")
        #expect(refresh(desk, "rt-sim-401").json["error"] == "invalid_client")
        #expect(refresh(desk, "rt-sim-503").status == 503)
        #expect(refresh(desk, "rt-sim-hang").ending == .silence)
        _ = desk.state.faults.arm("500", count: 1, credential: nil, model: nil)
        #expect(refresh(desk, "a").status == 200)
        _ = desk.state.faults.arm("500", count: 1, credential: "b", model: nil)
        #expect(refresh(desk, "b").status == 500)
        #expect(refresh(desk, "b").status == 200)
        let bare = desk.send("POST", "/token", [:], Array("{}".utf8))
        #expect(bare.json["error"] == "invalid_request")
    }

    @Test("tokens of OpenAI say whose they are")
    func claims() throws {
        let answer = refresh(Desk(), "first", path: "/oauth/token")
        let parts = try #require(answer.json["id_token"]?.string).split(separator: ".")
        let claims = try JSON(#require(Base64.decode(parts[1], .url)))
        #expect(claims["https://api.openai.com/auth"]?["chatgpt_account_id"] != nil)
    }

    @Test("what a subscription has used is told to its token")
    func usage() {
        let desk = Desk()
        let plan = desk.send("GET", "/api/oauth/usage", ["authorization": "Bearer sk-ant-oat01-a"])
        #expect(plan.json["five_hour"]?["utilization"]?.double == 42)
        #expect(plan.json["seven_day_opus"] == .null && plan.json["extra_usage"]?["is_enabled"] == false)
        desk.state.usage.set(
            "sk-ant-oat01-a",
            windows: ["five_hour": 97.5, "seven_day_opus": 3],
            models: [:],
            remaining: nil
        )
        let later = desk.send("GET", "/api/oauth/usage", ["authorization": "Bearer sk-ant-oat01-a"]).json
        #expect(later["five_hour"]?["utilization"]?.double == 97.5)
        #expect(later["seven_day"]?["utilization"]?.double == 17)
        #expect(later["seven_day_opus"]?["utilization"]?.double == 3)
        #expect(desk.send("GET", "/api/oauth/usage").status == 401)
        #expect(desk.send("GET", "/api/oauth/usage", ["authorization": "Bearer sk-ant-oat-sim-429-a"]).status == 429)
    }
}
