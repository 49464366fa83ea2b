import Formats
import HTTPMessages

/// OpenAI's error answers.
struct OpenAIErrors: PlatformErrors {
    let headers: OpenAIHeaders
    let credential: Credential?

    var overloadedStatus: Int { 503 }

    /// The error shape of the API.
    static func body(_ message: String, _ type: String, code: String?, param: String? = nil) -> [UInt8] {
        JSONWriter.object { text in
            text.objectMember("error") {
                $0.member("message", message)
                $0.member("type", type)
                $0.member("param", param)
                $0.member("code", code)
            }
        }
    }

    func plan(
        _ status: Int,
        _ message: String,
        _ type: String = "invalid_request_error",
        code: String? = nil,
        param: String? = nil
    ) -> AnswerPlan {
        answer(status, Self.body(message, type, code: code, param: param))
    }

    private func answer(_ status: Int, _ body: [UInt8]) -> AnswerPlan {
        AnswerPlan(status, headers.fields(contentType: "application/json"), body: body)
    }

    func refusal(_ refusal: Refusal) -> AnswerPlan {
        if refusal.code == "detail" {
            return answer(refusal.status, JSONWriter.object { $0.member("detail", refusal.message) })
        }
        return plan(refusal.status, refusal.message, code: refusal.code, param: refusal.param)
    }

    /// A credential that is missing or not good.
    func unauthorized(isExpired: Bool) -> AnswerPlan {
        if isExpired { return fault(401, variant: "expired", amount: nil, model: nil) }
        if headers.isSubscription { return fault(401, variant: "detail", amount: nil, model: nil) }
        guard let credential else {
            return plan(401, "You didn't provide an API key. Provide it in an Authorization header using Bearer auth.")
        }
        return plan(
            401,
            "Incorrect API key provided: \(credential.secret.prefixOfUTF8(8))***. You can find your API key at"
                + " https://platform.openai.com/account/api-keys.",
            code: "invalid_api_key"
        )
    }

    // MARK: Faults

    /// Variants: `400disabled`, `400credit`, `401detail`, `401invalidated`, `401revoked`, `401expired`,
    /// `402workspace`, `403html`, `404route`, and for 429 `quota`, those of `OpenAIHeaders.addReset`, of
    /// `usageLimit` and of `AbsurdReset`.
    func fault(_ status: Int, variant: String, amount: Int?, model: String?) -> AnswerPlan {
        switch (status, variant) {
        case (400, "disabled"): return plan(400, "This organization has been disabled.", code: "organization_disabled")
        case (400, "credit"):
            return plan(400, "Billing hard limit has been reached", code: "billing_hard_limit_reached")
        case (400, _):
            return plan(
                400,
                "This model's maximum context length is 128000 tokens. However, your messages resulted in 128001"
                    + " tokens. Please reduce the length of the messages.",
                code: "context_length_exceeded",
                param: "messages"
            )
        case (401, "detail"): return answer(401, Array("{\"detail\":\"Unauthorized\"}".utf8))
        case (401, "invalidated"):
            return plan(
                401,
                "Your authentication token has been invalidated. Please try signing in again.",
                code: "token_invalidated"
            )
        case (401, "revoked"):
            return plan(401, "Encountered invalidated oauth token for user, failing request", code: "token_revoked")
        case (401, "expired"):
            return plan(
                401,
                "Provided authentication token is expired. Please try signing in again.",
                code: "token_expired"
            )
        case (401, _):
            return plan(401, "Incorrect API key provided.", code: "invalid_api_key")
        case (402, "workspace"): return answer(402, Array("{\"detail\":{\"code\":\"deactivated_workspace\"}}".utf8))
        case (402, _): return plan(402, "Payment is required to use this API.", "billing_error")
        case (403, "html"), (502, _), (504, _): return page(status, server: "cloudflare")
        case (403, _):
            return plan(
                403,
                "Country, region, or territory not supported",
                "request_forbidden",
                code: "unsupported_country_region_territory"
            )
        case (404, "route"): return plan(404, "Invalid URL")
        case (404, _):
            return plan(
                404,
                "The model `\(model ?? "unknown")` does not exist or you do not have access to it.",
                code: "model_not_found"
            )
        case (408, _): return plan(408, "Request timed out.", "timeout")
        case (413, _): return tooLarge()
        case (429, _): return rateLimit(variant, amount)
        case (500, _): return plan(500, Self.serverError, "server_error")
        case (503, _):
            return plan(503, "That model is currently overloaded with other requests.", "service_unavailable_error")
        default:
            return plan(
                status,
                "Simulated error \(status)",
                status < 500 ? "invalid_request_error" : "server_error"
            )
        }
    }

    static let serverError = "The server had an error while processing your request. Sorry about that!"

    func tooLarge() -> AnswerPlan { plan(413, "Maximum content size limit exceeded.") }

    private func rateLimit(_ variant: String, _ amount: Int?) -> AnswerPlan {
        // A century at most: the sums with the time of day cannot overflow.
        let seconds = Int64(min(amount ?? 60, 3_000_000_000))
        if variant == "quota" {
            return plan(
                429,
                "You exceeded your current quota, please check your plan and billing details.",
                "insufficient_quota",
                code: "insufficient_quota"
            )
        }
        if let body = usageLimit(variant, seconds) { return answer(429, body) }
        if let text = AbsurdReset.text(variant) {
            var plan = answer(429, Self.usageLimit { $0.member("resets_at", text) })
            plan.head?.headers.add("retry-after", text)
            return plan
        }
        var message = "Rate limit reached for requests per min (RPM): Limit 5000, Used 5000, Requested 1."
        if variant == "retry" || variant == "reset" {
            message += " Please try again in \(OpenAIHeaders.duration(seconds))."
        }
        var answer = plan(429, message, "requests", code: "rate_limit_exceeded")
        answer.head?.headers.addReset(variant, seconds, headers)
        return answer
    }

    /// The body of a subscription whose use is up: `usage` names the reset twice, `at` and `in` in one way only, `ms`
    /// in milliseconds, `past` lies so many seconds ago.
    private func usageLimit(_ variant: String, _ seconds: Int64) -> [UInt8]? {
        let reset: Int64
        switch variant {
        case "usage", "at", "in": reset = headers.now &+ seconds
        case "ms": reset = (headers.now &+ seconds) &* 1000
        case "past": reset = headers.now &- seconds
        default: return nil
        }
        return Self.usageLimit {
            if variant != "in" { $0.member("resets_at", reset) }
            if variant == "in" || variant == "usage" { $0.member("resets_in_seconds", seconds) }
        }
    }

    private static func usageLimit(_ reset: (inout JSONWriter) -> Void) -> [UInt8] {
        JSONWriter.object { text in
            text.objectMember("error") {
                $0.member("type", "usage_limit_reached")
                $0.member("message", "The usage limit has been reached")
                $0.member("plan_type", "plus")
                reset(&$0)
            }
        }
    }
}

extension HeaderFields {
    fileprivate mutating func addReset(_ variant: String, _ seconds: Int64, _ headers: OpenAIHeaders) {
        headers.addReset(variant, seconds: seconds, to: &self)
    }
}
