import Decisions
import Dialects
import Domain
import Formats
import HTTPMessages
import HTTPServing
import Reactor
import Telemetry

/// Reads what a call asks for: its key, its body, and what the body says.
struct CallReader {
    private let context: WorkerContext
    private let authenticator: Authenticator

    init(_ context: WorkerContext, _ authenticator: Authenticator) {
        self.context = context
        self.authenticator = authenticator
    }

    /// A call as it is asked for: its key, its body, and whether they may meet.
    func read(_ exchange: ServerExchange, _ route: CallRoute, _ requestID: String) async throws -> Call {
        let (key, config) = try await authenticator.authenticate(exchange)
        let limit = config.settings.bodyLimit
        var body: [UInt8]
        if let whole = try exchange.bodyIfArrived(limit: limit) {
            body = whole
        } else {
            body = try await exchange.collectBody(limit: limit)
        }
        if let encoding = exchange.request.headers["content-encoding"], encoding.lowercased() != "identity" {
            body = try await inflated(body, encoding, exchange, limit: limit)
        }
        let asked = Asked(exchange: exchange, route: route, requestID: requestID, key: key, config: config)
        return body.count > WorkerContext.inlineLimit ? try await longCall(asked, body) : try call(asked, body)
    }

    /// What is known of a call before its body is read.
    private struct Asked {
        let exchange: ServerExchange
        let route: CallRoute
        let requestID: String
        let key: ServingKey
        let config: GatewayConfig
    }

    private func call(_ asked: Asked, _ body: [UInt8]) throws -> Call {
        let clientIP = authenticator.clientIP(asked.exchange)
        let scope = SessionScope(asked.exchange.request.headers, asked.route, asked.key, clientIP: clientIP)
        return try call(asked, body, Self.reading(body, asked.route, scope, context.parser), clientIP)
    }

    /// The same, where reading the body on the loop would make every stream there stutter.
    private func longCall(_ asked: Asked, _ body: [UInt8]) async throws -> Call {
        let clientIP = authenticator.clientIP(asked.exchange)
        let route = asked.route
        let scope = SessionScope(asked.exchange.request.headers, route, asked.key, clientIP: clientIP)
        let result = await context.loop.offload { Result { try Self.reading(body, route, scope, JSONParser()) } }
        return try call(asked, body, result.get(), clientIP)
    }

    private func call(_ asked: Asked, _ body: [UInt8], _ reading: Reading, _ clientIP: String) throws -> Call {
        let (exchange, route) = (asked.exchange, asked.route)
        let standing = try Standing(asked.key, asked.config, model: reading.summary.model, exchange.request.headers)
        if route.isAntigravity { try AdmissionPolicy.requireAntigravity(standing.group) }
        let call = Call(
            context: context,
            exchange: exchange,
            requestID: asked.requestID,
            standing: standing,
            summary: reading.summary,
            body: body,
            route: route,
            createdAt: .now,
            clientIP: clientIP,
            size: reading.size
        )
        call.session = reading.session
        return call
    }

    private func inflated(_ body: [UInt8], _ encoding: String, _ exchange: ServerExchange, limit: Int) async throws
        -> [UInt8]
    {
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

        init(_ wire: any WireDialect, _ request: JSONOutline, _ route: CallRoute, _ scope: SessionScope) throws {
            summary = try wire.summary(of: request, route)
            session = SessionReader.session(of: request, route, scope)
            let measure = RequestMeasure(of: request, summary, route.dialect)
            size = ReservationSize(
                textBytes: measure.textBytes,
                media: measure.media,
                answerTokens: summary.answerTokens,
                answers: summary.answers,
                tier: summary.tier
            )
        }
    }

    private static func reading(
        _ body: [UInt8],
        _ route: CallRoute,
        _ scope: SessionScope,
        _ parser: JSONParser
    ) throws -> Reading {
        do {
            // Once for all that is asked of it.
            return try parser.outline(body) { try Reading(route.dialect.wire, $0, route, scope) }
        } catch let error as JSONError {
            throw RequestFields.refusal(of: error)
        }
    }
}
