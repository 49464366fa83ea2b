import Crypto
import Formats
import HTTPMessages
package import HTTPServing

extension AdminAPI {
    /// The answer to a request that breaks HTTP or exceeds its limits: a problem document, as every other error.
    package static func answer(to fault: ProtocolFault) -> FaultAnswer {
        let requestID = newRequestID()
        let problem =
            switch fault.status {
            case 405: Problem(405, "method_not_allowed", "This is no proxy.", headers: [("allow", FaultAnswer.methods)])
            case 408: Problem(408, "request_timeout", "The request's head did not arrive in time.")
            case 431: Problem(431, "headers_too_large", "The request's head is too large.")
            case 400: Problem.badRequest("The request is no valid HTTP, or can be read in two ways.")
            default: Problem(fault.status, "bad_request", "The request asks for what HTTP has not, or this server not.")
            }
        var head = HTTPResponseHead(
            status: fault.status,
            headers: [
                "content-type": "application/problem+json", "cache-control": "no-store",
                "x-content-type-options": "nosniff", "x-request-id": requestID,
            ]
        )
        for (name, value) in problem.headers { head.headers.add(name, value) }
        return FaultAnswer(head, body: problem.document(requestID: requestID).encoded)
    }

    static func newRequestID() -> String { "adm_" + Hex.encode(SecureRandom.bytes(12)) }
}
