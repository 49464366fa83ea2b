import Crypto
import Formats

/// How one platform's sign-in differs from the others'.
enum OAuthProvider {
    case anthropic, openai, google

    init?(tokenPath: Substring) {
        switch tokenPath {
        case "/v1/oauth/token": self = .anthropic
        case "/oauth/token": self = .openai
        case "/token": self = .google
        default: return nil
        }
    }

    /// Seconds that an access token lasts.
    var lifetime: Int64 {
        switch self {
        case .anthropic: 28_800
        case .openai: 864_000
        case .google: 3_599
        }
    }

    /// Whether a used refresh token is replaced by another.
    var rotates: Bool { self != .google }

    var scope: String {
        switch self {
        case .anthropic: "user:inference user:profile"
        case .openai: "openid profile email offline_access"
        case .google: "https://www.googleapis.com/auth/cloud-platform openid email"
        }
    }

    /// - Parameter end: seconds since 1970.
    func access(_ unique: String, until end: Int64) -> String {
        switch self {
        case .anthropic: "sk-ant-oat01-\(unique)"
        case .openai: Self.token(unique, until: end)
        case .google: "ya29.\(unique)"
        }
    }

    func refresh(_ unique: String) -> String {
        switch self {
        case .anthropic: "sk-ant-ort01-\(unique)"
        case .openai: "rt_\(unique)"
        case .google: "1//\(unique)"
        }
    }

    /// What the answer says of the account, besides tokens.
    func writeAccount(_ unique: String, until end: Int64, to text: inout JSONWriter) {
        switch self {
        case .anthropic:
            text.objectMember("organization") {
                $0.member("uuid", "00000000-0000-4000-8000-00000000051a")
                $0.member("name", "Simulated organization")
            }
            text.objectMember("account") {
                $0.member("uuid", "00000000-0000-4000-8000-00000000051b")
                $0.member("email_address", "sim@example.com")
            }
        case .openai, .google: text.member("id_token", Self.token(unique, until: end))
        }
    }

    /// A JSON web token that nobody signed, with what clients read of it.
    private static func token(_ unique: String, until end: Int64) -> String {
        let head = JSONWriter.object {
            $0.member("alg", "none")
            $0.member("typ", "JWT")
        }
        let claims = JSONWriter.object { text in
            text.member("sub", "user-sim")
            text.member("email", "sim@example.com")
            text.member("jti", unique)
            text.member("exp", end)
            text.objectMember("https://api.openai.com/auth") {
                $0.member("chatgpt_account_id", "00000000-0000-4000-8000-00000000051c")
                $0.member("chatgpt_plan_type", "plus")
            }
        }
        return "\(Base64.encode(head, .url)).\(Base64.encode(claims, .url)).\(unique)"
    }
}
