import Formats
import HTTPMessages

/// The API's error answers.
struct AnthropicErrors: PlatformErrors {
    let headers: AnthropicHeaders
    let credential: Credential?

    var overloadedStatus: Int { 529 }

    /// The error shape of the API: type and message, and the id of the request.
    static func body(_ type: String, _ message: String, _ requestID: String) -> [UInt8] {
        JSONWriter.object { text in
            text.member("type", "error")
            text.objectMember("error") {
                $0.member("type", type)
                $0.member("message", message)
            }
            text.member("request_id", requestID)
        }
    }

    func plan(_ status: Int, _ type: String, _ message: String) -> AnswerPlan {
        var fields = headers.fields(contentType: "application/json")
        if Self.isWorthRetrying(status) { fields.add("x-should-retry", "true") }
        return AnswerPlan(status, fields, body: Self.body(type, message, headers.requestID))
    }

    func invalidRequest(_ message: String) -> AnswerPlan { plan(400, "invalid_request_error", message) }

    func refusal(_ refusal: Refusal) -> AnswerPlan { invalidRequest(refusal.message) }

    private static func isWorthRetrying(_ status: Int) -> Bool {
        status == 408 || status == 409 || status == 429 || status >= 500
    }

    // MARK: Faults

    /// The answer of a status fault. Variants: `400credit`, `400disabled`, `400spend`, `401revoked`, `403revoked`,
    /// `403html`, `404file`, `429context`, `429fast`, and for 429 those of `AnthropicHeaders.addReset`, with a number of
    /// seconds (60).
    func fault(_ status: Int, variant: String, amount: Int?, model: String?) -> AnswerPlan {
        switch (status, variant) {
        case (400, "credit"):
            return invalidRequest(
                "Your credit balance is too low to access the Anthropic API."
                    + " Please go to Plans & Billing to upgrade or purchase credits."
            )
        case (400, "disabled"): return invalidRequest("This organization has been disabled.")
        case (400, "spend"): return invalidRequest("You have reached your specified API usage limits.")
        case (400, _): return invalidRequest("prompt is too long: 200001 tokens > 200000 maximum")
        case (401, "revoked"): return plan(401, "authentication_error", "OAuth token has been revoked.")
        case (401, _): return unauthorized()
        case (402, _): return plan(402, "billing_error", "There is a problem with your billing or payment details.")
        case (403, "html"), (502, _): return page(status, server: "cloudflare")
        case (403, "revoked"):
            return plan(403, "permission_error", "OAuth token has been revoked. Please obtain a new token.")
        case (403, _):
            // What an API in front of Antigravity passes on of Google's words.
            let text = GeminiErrors.text(ofForbidden: variant)
            let own = "Your API key does not have permission to use the specified resource."
            return plan(403, "permission_error", text ?? own)
        case (404, "file"): return plan(404, "not_found_error", "File not found: file_sim")
        case (404, _): return plan(404, "not_found_error", "model: \(model ?? "unknown")")
        case (408, _): return plan(408, "timeout_error", "Request timeout")
        case (413, _): return tooLarge()
        case (429, "context"):
            return plan(429, "rate_limit_error", "Extra usage is required for long context requests.")
        case (429, "fast"):
            var answer = plan(
                429,
                "rate_limit_error",
                "This request would exceed your rate limit of 0 fast mode input tokens per minute (model: \(model ?? "unknown"))."
            )
            answer.head?.headers.addReset("retry", amount, model, headers)
            return answer
        case (429, _):
            var answer = plan(
                429,
                "rate_limit_error",
                "This request would exceed your organization's rate limit. Please try again later."
            )
            answer.head?.headers.addReset(variant, amount, model, headers)
            return answer
        case (500, _): return plan(500, "api_error", "Internal server error")
        case (503, _):
            return AnswerPlan(
                503,
                headers.fields(contentType: "text/plain"),
                body: Array("upstream connect error".utf8)
            )
        case (504, _): return plan(504, "timeout_error", "Request timed out")
        case (529, _): return plan(529, "overloaded_error", "Overloaded")
        default: return plan(status, status < 500 ? "invalid_request_error" : "api_error", "Simulated error \(status)")
        }
    }

    /// A credential that is missing or not good.
    func unauthorized() -> AnswerPlan {
        let message =
            switch credential {
            case nil: "x-api-key header is required"
            case let credential? where credential.isAnthropicOAuth:
                "OAuth token has expired. Please obtain a new token or refresh your existing token."
            case let credential?: credential.kind == .bearer ? "Invalid bearer token" : "invalid x-api-key"
            }
        return plan(401, "authentication_error", message)
    }

    func tooLarge() -> AnswerPlan { plan(413, "request_too_large", "Request exceeds the maximum size") }
}

extension HeaderFields {
    fileprivate mutating func addReset(
        _ variant: String,
        _ amount: Int?,
        _ model: String?,
        _ headers: AnthropicHeaders
    ) {
        // A century at most: the sums with the time of day cannot overflow.
        headers.addReset(variant, seconds: Int64(min(amount ?? 60, 3_000_000_000)), model: model, to: &self)
    }
}
