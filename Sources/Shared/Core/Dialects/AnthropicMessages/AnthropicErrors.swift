import Formats

/// Errors in the shape of the Anthropic API (docs: API, Errors).
package enum AnthropicErrors {
    /// The name Anthropic gives to errors of this status.
    package static func type(forStatus status: Int) -> String {
        switch status {
        case 401: "authentication_error"
        case 402: "billing_error"
        case 403: "permission_error"
        case 404: "not_found_error"
        case 413: "request_too_large"
        case 429: "rate_limit_error"
        case 504: "timeout_error"
        case 529: "overloaded_error"
        case 400..<500: "invalid_request_error"
        default: "api_error"
        }
    }

    /// `{"type":"error","error":{"type","message"},"request_id"}`
    package static func body(status: Int, message: String, requestID: String) -> [UInt8] {
        var writer = JSONWriter(capacity: 160 + message.utf8.count)
        writer.object { answer in
            answer.member("type", "error")
            answer.key("error")
            answer.object { error in
                error.member("type", type(forStatus: status))
                error.member("message", message)
            }
            answer.member("request_id", requestID)
        }
        return writer.bytes
    }

    /// The stream event of an error after the first byte.
    package static func event(status: Int, message: String, requestID: String) -> [UInt8] {
        var out: [UInt8] = []
        SSEWriter.append(
            event: "error",
            data: body(status: status, message: message, requestID: requestID),
            to: &out
        )
        return out
    }

    /// What keeps a silent stream alive.
    package static let keepAlive = Array("event: ping\ndata: {\"type\": \"ping\"}\n\n".utf8)
}
