import Formats

/// `{"error":{"message","type","param","code"}}`: the errors of both OpenAI dialects.
internal enum OpenAIErrorText {
    /// Reads the object `error`; some upstreams have a plain text there.
    static func error(_ object: JSONValue, status: Int?) -> NeutralError {
        let code = object["code"]?.string ?? object["code"]?.int64.map(String.init)
        let message = object["message"]?.string ?? object.string ?? "The upstream reported an error."
        let kind =
            kind(code: code, type: object["type"]?.string) ?? status.map(NeutralError.kind(ofStatus:)) ?? .upstream
        return NeutralError(kind, message, code: code, field: object["param"]?.string)
    }

    private static func kind(code: String?, type: String?) -> NeutralError.Kind? {
        switch code {
        case "insufficient_quota", "billing_hard_limit_reached": return .billing
        case "rate_limit_exceeded": return .rateLimited
        case "invalid_api_key": return .authentication
        case "model_not_found": return .notFound
        case "server_error": return .upstream
        case "invalid_prompt", "context_length_exceeded": return .invalidRequest
        default: break
        }
        switch type {
        case "invalid_request_error": return .invalidRequest
        case "authentication_error": return .authentication
        case "permission_error": return .permission
        case "not_found_error": return .notFound
        case "insufficient_quota": return .billing
        case "rate_limit_error", "rate_limit_exceeded", "tokens", "requests": return .rateLimited
        case "server_error", "api_error": return .upstream
        default: return nil
        }
    }

    static func write(_ error: NeutralError, to json: inout JSONWriter) {
        json.object { json in
            json.key("error")
            json.object {
                $0.member("message", error.message)
                $0.member("type", type(of: error.kind))
                $0.member("param", error.field)
                $0.member("code", error.code)
            }
        }
    }

    private static func type(of kind: NeutralError.Kind) -> String {
        switch kind {
        case .invalidRequest, .tooLarge: "invalid_request_error"
        case .authentication: "authentication_error"
        case .billing: "insufficient_quota"
        case .permission: "permission_error"
        case .notFound: "not_found_error"
        case .rateLimited: "rate_limit_error"
        case .timeout, .overloaded, .upstream: "server_error"
        }
    }
}
