package import Formats

/// What is wrong with one field of a request: `group_ids[2]`, `credentials.api_key`.
package struct FieldFault: Hashable, Sendable {
    package let field: String
    package let message: String

    package init(_ field: String, _ message: String) {
        self.field = field
        self.message = message
    }
}

/// An error answer of the admin API: `application/problem+json` (RFC 9457) with every field fault at once.
package struct Problem: Error, Sendable {
    package var status: Int
    /// The end of the problem's `type`, `urn:tollgate:problem:…`: what programs may switch on.
    package var code: String
    package var detail: String
    package var faults: [FieldFault]
    package var headers: [(String, String)]

    package init(
        _ status: Int,
        _ code: String,
        _ detail: String,
        faults: [FieldFault] = [],
        headers: [(String, String)] = []
    ) {
        self.status = status
        self.code = code
        self.detail = detail
        self.faults = faults
        self.headers = headers
    }

    // MARK: The usual ones

    package static func invalid(_ faults: [FieldFault]) -> Problem {
        let count = faults.count == 1 ? "One field is" : "\(faults.count) fields are"
        return Problem(400, "invalid_fields", "\(count) not valid.", faults: faults)
    }

    package static func badRequest(_ detail: String) -> Problem { Problem(400, "bad_request", detail) }
    package static let signInNeeded = Problem(
        401,
        "sign_in_needed",
        "Sign in first: this needs a valid session.",
        headers: [("www-authenticate", "Bearer")]
    )
    package static func forbidden(_ detail: String) -> Problem { Problem(403, "forbidden", detail) }
    package static func notFound(_ what: String) -> Problem { Problem(404, "not_found", "There is no such \(what).") }

    package static func conflict(_ detail: String, _ faults: [FieldFault] = []) -> Problem {
        Problem(409, "conflict", detail, faults: faults)
    }

    package static func tooManyRequests(retryAfterSeconds: Int, _ detail: String) -> Problem {
        Problem(429, "too_many_requests", detail, headers: [("retry-after", String(max(1, retryAfterSeconds)))])
    }

    package static let internalError = Problem(500, "internal_error", "Something went wrong; the log has the details.")
    package static let unavailable = Problem(
        503,
        "unavailable",
        "The database cannot be reached now.",
        headers: [("retry-after", "5")]
    )

    // MARK: Its document

    package func document(requestID: String) -> JSON {
        var json: JSON = [
            "type": .string("urn:tollgate:problem:\(code)"),
            "title": .string(Self.title(of: status)),
            "status": .int(Int64(status)),
            "detail": .string(detail),
            "request_id": .string(requestID),
        ]
        if !faults.isEmpty {
            json["errors"] = .array(
                faults.map { ["field": .string($0.field), "message": .string($0.message)] }
            )
        }
        return json
    }

    private static func title(of status: Int) -> String {
        switch status {
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        default: "Internal Server Error"
        }
    }
}
