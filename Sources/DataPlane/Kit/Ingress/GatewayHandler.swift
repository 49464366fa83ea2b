import Domain
import HTTPMessages
package import HTTPServing
import Reactor
import Redis
import Telemetry

/// A request from its head to its answer; reads as its table of contents.
package final class GatewayHandler {
    private let context: WorkerContext
    private let probes: Probes
    private let authenticator: Authenticator
    private let reader: CallReader
    private let admission: CallAdmission

    package init(_ context: WorkerContext, _ probes: Probes) {
        self.context = context
        self.probes = probes
        authenticator = Authenticator(context)
        reader = CallReader(context, authenticator)
        admission = CallAdmission(context, authenticator)
    }

    package func handle(_ exchange: ServerExchange) async {
        context.metrics.inFlight.add(1)
        let requestID = context.requestIDs.next(at: .now)
        if let cors = context.config?.cors { exchange.furtherFields = cors.fields(for: exchange.request) }
        var isLogged = false
        do {
            isLogged = try await route(exchange, requestID)
        } catch {
            isLogged = refuse(exchange, error, requestID)
        }
        if !exchange.isContinued { ended(exchange, requestID, isLogged: isLogged) }
    }

    /// - Parameter isLogged: whether the request has its line in the log. Probes have none.
    private func ended(_ exchange: ServerExchange, _ requestID: String, isLogged: Bool) {
        context.metrics.inFlight.add(-1)
        if let status = exchange.answeredStatus { context.metrics.answered(status: status) }
        let duration = exchange.startedAt.elapsed
        context.metrics.duration.record(microseconds: duration.wholeMicroseconds)
        guard !isLogged else { return }
        let (method, path) = (exchange.request.shownMethod, exchange.request.shownPath)
        let texts = requestID.utf8.count + method.utf8.count + path.utf8.count
        context.log.write(.info, "request", atMost: 160 + 6 * texts) { line in
            line.add("request_id", requestID)
            line.add("method", method)
            line.add("path", path)
            // Absent when the caller was gone.
            if let status = exchange.answeredStatus { line.add("status", Int64(status)) }
            line.add("duration_ms", duration.wholeMilliseconds)
        }
    }

    /// - Returns: whether the request has its line in the log.
    private func route(_ exchange: ServerExchange, _ requestID: String) async throws -> Bool {
        guard let operation = try operation(exchange, requestID) else { return false }
        switch operation {
        case .live, .ready, .metrics:
            probes.answer(operation, exchange)
            return true
        case .usage: try await answerUsage(exchange, requestID)
        case .models(let route): try await answerModels(exchange, route, requestID)
        case .response(let id): try await answerResponse(exchange, id, requestID)
        case .call(let route): return try await relay(exchange, route, requestID)
        }
        return false
    }

    /// What is asked for; nil when that is answered.
    private func operation(_ exchange: ServerExchange, _ requestID: String) throws -> Operation? {
        let request = exchange.request
        switch RouteTable.match(method: request.method, path: request.path) {
        case .found(let operation): return operation
        case .notFound: throw GatewayError(.notFound, "There is no such resource.")
        case .wrongMethod(let allowed):
            if request.method == "OPTIONS" {
                var headers: HeaderFields = ["allow": allowed, "x-request-id": requestID]
                context.config?.cors?.preflight(request, methods: allowed)?.forEach { headers.add($0, $1) }
                exchange.respond(HTTPResponseHead(status: 204, headers: headers), body: [])
            } else {
                // Codex asks for a WebSocket first. Of all answers this one has it do without at once.
                let isWebSocket = request.headers["upgrade"]?.lowercased() == "websocket"
                let error = GatewayError(
                    .methodNotAllowed,
                    isWebSocket ? "There are no WebSockets; use \(allowed)." : "Use \(allowed).",
                    status: isWebSocket ? 426 : nil
                )
                CallerErrors.answer(exchange, error, requestID: requestID, allow: allowed)
            }
            return nil
        }
    }

    private func answerModels(_ exchange: ServerExchange, _ route: ModelListRoute, _ requestID: String) async throws {
        let (key, config) = try await authenticator.authenticate(exchange)
        let standing = try await admission.verified(
            Standing(key, config, model: nil, exchange.request.headers),
            exchange
        )
        if route.isAntigravity { try AdmissionPolicy.requireAntigravity(standing.group) }
        try ModelLists.answer(route, exchange, standing, now: .now, requestID: requestID)
    }

    private func answerResponse(_ exchange: ServerExchange, _ id: String, _ requestID: String) async throws {
        let (key, config) = try await authenticator.authenticate(exchange)
        let standing = try await admission.verified(
            Standing(key, config, model: nil, exchange.request.headers),
            exchange
        )
        try await ResponseLookup(context, exchange, standing, requestID: requestID).answer(id)
    }

    /// - Returns: whether the request has its line in the log.
    private func refuse(_ exchange: ServerExchange, _ error: any Error, _ requestID: String) -> Bool {
        if case RequestBodyError.noRoom = error { context.metrics.bodiesRefused.add() }
        guard let answer = Self.answer(to: error) else { return false }
        let isOurs = answer.status >= 500
        if isOurs {
            context.log.warning(
                "refused",
                [
                    "request_id": .text(requestID), "status": .integer(Int64(answer.status)),
                    "code": .text(answer.code.rawValue),
                    "detail": .text(answer.detail.isEmpty ? "\(error)" : answer.detail),
                    "duration_ms": .integer(exchange.startedAt.elapsed.wholeMilliseconds),
                ]
            )
        }
        CallerErrors.answer(exchange, answer, requestID: requestID)
        return isOurs
    }

    /// What a caller is told of an error; nil when it is gone.
    private static func answer(to error: any Error) -> GatewayError? {
        switch error {
        case let error as GatewayError: error
        case RequestBodyError.tooLarge: GatewayError(.bodyTooLarge, "The request body is too large.")
        case RequestBodyError.timedOut: GatewayError(.requestTimeout, "The request body took too long.")
        case RequestBodyError.noRoom:
            GatewayError(.unavailable, "The gateway is too busy; try again.", retryAfterSeconds: 1)
        case RequestBodyError.malformed: GatewayError(.invalidRequest, "The request body's framing is broken.")
        case RequestBodyError.callerGone: nil
        case is RedisError:
            GatewayError(.unavailable, "The gateway is not ready; try again.", retryAfterSeconds: 1)
        default: GatewayError(.internalError, "Something went wrong in the gateway.")
        }
    }

    // MARK: The call

    /// - Returns: whether the call has its line in the log.
    private func relay(_ exchange: ServerExchange, _ route: CallRoute, _ requestID: String) async throws -> Bool {
        context.openCalls += 1
        var traced: Call?
        do {
            let call = try await reader.read(exchange, route, requestID)
            traced = call
            try await place(call)
            let runner = RelayRunner(call)
            if try await runner.run() {
                exchange.continueLater()
                follow(runner, call, requestID)
            } else {
                context.openCalls -= 1
                call.keepTrace()
            }
            return call.isLogged
        } catch {
            context.openCalls -= 1
            traced?.trace.error = Self.answer(to: error)
            traced?.keepTrace()
            throw error
        }
    }

    /// A stream goes on by callbacks: the task that found its account ends, and gives its memory back.
    private func follow(_ runner: RelayRunner, _ call: Call, _ requestID: String) {
        runner.follow { [self] error in
            var isLogged = false
            if let error {
                call.trace.error = Self.answer(to: error)
                isLogged = refuse(call.exchange, error, requestID)
            }
            context.openCalls -= 1
            call.keepTrace()
            ended(call.exchange, requestID, isLogged: isLogged || call.isLogged)
            call.exchange.handlingDidEnd()
        }
    }

    /// Gives the call its place among the caller's others.
    private func place(_ call: Call) async throws {
        if let previous = call.summary.previousResponse {
            call.boundAccount = try await ResponseBindings.owner(of: previous, for: call.key.id, context.redis).account
        }
        if call.route.action == .countTokens {
            call.rest(on: try await admission.verified(call.standing, call.exchange))
        } else {
            if call.summary.previousResponse == nil { call.lookUpSession() }
            try await admission.admit(call)
        }
    }

    // MARK: The key's own usage

    /// Answers for an expired or exhausted key as well.
    private func answerUsage(_ exchange: ServerExchange, _ requestID: String) async throws {
        let key = try await authenticator.accepted(exchange, allowsExpired: true)
        let standing = try Standing(
            key,
            authenticator.currentConfig(),
            model: nil,
            exchange.request.headers,
            allowsExpired: true
        )
        _ = try await admission.verified(standing, exchange)
        guard let usage = try? await context.internalAPI.fetchUsage(of: key.id) else {
            throw GatewayError(.unavailable, "Usage cannot be read now; try again.", retryAfterSeconds: 5)
        }
        let headers: HeaderFields = ["content-type": "application/json", "x-request-id": requestID]
        exchange.respond(HTTPResponseHead(status: 200, headers: headers), body: usage)
    }
}
