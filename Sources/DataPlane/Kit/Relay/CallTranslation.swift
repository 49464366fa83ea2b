import Dialects
import Domain
import Formats
import Reactor

/// A call between two dialects. The caller's request is read once for all accounts that speak the same.
final class CallTranslation {
    private static let inlineLimit = 64 * 1024

    private let call: Call
    /// By the upstream's dialect: what it cannot do is noted in them.
    private var requests: [Dialect: NeutralRequest] = [:]

    init(_ call: Call) { self.call = call }

    static func exists(from caller: Dialect, to upstream: Dialect) -> Bool {
        Translator(caller: caller, upstream: upstream) != nil
    }

    /// The call's body as this account's upstream is to get it.
    ///
    /// - Throws: `GatewayError`, naming the caller's field at fault.
    func body(for attempt: Attempt) async throws -> [UInt8] {
        guard let translator = translator(for: attempt) else { throw Self.impossible }
        var request = try await read(translator, attempt.dialect)
        request.model = attempt.upstreamModel
        request.isStream = call.isStreaming
        request.countsTokens = call.route.action == .countTokens
        guard call.body.count > Self.inlineLimit else {
            return try translator.upstreamBody(for: request, call.context.parser)
        }
        let copy = request
        return try await call.context.loop.offload {
            Result { try translator.upstreamBody(for: copy, JSONParser()) }
        }.get()
    }

    private func read(_ translator: Translator, _ dialect: Dialect) async throws -> NeutralRequest {
        if let request = requests[dialect] { return request }
        let envelope = RequestEnvelope(
            model: call.summary.model,
            isStream: call.isStreaming,
            isSSE: !call.isArray,
            countsTokens: call.route.action == .countTokens
        )
        let body = call.body
        let read =
            if body.count > Self.inlineLimit {
                try await call.context.loop.offload {
                    Result { try translator.request(from: body, envelope, JSONParser()) }
                }.get()
            } else {
                try translator.request(from: body, envelope, call.context.parser)
            }
        requests[dialect] = read
        return read
    }

    /// The caller's whole answer; nil when the upstream's is none.
    func answer(_ body: [UInt8], _ attempt: Attempt) async -> [UInt8]? {
        guard let translator = translator(for: attempt) else { return nil }
        let context = context(attempt)
        guard body.count > Self.inlineLimit else {
            return (try? translator.answer(from: body, call.context.parser)).map {
                translator.callerBody(for: $0, context)
            }
        }
        return await call.context.loop.offload {
            (try? translator.answer(from: body, JSONParser())).map { translator.callerBody(for: $0, context) }
        }
    }

    func meter(for attempt: Attempt) -> TranslatingMeter? {
        translator(for: attempt).map { TranslatingMeter($0.stream(context(attempt))) }
    }

    /// An upstream's error body in the caller's dialect.
    func error(_ body: [UInt8], status: Int, _ attempt: Attempt) -> [UInt8]? {
        translator(for: attempt)?.callerError(
            from: body,
            status: status,
            requestID: call.requestID,
            hiding: attempt.hiddenHosts,
            call.context.parser
        )
    }

    private func translator(for attempt: Attempt) -> Translator? {
        Translator(caller: call.route.dialect, upstream: attempt.dialect)
    }

    private func context(_ attempt: Attempt) -> AnswerContext {
        AnswerContext(
            model: call.summary.model,
            requestID: call.requestID,
            created: call.createdAt.microseconds / 1_000_000,
            options: requests[attempt.dialect]?.answer ?? NeutralAnswerOptions(),
            hiddenHosts: attempt.hiddenHosts
        )
    }

    private static let impossible = GatewayError(.invalidRequest, "The model's provider does not speak this API.")
}

extension CallTranslation {
    /// An answer whose cache writes stand in the class in which the account has them counted. A long one is changed off
    /// the loop.
    static func movingCacheWrites(in body: [UInt8], to ttl: CacheTTL, _ context: WorkerContext) async -> [UInt8] {
        guard body.count > WorkerContext.inlineLimit else {
            return CacheTTLRewrite.body(body, to: ttl, context.parser) ?? body
        }
        return await context.loop.offload { CacheTTLRewrite.body(body, to: ttl, JSONParser()) ?? body }
    }
}
