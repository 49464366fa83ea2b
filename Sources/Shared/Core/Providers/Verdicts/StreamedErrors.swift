package import Formats
package import HTTPMessages

extension UpstreamAnswer {
    /// The error that an answer of status 200 is or ends with, as the refusal it would have been with a status of its own:
    /// streams can no longer say it otherwise. Nil for one that does not tell its kind.
    ///
    /// - Parameter body: an event's data, or a whole answer.
    package init?(errorWithin body: [UInt8], _ headers: HeaderFields, _ parser: JSONParser) {
        let answer = UpstreamAnswer(status: 200, headers: headers, body: body, parser)
        guard let status = answer.statedStatus else { return nil }
        self.init(status: status, headers: headers, body: body, parser)
    }

    private var statedStatus: Int? {
        if let code = error?["code"]?.int, (400...599).contains(code) { return code }
        let kinds = [error?["code"], error?["status"], error?["type"], error == nil ? json?["code"] : nil]
        return kinds.lazy.compactMap { $0?.string }.compactMap(Self.status(of:)).first
    }

    /// Anthropic's types, OpenAI's codes and types, Google's statuses (google.rpc.Code).
    private static func status(of kind: String) -> Int? {
        switch kind {
        case "invalid_request_error", "invalid_request", "invalid_prompt", "context_length_exceeded",
            "INVALID_ARGUMENT", "FAILED_PRECONDITION":
            400
        // What is in the request breaks OpenAI's rules.
        case "cyber_policy", "bio_policy", "misalignment_policy_violation", "image_content_policy_violation": 400
        case "invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url", "invalid_image_mode",
            "image_too_large", "image_too_small", "image_parse_error", "image_file_too_large", "image_file_not_found",
            "unsupported_image_media_type", "empty_image_file", "failed_to_download_image":
            400
        case "authentication_error", "invalid_api_key", "token_invalidated", "token_revoked", "token_expired",
            "UNAUTHENTICATED":
            401
        case "billing_error": 402
        case "permission_error", "PERMISSION_DENIED": 403
        case "not_found_error", "model_not_found", "NOT_FOUND": 404
        case "request_too_large": 413
        case "rate_limit_error", "rate_limit_exceeded", "usage_limit_reached", "insufficient_quota",
            "RESOURCE_EXHAUSTED":
            429
        case "api_error", "server_error", "INTERNAL": 500
        case "server_is_overloaded", "slow_down", "UNAVAILABLE": 503
        case "timeout_error", "DEADLINE_EXCEEDED": 504
        case "overloaded_error": 529
        default: nil
        }
    }
}
