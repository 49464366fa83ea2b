package import Domain
package import Formats
package import HTTPMessages

/// Who may call a route.
package enum Access: Sendable {
    /// Anybody.
    case open
    /// Whoever is signed in.
    case session
    /// Signed in with the role `admin`.
    case admin
}

/// A query parameter of a route, for its description.
package struct QueryParameter: Sendable {
    let name: String
    let schema: JSON
    let summary: String

    package init(_ name: String, _ schema: JSON, _ summary: String) {
        self.name = name
        self.schema = schema
        self.summary = summary
    }
}

/// One operation of the admin API. The table of these serves the calls and writes the OpenAPI document.
package struct Route {
    package let method: String
    /// `/api/v1/admin/users/{id}`; a parameter is a whole segment, named `id` it must be a number.
    package let path: String
    package let access: Access
    package let summary: String
    package var query: [QueryParameter] = []
    /// The JSON body that is required; nil when the operation takes none.
    package var body: JSON?
    /// Whether no body at all means an empty object.
    package var isBodyOptional = false
    package var status = 200
    /// The answer's body; nil for none (204).
    package var answer: JSON?
    package var answerType = "application/json"
    /// Whether it comes as Server-Sent Events, each of them as `answer` says.
    package var isEventStream = false
    package let handler: (AdminRequest) async throws -> AdminAnswer

    package init(
        _ method: String,
        _ path: String,
        _ access: Access,
        _ summary: String,
        query: [QueryParameter] = [],
        body: JSON? = nil,
        isBodyOptional: Bool = false,
        status: Int = 200,
        answer: JSON? = nil,
        answerType: String = "application/json",
        isEventStream: Bool = false,
        handler: @escaping (AdminRequest) async throws -> AdminAnswer
    ) {
        self.method = method
        self.path = path
        self.access = access
        self.summary = summary
        self.query = query
        self.body = body
        self.isBodyOptional = isBodyOptional
        self.status = status
        self.answer = answer
        self.answerType = answerType
        self.isEventStream = isEventStream
        self.handler = handler
    }
}

/// A call of the admin API while it is being answered.
package final class AdminRequest {
    package let head: HTTPRequestHead
    package let requestID: String
    package let clientIP: String
    package let isTLS: Bool
    package let now: Timestamp
    package let parameters: [String: String]
    /// The parsed body, null when the route takes none.
    package internal(set) var body: JSON = .null
    package internal(set) var session: Session?

    package init(
        head: HTTPRequestHead,
        requestID: String,
        clientIP: String,
        isTLS: Bool,
        now: Timestamp,
        parameters: [String: String]
    ) {
        self.head = head
        self.requestID = requestID
        self.clientIP = clientIP
        self.isTLS = isTLS
        self.now = now
        self.parameters = parameters
    }

    /// The `{id}` of the path; 404 when it is no number, since no such row can exist.
    package func id(_ what: String) throws -> Int64 {
        guard let text = parameters["id"], let number = Int64(text), number > 0 else { throw Problem.notFound(what) }
        return number
    }

    /// Who is signed in. Routes with `Access.open` have nobody.
    package func signedIn() throws -> Session {
        guard let session else { throw Problem.signInNeeded }
        return session
    }

    /// Whose doing a change is, for the audit log.
    package func author() throws -> ChangeAuthor { ChangeAuthor(user: try signedIn().user.id, ip: clientIP) }
}

package struct AdminAnswer {
    package var status: Int
    package var body: JSON?
    package var headers: [(String, String)]
    /// In place of JSON: a file, with its type.
    package var file: (type: String, bytes: [UInt8])?
    /// What writes the body, where that comes as events.
    var produce: ((EventStream) async -> Void)?

    package init(_ status: Int, _ body: JSON?, headers: [(String, String)] = []) {
        self.status = status
        self.body = body
        self.headers = headers
    }

    package static func file(_ type: String, _ bytes: [UInt8], headers: [(String, String)] = []) -> AdminAnswer {
        var answer = AdminAnswer(200, nil, headers: headers)
        answer.file = (type, bytes)
        return answer
    }

    package static func ok(_ body: JSON) -> AdminAnswer { AdminAnswer(200, body) }
    package static func created(_ body: JSON) -> AdminAnswer { AdminAnswer(201, body) }
    package static var noContent: AdminAnswer { AdminAnswer(204, nil) }
}
