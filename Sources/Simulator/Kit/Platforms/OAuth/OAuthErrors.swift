import Formats
import HTTPMessages

/// Error answers of token endpoints (RFC 6749, 5.2).
struct OAuthErrors: PlatformErrors {
    var overloadedStatus: Int { 503 }

    func plan(_ status: Int, _ code: String, _ description: String) -> AnswerPlan {
        AnswerPlan(
            status,
            ["content-type": "application/json", "cache-control": "no-store"],
            body: JSONWriter.object {
                $0.member("error", code)
                $0.member("error_description", description)
            }
        )
    }

    func refusal(_ refusal: Refusal) -> AnswerPlan {
        plan(refusal.status, refusal.code ?? "invalid_request", refusal.message)
    }

    static func invalidGrant(_ message: String) -> Refusal { Refusal(message, code: "invalid_grant") }

    /// 400 is `invalid_grant`, 401 `invalid_client`, 429 has `retry-after` (`429retryN`).
    func fault(_ status: Int, variant: String, amount: Int?, model: String?) -> AnswerPlan {
        switch (status, variant) {
        case (400, _): return plan(400, "invalid_grant", "Token has been expired or revoked.")
        case (401, _): return plan(401, "invalid_client", "The OAuth client was not found.")
        case (403, "html"), (502, _): return page(status, server: "cloudflare")
        case (403, _): return plan(403, "access_denied", "Account restricted")
        case (429, _):
            var answer = plan(429, "rate_limit_exceeded", "Too many requests")
            if variant == "retry" { answer.head?.headers.add("retry-after", "\(amount ?? 60)") }
            return answer
        case (500..., _): return plan(status, "server_error", "Simulated error \(status)")
        default: return plan(status, "invalid_request", "Simulated error \(status)")
        }
    }
}
