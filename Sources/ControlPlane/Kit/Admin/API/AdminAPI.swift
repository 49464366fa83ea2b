import Crypto
import Decisions
package import Domain
import Formats
package import HTTPMessages
package import HTTPServing
import Postgres
import Reactor
package import Telemetry

/// Answers calls of the admin API: finds the route, says who calls, reads the body, turns errors into problems.
package final class AdminAPI {
    package static let bodyLimit = 1024 * 1024

    package let table: RouteTable
    /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed; without it nobody's.
    package var trust: ProxyTrust?
    private let authenticator: Authenticator
    private let log: Log
    private let now: () -> Timestamp
    private let parser = JSONParser(maximumDepth: 32, maximumStructurals: 200_000)

    /// - Parameter now: the time of day.
    package init(routes: [Route], _ authenticator: Authenticator, log: Log, now: @escaping () -> Timestamp) {
        table = RouteTable(routes + [OpenAPI.route(for: routes)])
        self.authenticator = authenticator
        self.log = log
        self.now = now
    }

    /// A call as it came in, apart from the socket that it came on.
    package struct Call {
        package var head: HTTPRequestHead
        package var clientIP: String
        package var isTLS: Bool
        package var body: (_ limit: Int) async throws -> [UInt8]

        package init(
            _ head: HTTPRequestHead,
            clientIP: String = "127.0.0.1",
            isTLS: Bool = false,
            body: @escaping (_ limit: Int) async throws -> [UInt8] = { _ in [] }
        ) {
            self.head = head
            self.clientIP = clientIP
            self.isTLS = isTLS
            self.body = body
        }
    }

    package func handle(_ exchange: ServerExchange) async {
        let trusted = await trust?.current() ?? []
        let call = Call(
            exchange.request,
            clientIP: Self.clientIP(exchange, trusted),
            isTLS: Self.isTLS(exchange, trusted),
            body: { try await exchange.collectBody(limit: $0) }
        )
        guard let outcome = await outcome(call) else { return }
        let (head, body) = Self.encode(outcome)
        if let produce = outcome.answer.produce { return await exchange.stream(head, produce) }
        exchange.respond(head, body: body)
    }

    /// Who calls, behind proxies that are trusted: sign-ins are counted for each address.
    private static func clientIP(_ exchange: ServerExchange, _ trusted: [AddressRange]) -> String {
        guard let peer = exchange.peer, !trusted.isEmpty else { return exchange.peer?.ip ?? "" }
        let client = ClientAddress.resolve(
            peer: peer.bytes,
            forwardedFor: exchange.request.headers.values("x-forwarded-for"),
            trusted: trusted
        )
        return SocketAddress(bytes: client, port: 0)?.ip ?? peer.ip
    }

    /// Whether the caller's own connection is encrypted: cookies are for such ones only.
    private static func isTLS(_ exchange: ServerExchange, _ trusted: [AddressRange]) -> Bool {
        if exchange.isTLS { return true }
        guard let peer = exchange.peer, trusted.contains(where: { $0.contains(peer.bytes) }) else {
            return false
        }
        return exchange.request.headers.values("x-forwarded-proto").last?.lowercased() == "https"
    }

    /// The whole answer; nil when the caller is gone.
    package func answer(_ call: Call) async -> (head: HTTPResponseHead, body: [UInt8])? {
        guard let outcome = await outcome(call) else { return nil }
        let (head, whole) = Self.encode(outcome)
        guard let produce = outcome.answer.produce else { return (head, whole) }
        var written: [UInt8] = []
        await produce(EventStream { written += $0 })
        return (head, written)
    }

    private struct Outcome {
        let answer: AdminAnswer
        let requestID: String
        var isProblem = false
    }

    private func outcome(_ call: Call) async -> Outcome? {
        let started = MonotonicTime.now
        let requestID = Self.newRequestID()
        let answer: AdminAnswer
        var isProblem = false
        do {
            answer = try await route(call, requestID: requestID)
        } catch RequestBodyError.callerGone {
            return nil
        } catch {
            let problem = problem(for: error, requestID: requestID)
            answer = AdminAnswer(problem.status, problem.document(requestID: requestID), headers: problem.headers)
            isProblem = true
        }
        log.info(
            "admin call",
            [
                "request_id": .text(requestID), "method": .text(call.head.shownMethod),
                "path": .text(call.head.shownPath),
                "status": LogValue(answer.status), "client": .text(call.clientIP),
                "microseconds": LogValue(started.elapsed.nanoseconds / 1000),
            ]
        )
        return Outcome(answer: answer, requestID: requestID, isProblem: isProblem)
    }

    private static func encode(_ outcome: Outcome) -> (head: HTTPResponseHead, body: [UInt8]) {
        let answer = outcome.answer
        var head = HTTPResponseHead(status: answer.status)
        if answer.body != nil {
            head.headers.add("content-type", outcome.isProblem ? "application/problem+json" : "application/json")
        } else if let file = answer.file {
            head.headers.add("content-type", file.type)
        } else if answer.produce != nil {
            head.headers.add("content-type", "text/event-stream")
            // Proxies on the way hand events on as they come.
            head.headers.add("x-accel-buffering", "no")
        }
        head.headers.add("cache-control", "no-store")
        head.headers.add("x-content-type-options", "nosniff")
        head.headers.add("x-request-id", outcome.requestID)
        for (name, value) in answer.headers { head.headers.add(name, value) }
        return (head, answer.body?.encoded ?? answer.file?.bytes ?? [])
    }

    // MARK: One call

    private func route(_ call: Call, requestID: String) async throws -> AdminAnswer {
        let head = call.head
        switch table.find(head.method, head.path) {
        case .none:
            throw Problem(404, "not_found", "There is nothing at this path.")
        case .otherMethods(let methods):
            let allowed = methods.joined(separator: ", ")
            if head.method == "OPTIONS" { return AdminAnswer(204, nil, headers: [("allow", allowed)]) }
            throw Problem(
                405,
                "method_not_allowed",
                "This path takes \(allowed).",
                headers: [("allow", allowed)]
            )
        case .route(let route, let parameters):
            let request = AdminRequest(
                head: head,
                requestID: requestID,
                clientIP: call.clientIP,
                isTLS: call.isTLS,
                now: now(),
                parameters: parameters.mapValues { PercentCoding.decode($0) }
            )
            if route.access != .open {
                let session = try await authenticator.session(for: head, now: request.now)
                guard route.access != .admin || session.user.fields.role == .admin else {
                    throw Problem.forbidden("This needs the role admin.")
                }
                request.session = session
            }
            if route.body != nil { request.body = try await body(of: call, for: route) }
            return try await route.handler(request)
        }
    }

    private func body(of call: Call, for route: Route) async throws -> JSON {
        let headers = call.head.headers
        if route.isBodyOptional, headers["content-type"] == nil, try await call.body(Self.bodyLimit).isEmpty {
            return [:]
        }
        let type =
            (headers["content-type"] ?? "").split(separator: ";").first.map { String($0).trimmed.lowercased() } ?? ""
        guard type == "application/json" || (type == "application/merge-patch+json" && route.method == "PATCH") else {
            throw Problem(415, "unsupported_media_type", "Send the body as content-type application/json.")
        }
        if let encoding = headers["content-encoding"], encoding.lowercased() != "identity" {
            throw Problem(415, "unsupported_media_type", "Send the body without a content-encoding.")
        }
        let bytes = try await call.body(Self.bodyLimit)
        let json: JSON
        do throws(JSONError) {
            json = try JSON(bytes, with: parser)
        } catch {
            throw Problem.badRequest(Self.text(of: error))
        }
        guard json.object != nil else { throw Problem.badRequest("The body must be a JSON object.") }
        return json
    }

    private static func text(of error: JSONError) -> String {
        switch error {
        case .empty: "The body is empty; it must be a JSON object."
        case .invalidUTF8: "The body is not UTF-8."
        case .tooDeep: "The body is nested too deep."
        case .tooComplex, .outOfMemory: "The body has too many parts."
        case .malformed: "The body is not JSON."
        }
    }

    // MARK: Errors

    private func problem(for error: any Error, requestID: String) -> Problem {
        switch error {
        case let problem as Problem:
            return problem
        case RequestBodyError.tooLarge:
            return Problem(413, "body_too_large", "The body is larger than \(Self.bodyLimit) bytes.")
        case RequestBodyError.timedOut:
            return Problem(408, "request_timeout", "The body did not arrive in time.")
        case RequestBodyError.malformed:
            return .badRequest("The body's framing is broken.")
        case PasswordHasher.Failure.busy:
            return .tooManyRequests(retryAfterSeconds: 1, "Too many sign-ins at once.")
        case PostgresError.unavailable, PostgresError.connectionLost, PostgresError.timedOut:
            log.error("database not available", ["request_id": .text(requestID), "error": "\(error)"])
            return .unavailable
        case PostgresError.server(state: "23505", _, let constraint):
            // A check before the write gives the better text; this is for two writes at once.
            return Conflicts.problem(for: constraint ?? "")
        default:
            log.error("admin call failed", ["request_id": .text(requestID), "error": "\(error)"])
            return .internalError
        }
    }
}

/// Unique constraints, as callers know them.
package enum Conflicts {
    private static let fields: [String: (field: String, message: String)] = [
        "users_email": ("email", "is already in use"),
        "groups_name": ("name", "is already in use"),
        "accounts_name": ("name", "is already in use"),
        "proxies_name": ("name", "is already in use"),
        "prices_model": ("model", "already has a price with this match"),
    ]

    package static func problem(for constraint: String) -> Problem {
        guard let (field, message) = fields[constraint] else {
            return .conflict("This conflicts with something that already exists.")
        }
        return .conflict("The \(field) \(message).", [FieldFault(field, message)])
    }
}
