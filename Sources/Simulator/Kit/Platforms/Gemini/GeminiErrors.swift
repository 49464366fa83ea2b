import Formats
import HTTPMessages

/// Google's error answers (google.rpc.Status), of the Gemini API and of the API behind Antigravity.
struct GeminiErrors: PlatformErrors {
    let credential: Credential?
    /// Seconds since 1970.
    let now: Int64
    /// Whether it is the API behind Antigravity.
    let isAntigravity: Bool

    var overloadedStatus: Int { 503 }

    private var domain: String { isAntigravity ? "cloudcode-pa.googleapis.com" : "generativelanguage.googleapis.com" }

    /// The error shape of the API.
    static func body(
        _ status: Int,
        _ message: String,
        _ name: String? = nil,
        details: ((inout JSONWriter) -> Void)? = nil
    ) -> [UInt8] {
        JSONWriter.object { text in
            text.objectMember("error") {
                $0.member("code", status)
                $0.member("message", message)
                $0.member("status", name ?? self.name(status))
                if let details { $0.arrayMember("details", details) }
            }
        }
    }

    func plan(
        _ status: Int,
        _ message: String,
        _ name: String? = nil,
        details: ((inout JSONWriter) -> Void)? = nil
    ) -> AnswerPlan {
        AnswerPlan(
            status,
            GeminiHeaders.fields(contentType: "application/json; charset=UTF-8"),
            body: Self.body(status, message, name, details: details)
        )
    }

    func refusal(_ refusal: Refusal) -> AnswerPlan { plan(refusal.status, refusal.message) }

    /// The name that goes with a status (google.rpc.Code).
    static func name(_ status: Int) -> String {
        switch status {
        case 401: "UNAUTHENTICATED"
        case 403: "PERMISSION_DENIED"
        case 404, 405: "NOT_FOUND"
        case 408, 504: "DEADLINE_EXCEEDED"
        case 409: "ABORTED"
        case 429: "RESOURCE_EXHAUSTED"
        case 499: "CANCELLED"
        case 501: "UNIMPLEMENTED"
        case 503, 529: "UNAVAILABLE"
        case 500...: "INTERNAL"
        default: "INVALID_ARGUMENT"
        }
    }

    /// A credential that is missing or not good: an API key is a bad argument, a token a bad authentication.
    func unauthorized() -> AnswerPlan {
        switch credential?.kind {
        case nil:
            plan(
                403,
                "Method doesn't allow unregistered callers (callers without established identity). Please use API Key"
                    + " or other form of API consumer identity to call this API."
            )
        case .apiKey?: fault(400, variant: "key", amount: nil, model: nil)
        case _?: fault(401, variant: "", amount: nil, model: nil)
        }
    }

    // MARK: Faults

    /// Variants: `400key`, `400project`, `400location`, `400disabled`, `400credit`, `400credits`, `403html`,
    /// `403suspended`, `403api`, `404file`; those of `GeminiErrors.forbidden` and, for 429, of `GeminiErrors.exhausted`.
    func fault(_ status: Int, variant: String, amount: Int?, model: String?) -> AnswerPlan {
        switch (status, variant) {
        case (400, "key"):
            return plan(400, "API key not valid. Please pass a valid API key.") {
                info("API_KEY_INVALID", to: &$0) { $0.member("service", domain) }
            }
        case (400, "project"): return plan(400, "Invalid project resource name projects/")
        case (400, "location"):
            return plan(400, "User location is not supported for the API use.", "FAILED_PRECONDITION")
        case (400, "disabled"): return plan(400, "This organization has been disabled.", "FAILED_PRECONDITION")
        case (400, "credit"): return plan(400, "Your credit balance is too low.", "FAILED_PRECONDITION")
        case (400, "credits"):
            return plan(400, "You do not have enough AI credits to run this request.", "FAILED_PRECONDITION")
        case (400, _):
            return plan(
                400,
                "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."
            )
        case (401, _):
            return plan(
                401,
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other"
                    + " valid authentication credential."
                    + " See https://developers.google.com/identity/sign-in/web/devconsole-project."
            ) {
                info("ACCESS_TOKEN_EXPIRED", to: &$0) { $0.member("service", domain) }
            }
        case (402, _): return plan(402, "Billing is not enabled for this project.", "FAILED_PRECONDITION")
        case (403, "html"), (502, _): return page(status, server: "gws")
        case (403, _): return forbidden(variant)
        case (404, "file"): return plan(404, "CachedContent not found (or permission denied)")
        case (404, _):
            return plan(
                404,
                "models/\(model ?? "unknown") is not found for API version v1beta, or is not supported for"
                    + " generateContent. Call ListModels to see the list of available models and their supported"
                    + " methods."
            )
        case (408, _): return plan(408, "The request timed out.")
        case (413, _): return tooLarge()
        case (429, _): return exhausted(variant, amount, model)
        case (500, _): return plan(500, Self.internalError)
        case (503, _): return plan(503, Self.overloaded)
        case (504, _): return plan(504, "Deadline expired before operation could complete.")
        default: return plan(status, "Simulated error \(status)")
        }
    }

    static let internalError =
        "An internal error has occurred. Please retry or report in"
        + " https://developers.generativeai.google/guide/troubleshooting"
    static let overloaded = "The model is overloaded. Please try again later."

    func tooLarge() -> AnswerPlan { plan(413, "Request payload size exceeds the limit: 20971520 bytes.") }

    /// An element of `details` that names a reason.
    func info(_ reason: String, to text: inout JSONWriter, _ metadata: (inout JSONWriter) -> Void) {
        text.object { text in
            text.member("@type", "type.googleapis.com/google.rpc.ErrorInfo")
            text.member("reason", reason)
            text.member("domain", domain)
            text.objectMember("metadata", metadata)
        }
    }
}
