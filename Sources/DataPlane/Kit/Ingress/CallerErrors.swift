import Dialects
package import Domain
import HTTPMessages
package import HTTPServing

/// Turns errors into answers in the caller's dialect.
package enum CallerErrors {
    /// The official packages obey any `Retry-After` and would hang for hours: they are told not to where it is longer,
    /// and mostly in words only.
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
        let wire = RouteTable.dialect(of: exchange.request).wire
        guard !exchange.isResponseStarted else {
            let isArray = CallerStream.isArray(exchange.request)
            exchange.write(event(inWords(error), wire, requestID: requestID, isArray: isArray))
            return exchange.finish()
        }
        let answer = whole(error, wire, requestID: requestID, allow: allow)
        exchange.respond(answer.head, body: answer.body)
    }

    /// The answer to a request that ends with this error.
    static func whole(
        _ error: GatewayError,
        _ wire: any WireDialect,
        requestID: String,
        allow: String?
    ) -> FaultAnswer {
        let error = inWords(error)
        var headers: HeaderFields = [
            "content-type": "application/json", "x-request-id": requestID, "request-id": requestID,
            "x-tollgate-code": error.code.rawValue,
        ]
        if let allow { headers.add("allow", allow) }
        if let seconds = error.retryAfterSeconds {
            if seconds <= longestRetryAfter || error.code.tellsRecovery {
                headers.add("retry-after", String(max(1, seconds)))
            }
            if seconds > longestRetryAfter { headers.add("x-should-retry", "false") }
        }
        let head = HTTPResponseHead(status: error.status, headers: headers)
        return FaultAnswer(head, body: wire.errorBody(error, requestID: requestID))
    }

    /// The error, with the wait in its text where that is too long for the header.
    private static func inWords(_ error: GatewayError) -> GatewayError {
        guard let seconds = error.retryAfterSeconds, seconds > longestRetryAfter, !error.code.tellsRecovery else {
            return error
        }
        var error = error
        error.message += " It may work again \(RecoveryText.about(seconds: seconds))."
        return error
    }

    /// The event with which a stream ends of which nothing but keep-alives has been sent.
    private static func event(_ error: GatewayError, _ wire: any WireDialect, requestID: String, isArray: Bool)
        -> [UInt8]
    {
        let event = wire.errorEvent(error, requestID: requestID)
        guard isArray else { return event }
        var elements = ArrayElements()
        var out: [UInt8] = []
        elements.append(event, to: &out)
        out.append(UInt8(ascii: "]"))
        return out
    }
}

extension GatewayError.Code {
    /// Whether its text says itself when it recovers, and its `Retry-After` stands however long that is: programs are told
    /// apart from that not to sit it out.
    fileprivate var tellsRecovery: Bool { self == .policyExhausted || self == .subscriptionLimitExceeded }
}
