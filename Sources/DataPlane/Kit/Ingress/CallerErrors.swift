import Dialects
package import Domain
import HTTPMessages
package import HTTPServing

/// Turns errors into answers in the caller's dialect.
package enum CallerErrors {
    /// The official packages obey any `Retry-After` and would hang for hours: longer waits are told in words only.
    private static let longestRetryAfter = 60

    /// Answers with the error; once the answer has begun, with the dialect's error event, which ends it.
    ///
    /// - Parameter allow: the methods of the resource, where one that it has not was used (RFC 9110, 15.5.6).
    package static func answer(
        _ exchange: ServerExchange,
        _ error: GatewayError,
        requestID: String,
        allow: String? = nil
    ) {
        guard !exchange.isResponseStarted else {
            exchange.write(
                AnthropicErrors.event(status: error.status, message: error.message, requestID: requestID)
            )
            return exchange.finish()
        }
        var headers: HeaderFields = [
            "content-type": "application/json", "x-request-id": requestID, "request-id": requestID,
            "x-tollgate-code": error.code.rawValue,
        ]
        if let allow { headers.add("allow", allow) }
        if let seconds = error.retryAfterSeconds {
            if seconds <= longestRetryAfter {
                headers.add("retry-after", String(max(1, seconds)))
            } else {
                headers.add("x-should-retry", "false")
            }
        }
        exchange.respond(
            HTTPResponseHead(status: error.status, headers: headers),
            body: AnthropicErrors.body(status: error.status, message: error.message, requestID: requestID)
        )
    }
}
