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
        let body = try await readBody(exchange, limit: config.settings.bodyLimit)
        let clientIP = authenticator.clientIP(exchange)
        let scope = SessionScope(exchange.request.headers, route, key, clientIP: clientIP)
        let reading = try await summarise(body, route, scope)
        let (summary, session) = (reading.summary, reading.session)
        let standing = try Standing(key, config, model: summary.model, exchange.request.headers)
        if route.isAntigravity { try AdmissionPolicy.requireAntigravity(standing.group) }
        let call = Call(
            context: context,
            exchange: exchange,
            requestID: requestID,
            standing: standing,
            summary: summary,
            body: body,
            route: route,
            createdAt: .now,
            clientIP: clientIP,
            size: reading.size
        )
        call.session = session
        return call
    }

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
                let measure = RequestMeasure(of: body, summary, route.dialect, parser)
                return Reading(
                    summary: summary,
                    session: SessionReader.session(of: body, summary, route, scope, parser),
                    size: ReservationSize(
                        textBytes: measure.textBytes,
                        media: measure.media,
                        answerTokens: summary.answerTokens,
                        answers: summary.answers,
                        tier: summary.tier
                    )
                )
            }
        }
        guard body.count > WorkerContext.inlineLimit else { return try read(context.parser) }
        return try await context.loop.offload { Result { try read(JSONParser()) } }.get()
    }
}
