import Decisions
import Dialects
import Domain
import Formats
import HTTPMessages
package import HTTPServing
import Reactor
import Redis
import Snapshots
import Telemetry

/// A request from its head to its answer; reads as its table of contents.
package final class GatewayHandler {
    /// How often a call that waits for a slot of its user or key asks again.
    private static let callerSlotPoll = Duration.milliseconds(100)
    /// For so long a call waits for a budget that others use; longer than it takes workers to say what they use after
    /// Redis has forgotten.
    private static let budgetWait = Duration.seconds(5)
    /// How often a call whose key or group has changed asks again before it gives up; with the pauses between, longer
    /// than an announced change is on its way.
    private static let maximumReloads = 8
    /// A key is refused for this long without another look at it.
    private static let refusalLifetime = Duration.seconds(1)
    /// Characters of a path that the log keeps.
    static let longestLoggedPath = 200

    private let context: WorkerContext
    private let probes: Probes

    package init(_ context: WorkerContext, _ probes: Probes) {
        self.context = context
        self.probes = probes
    }

    package func handle(_ exchange: ServerExchange) async {
        context.metrics.inFlight.add(1)
        let requestID = context.requestIDs.next()
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
        context.log.write(.info, "request") { line in
            line.add("request_id", requestID)
            line.add("method", exchange.request.method)
            // Without the query, where a key may stand.
            line.add("path", String(exchange.request.path.prefix(Self.longestLoggedPath)))
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
                let error = GatewayError(.methodNotAllowed, "Use \(allowed).")
                CallerErrors.answer(exchange, error, requestID: requestID, allow: allowed)
            }
            return nil
        }
    }

    private func answerModels(_ exchange: ServerExchange, _ route: ModelListRoute, _ requestID: String) async throws {
        let (key, config) = try await authenticate(exchange)
        let standing = try await verified(Standing(key, config, model: nil, exchange.request.headers), exchange)
        if route.isAntigravity { try Self.requireAntigravity(standing.group) }
        try ModelLists.answer(route, exchange, standing, now: now, requestID: requestID)
    }

    private func answerResponse(_ exchange: ServerExchange, _ id: String, _ requestID: String) async throws {
        let (key, config) = try await authenticate(exchange)
        let standing = try await verified(Standing(key, config, model: nil, exchange.request.headers), exchange)
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

    // MARK: Who is calling

    private func authenticate(_ exchange: ServerExchange) async throws -> (ServingKey, GatewayConfig) {
        (try await accepted(exchange, allowsExpired: false), try currentConfig())
    }

    /// The caller's key when it may be used.
    ///
    /// No admission compares the revision of one that is refused here: it is looked up again, or a key that was enabled
    /// while the announcement got lost would stay refused.
    private func accepted(_ exchange: ServerExchange, allowsExpired: Bool) async throws -> ServingKey {
        let key = try await identify(exchange)
        let address = clientAddress(exchange)
        do {
            try AdmissionPolicy.check(key.snapshot, address: address, now: now, allowsExpired: allowsExpired)
            return key
        } catch {
            guard key.loadedAt.elapsed >= Self.refusalLifetime else { throw error }
            let newer = try Self.key(in: await context.keys.lookUp(key.snapshot.hash))
            try AdmissionPolicy.check(newer.snapshot, address: address, now: now, allowsExpired: allowsExpired)
            return newer
        }
    }

    private func identify(_ exchange: ServerExchange) async throws -> ServingKey {
        let keys = context.keys
        guard
            let presented = CallerKey.first(
                in: exchange.request,
                { text -> PresentedKey? in
                    if let key = keys.recent(text) { return .known(key) }
                    return CallerKey.hash(of: text).map { .hash($0, Array(text)) }
                }
            )
        else { throw AdmissionPolicy.unknownKey }
        switch presented {
        case .known(let key): return key
        case .hash(let hash, let text):
            let key: ServingKey
            if let answer = keys.cached(hash) {
                key = try Self.key(in: answer)
            } else {
                key = try Self.key(in: await keys.lookUp(hash, from: clientAddress(exchange)))
            }
            keys.note(key, presentedAs: text)
            return key
        }
    }

    private enum PresentedKey {
        case known(ServingKey)
        case hash(String, [UInt8])
    }

    private static func key(in answer: KeyStore.Answer) throws -> ServingKey {
        switch answer {
        case .known(let key): return key
        case .unknown: throw AdmissionPolicy.unknownKey
        case .unavailable: throw notReady
        case .tooManyMisses:
            throw GatewayError(.rateLimited, "Too many API keys that are not valid; wait.", retryAfterSeconds: 1)
        }
    }

    private static let notReady = GatewayError(
        .unavailable,
        "The gateway is not ready; try again.",
        retryAfterSeconds: 1,
        detail: "no key or configuration"
    )

    private func currentConfig() throws -> GatewayConfig {
        guard let config = context.config else { throw Self.notReady }
        return config
    }

    private var now: Timestamp { Timestamp(microseconds: WallClock.microseconds) }

    private func clientAddress(_ exchange: ServerExchange) -> [UInt8] {
        let peer = exchange.peer?.bytes ?? []
        guard let trusted = context.config?.trustedProxies, !trusted.isEmpty else { return peer }
        return ClientAddress.resolve(
            peer: peer,
            forwardedFor: exchange.request.headers.values("x-forwarded-for"),
            trusted: trusted
        )
    }

    // MARK: What is asked

    private func readBody(_ exchange: ServerExchange, limit: Int) async throws -> [UInt8] {
        let body = try await exchange.collectBody(limit: limit)
        guard let encoding = exchange.request.headers["content-encoding"], encoding.lowercased() != "identity" else {
            return body
        }
        guard Inflate.isSupported(encoding) else { throw Self.refusal(of: .unsupported) }
        // A few bytes can hold many: not on the loop.
        let result = await context.loop.offload {
            Result { () throws(InflateError) in try Inflate.inflate(body, encoding: encoding, limit: limit) }
        }
        switch result {
        case .success(let inflated):
            try exchange.takeRoom(inflated.count)
            return inflated
        case .failure(let error): throw Self.refusal(of: error)
        }
    }

    private static func refusal(of error: InflateError) -> GatewayError {
        switch error {
        case .tooLarge: GatewayError(.bodyTooLarge, "The request body is too large.")
        case .unsupported: GatewayError(.unsupportedEncoding, "Use gzip, br or zstd.", field: "content-encoding")
        case .corrupt: GatewayError(.invalidRequest, "The request body cannot be decompressed.")
        case .outOfMemory: GatewayError(.unavailable, "The gateway is too busy; try again.", retryAfterSeconds: 1)
        }
    }

    /// What a body asks for, which conversation it belongs to, and how much it may cost.
    private struct Reading: Sendable {
        let summary: CallSummary
        let session: CallSession?
        let size: ReservationSize
    }

    private func summarise(_ body: [UInt8], _ route: CallRoute, _ scope: SessionScope) async throws -> Reading {
        let wire = route.dialect.wire
        @Sendable func read(_ parser: JSONParser) throws -> Reading {
            try parser.sharing(body) {
                let summary = try wire.summary(of: body, route, parser)
                let text = body.count - TokenEstimate.mediaBytes(in: body)
                return Reading(
                    summary: summary,
                    session: SessionReader.session(of: body, summary, route, scope, parser),
                    size: ReservationSize(textBytes: text, answerTokens: summary.answerTokens, tier: summary.tier)
                )
            }
        }
        guard body.count > WorkerContext.inlineLimit else { return try read(context.parser) }
        return try await context.loop.offload { Result { try read(JSONParser()) } }.get()
    }

    private static func requireAntigravity(_ group: ServingGroup) throws(GatewayError) {
        guard group.snapshot.platform == .antigravity else {
            throw GatewayError(.accessDenied, "This path is for API keys of antigravity groups.")
        }
    }

    // MARK: The call

    /// - Returns: whether the call has its line in the log.
    private func relay(_ exchange: ServerExchange, _ route: CallRoute, _ requestID: String) async throws -> Bool {
        context.openCalls += 1
        var traced: Call?
        do {
            let call = try await read(exchange, route, requestID)
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

    /// A call as it is asked for: its key, its body, and whether they may meet.
    private func read(_ exchange: ServerExchange, _ route: CallRoute, _ requestID: String) async throws -> Call {
        let (key, config) = try await authenticate(exchange)
        let body = try await readBody(exchange, limit: config.settings.bodyLimit)
        let clientIP = clientIP(exchange)
        let scope = SessionScope(exchange.request.headers, route, key, clientIP: clientIP)
        let reading = try await summarise(body, route, scope)
        let (summary, session) = (reading.summary, reading.session)
        let standing = try Standing(key, config, model: summary.model, exchange.request.headers)
        if route.isAntigravity { try Self.requireAntigravity(standing.group) }
        let call = Call(
            context: context,
            exchange: exchange,
            requestID: requestID,
            standing: standing,
            summary: summary,
            body: body,
            route: route,
            createdAt: now,
            clientIP: clientIP,
            size: reading.size
        )
        call.session = session
        return call
    }

    /// Gives the call its place among the caller's others.
    private func place(_ call: Call) async throws {
        if let previous = call.summary.previousResponse {
            call.boundAccount = try await ResponseBindings.owner(of: previous, for: call.key.id, context.redis).account
        }
        if call.route.action == .countTokens {
            call.standing = try await verified(call.standing, call.exchange)
        } else {
            if call.summary.previousResponse == nil { call.lookUpSession() }
            try await admit(call)
        }
    }

    private func clientIP(_ exchange: ServerExchange) -> String {
        guard context.config?.trustedProxies.isEmpty == false else { return exchange.peer?.ip ?? "" }
        return SocketAddress(bytes: clientAddress(exchange), port: 0)?.ip ?? ""
    }

    /// Admits the call in Redis; one whose key or group has changed meanwhile is looked at anew, one that a busy user or
    /// key, or a budget in use, holds up waits. While it waits it holds nothing.
    private func admit(_ call: Call) async throws {
        var standing = call.standing
        var reloads = 0
        var isLenient = false
        var waited = Duration.zero
        let begin = MonotonicTime.now
        let queueWait = standing.config.settings.queueWait
        let wait = CallerWait(context.waits, requestID: call.requestID, standing.config.settings)
        // Where it has not been let in.
        defer { wait.end(.gone) }
        while true {
            call.price = try price(of: call.summary.model, standing.config)
            do throws(GatewayError) {
                try AdmissionPolicy.checkSubscription(standing.key.snapshot, standing.group, now: now)
            } catch {
                // As with keys that are refused from memory.
                guard reloads == 0, standing.key.loadedAt.elapsed >= Self.refusalLifetime else { throw error }
                reloads += 1
                (standing, _) = try await reload(standing, isForgotten: false, reloads, call.exchange)
                continue
            }
            let answer: AdmissionAnswer
            do {
                answer = try await context.admission.admit(
                    call.requestID,
                    standing.key,
                    standing.group,
                    amount: amount(of: call, standing),
                    now: now,
                    ticket: wait.ticket,
                    isLenient: isLenient
                )
            } catch let error as RedisError {
                if error == .connectionLost || error == .timedOut {
                    // It may have been admitted: what it then holds is given back when Redis is there again.
                    context.outbox.settle(call.requestID, standing.key, record: nil)
                }
                throw error
            }
            switch answer {
            case .admitted(let grant):
                wait.end(.served)
                if let minute = grant.minute { RateFields.add(minute, standing.key.snapshot, to: call.exchange) }
                call.trace.admitted(at: .now, waited: waited)
                return call.didAdmit(standing, grant)
            case .stale, .forgotten:
                reloads += 1
                let isForgotten = if case .forgotten = answer { true } else { false }
                (standing, isLenient) = try await reload(standing, isForgotten: isForgotten, reloads, call.exchange)
            case .busy(let line, let place):
                let start = MonotonicTime.now
                try await wait.wait(in: line, place, atMost: queueWait - begin.elapsed, call.exchange)
                waited += start.elapsed
            case .budgetInUse where begin.elapsed < min(queueWait, Self.budgetWait) && !call.exchange.isCallerGone:
                await context.loop.sleep(Self.callerSlotPoll)
                waited += Self.callerSlotPoll
            default:
                let language = CallerLanguage(acceptLanguage: call.exchange.request.headers["accept-language"])
                throw LimitRefusals.error(answer, now: now, language: language) ?? Self.notReady
            }
        }
    }

    /// What the call may cost at most.
    private func amount(of call: Call, _ standing: Standing) -> NanoUSD {
        guard let price = call.price else { return .zero }
        let (group, account) = (standing.group.snapshot.multiplier, standing.group.highestMultiplier)
        return call.size.amount(at: price, multipliers: group == .one ? [account] : [group, account])
    }

    /// Checks what a call rests on against Redis, for calls that reserve nothing.
    private func verified(_ first: Standing, _ exchange: ServerExchange) async throws -> Standing {
        var standing = first
        var reloads = 0
        var isLenient = false
        while true {
            let answer = try await context.admission.verify(standing.key, standing.group)
            if answer == .current || (answer == .forgotten && isLenient) { return standing }
            if case .rateLimited(let rate, let milliseconds) = answer {
                let language = CallerLanguage(acceptLanguage: exchange.request.headers["accept-language"])
                let refusal = AdmissionAnswer.rateLimited(rate, milliseconds: milliseconds)
                throw LimitRefusals.error(refusal, now: now, language: language) ?? Self.notReady
            }
            reloads += 1
            (standing, isLenient) = try await reload(standing, isForgotten: answer == .forgotten, reloads, exchange)
        }
    }

    /// Reads again what a call rests on, and checks it again.
    ///
    /// - Returns: what stands now, and whether that may be relied on where Redis has forgotten the revisions: it was just
    ///   confirmed by the control plane, or that cannot be asked and the last good one counts.
    private func reload(
        _ old: Standing,
        isForgotten: Bool,
        _ reloads: Int,
        _ exchange: ServerExchange
    ) async throws -> (Standing, isLenient: Bool) {
        context.metrics.staleKeys.add()
        guard reloads <= Self.maximumReloads, !exchange.isCallerGone else { throw Self.notReady }
        if isForgotten { await context.counters.rebuild(old.key.user) }
        let key = try Self.key(in: await context.keys.lookUp(old.key.snapshot.hash))
        try AdmissionPolicy.check(
            key.snapshot,
            address: clientAddress(exchange),
            now: now,
            allowsExpired: old.allowsExpired
        )
        let new = try Standing(
            key,
            currentConfig(),
            model: old.model,
            exchange.request.headers,
            allowsExpired: old.allowsExpired
        )
        if !isForgotten, new.isSame(as: old) {
            // The change is on its way here.
            await context.loop.sleep(Self.callerSlotPoll * reloads)
        }
        return (new, isForgotten)
    }

    private func price(of model: String, _ config: GatewayConfig) throws -> ModelPrice? {
        if let price = config.prices.price(of: model) { return price }
        guard config.settings.allowsUnpricedModels else {
            throw GatewayError(.modelNotPriced, "This model has no price.", field: "model")
        }
        return nil
    }

    // MARK: The key's own usage

    /// Answers for an expired or exhausted key as well.
    private func answerUsage(_ exchange: ServerExchange, _ requestID: String) async throws {
        let key = try await accepted(exchange, allowsExpired: true)
        let standing = try Standing(key, currentConfig(), model: nil, exchange.request.headers, allowsExpired: true)
        _ = try await verified(standing, exchange)
        guard let usage = try? await context.internalAPI.fetchUsage(of: key.id) else {
            throw GatewayError(.unavailable, "Usage cannot be read now; try again.", retryAfterSeconds: 5)
        }
        let headers: HeaderFields = ["content-type": "application/json", "x-request-id": requestID]
        exchange.respond(HTTPResponseHead(status: 200, headers: headers), body: usage)
    }
}
