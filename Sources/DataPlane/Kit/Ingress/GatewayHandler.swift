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
    /// Bodies beyond this are parsed off the loop, or every stream on it would stutter.
    private static let inlineParseLimit = 256 * 1024
    /// How often a call that waits for a slot of its user or key asks again.
    private static let callerSlotPoll = Duration.milliseconds(100)
    private static let maximumReloads = 3

    private let context: WorkerContext
    private let probes: Probes

    package init(_ context: WorkerContext, _ probes: Probes) {
        self.context = context
        self.probes = probes
    }

    package func handle(_ exchange: ServerExchange) async {
        context.metrics.inFlight.add(1)
        defer { context.metrics.inFlight.add(-1) }
        let requestID = context.requestIDs.next()
        do {
            try await route(exchange, requestID)
        } catch {
            refuse(exchange, error, requestID)
        }
        if let status = exchange.answeredStatus { context.metrics.answered(status: status) }
        context.metrics.duration.record(microseconds: exchange.startedAt.elapsed.wholeMicroseconds)
    }

    private func route(_ exchange: ServerExchange, _ requestID: String) async throws {
        let request = exchange.request
        switch RouteTable.match(method: request.method, path: request.path) {
        case .notFound:
            throw GatewayError(.notFound, "There is no such resource.")
        case .wrongMethod(let allowed):
            guard request.method == "OPTIONS" else {
                let error = GatewayError(.methodNotAllowed, "Use \(allowed).")
                return CallerErrors.answer(exchange, error, requestID: requestID, allowing: allowed)
            }
            exchange.respond(HTTPResponseHead(status: 204, headers: ["allow": allowed]), body: [])
        case .found(let operation):
            switch operation {
            case .live, .ready, .metrics:
                probes.answer(operation, exchange)
            case .usage:
                try await answerUsage(exchange, requestID)
            case .models, .model:
                let (key, config) = try await authenticate(exchange)
                let group = try AdmissionPolicy.active(config.group(key.snapshot.group))
                try ModelLists.answer(operation, exchange, group: group, config: config, requestID: requestID)
            case .messages, .countTokens:
                try await relay(exchange, operation, requestID)
            }
        }
    }

    private func refuse(_ exchange: ServerExchange, _ error: any Error, _ requestID: String) {
        let answer: GatewayError
        switch error {
        case let error as GatewayError: answer = error
        case RequestBodyError.tooLarge: answer = GatewayError(.bodyTooLarge, "The request body is too large.")
        case RequestBodyError.timedOut: answer = GatewayError(.requestTimeout, "The request body took too long.")
        case RequestBodyError.callerGone: return
        case is RedisError:
            answer = GatewayError(.unavailable, "The gateway is not ready; try again.", retryAfterSeconds: 1)
        default: answer = GatewayError(.internalError, "Something went wrong in the gateway.")
        }
        if answer.status >= 500 {
            context.log.warning(
                "refused",
                [
                    "request_id": .text(requestID), "status": .integer(Int64(answer.status)),
                    "code": .text(answer.code.rawValue), "detail": .text(answer.detail.isEmpty ? "\(error)" : answer.detail),
                ]
            )
        }
        CallerErrors.answer(exchange, answer, requestID: requestID)
    }

    // MARK: Who is calling

    private func authenticate(_ exchange: ServerExchange) async throws -> (ServingKey, GatewayConfig) {
        let key = try await identify(exchange)
        try AdmissionPolicy.check(key.snapshot, address: clientAddress(exchange), now: now)
        return (key, try currentConfig())
    }

    private func identify(_ exchange: ServerExchange) async throws -> ServingKey {
        guard let hash = CallerKey.hash(in: exchange.request.headers) else { throw AdmissionPolicy.unknownKey }
        if let answer = context.keys.cached(hash) { return try Self.key(in: answer) }
        return try Self.key(in: await context.keys.lookUp(hash))
    }

    private static func key(in answer: KeyStore.Answer) throws -> ServingKey {
        switch answer {
        case .known(let key): return key
        case .unknown: throw AdmissionPolicy.unknownKey
        case .unavailable: throw notReady
        }
    }

    private static let notReady = GatewayError(
        .unavailable, "The gateway is not ready; try again.", retryAfterSeconds: 1, detail: "no key or configuration"
    )

    private func currentConfig() throws -> GatewayConfig {
        guard let config = context.config else { throw Self.notReady }
        return config
    }

    private var now: Timestamp { Timestamp(microseconds: WallClock.microseconds) }

    private func clientAddress(_ exchange: ServerExchange) -> [UInt8] {
        let peer = exchange.peer?.bytes ?? []
        guard !context.trustedProxies.isEmpty else { return peer }
        return ClientAddress.resolve(
            peer: peer, forwardedFor: exchange.request.headers.values("x-forwarded-for"),
            trusted: context.trustedProxies
        )
    }

    // MARK: What is asked

    private func readBody(_ exchange: ServerExchange, limit: Int) async throws -> [UInt8] {
        let body = try await exchange.collectBody(limit: limit)
        guard let encoding = exchange.request.headers["content-encoding"], encoding.lowercased() != "identity" else {
            return body
        }
        switch Result(catching: { () throws(InflateError) in
            try Inflate.inflate(body, encoding: encoding, limit: limit)
        }) {
        case .success(let inflated): return inflated
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

    private func summarise(_ body: [UInt8]) async throws -> CallSummary {
        guard body.count > Self.inlineParseLimit else { return try AnthropicRequest.summary(of: body, context.parser) }
        return try await context.loop.offload {
            Result { try AnthropicRequest.summary(of: body, JSONParser()) }
        }.get()
    }

    // MARK: The call

    private func relay(_ exchange: ServerExchange, _ operation: Operation, _ requestID: String) async throws {
        let (key, config) = try await authenticate(exchange)
        let body = try await readBody(exchange, limit: config.settings.bodyLimit)
        let summary = try await summarise(body)
        let group = try AdmissionPolicy.check(config.group(key.snapshot.group), model: summary.model)
        let call = Call(
            context: context, exchange: exchange, requestID: requestID, config: config, key: key, group: group,
            summary: summary, body: body, operation: operation, createdAt: now, clientIP: clientIP(exchange)
        )
        if operation == .messages {
            call.price = config.prices.price(of: summary.model)
            if call.price == nil, !config.settings.allowsUnpricedModels {
                throw GatewayError(.modelNotPriced, "This model has no price.", field: "model")
            }
            try await admit(call)
        }
        do {
            try await RelayRunner(call).run()
        } catch {
            call.settleNothing()
            throw error
        }
    }

    private func clientIP(_ exchange: ServerExchange) -> String {
        guard !context.trustedProxies.isEmpty else { return exchange.peer?.ip ?? "" }
        return SocketAddress(bytes: clientAddress(exchange), port: 0)?.ip ?? ""
    }

    /// Admits the call in Redis; a key that has changed meanwhile is loaded and checked again, a busy one waited for.
    private func admit(_ call: Call) async throws {
        var key = call.key
        var reloads = 0
        let deadline = MonotonicTime.now + .seconds(call.config.settings["queue_wait_seconds"])
        while true {
            let answer = try await context.admission.admit(
                call.requestID, key, call.group, isLenient: reloads >= Self.maximumReloads
            )
            switch answer {
            case .admitted:
                return call.didAdmit(key)
            case .stale:
                context.metrics.staleKeys.add()
                reloads += 1
                guard reloads <= Self.maximumReloads else { throw Self.notReady }
                guard case .known(let newer) = await context.keys.lookUp(key.snapshot.hash) else { throw AdmissionPolicy.unknownKey }
                try AdmissionPolicy.check(newer.snapshot, address: clientAddress(call.exchange), now: now)
                if newer.snapshot == key.snapshot { await context.loop.sleep(Self.callerSlotPoll) }
                key = newer
            case .userBusy, .keyBusy:
                guard MonotonicTime.now < deadline, !call.exchange.isCallerGone else {
                    throw GatewayError(
                        .concurrencyLimit, "Too many calls at once; wait for one to end.", retryAfterSeconds: 5
                    )
                }
                await context.loop.sleep(Self.callerSlotPoll)
            }
        }
    }

    // MARK: The key's own usage

    /// Answers for an expired or exhausted key as well.
    private func answerUsage(_ exchange: ServerExchange, _ requestID: String) async throws {
        let key = try await identify(exchange)
        var unlimited = key.snapshot
        unlimited.expiresAt = nil
        try AdmissionPolicy.check(unlimited, address: clientAddress(exchange), now: now)
        guard let usage = try? await context.internalAPI.fetchUsage(of: key.id) else {
            throw GatewayError(.unavailable, "Usage cannot be read now; try again.", retryAfterSeconds: 5)
        }
        let headers: HeaderFields = ["content-type": "application/json", "x-request-id": requestID]
        exchange.respond(HTTPResponseHead(status: 200, headers: headers), body: usage)
    }
}
