import Decisions
import Dialects
import Domain
import Formats
import HTTPFetching
import HTTPMessages
import HTTPServing
import Providers
import Reactor
import Telemetry

/// `GET /v1/responses/{id}`: an earlier answer, read again from the account that gave it.
struct ResponseLookup {
    private static let answerLimit = 64 << 20

    private let context: WorkerContext
    private let exchange: ServerExchange
    private let standing: Standing
    private let requestID: String

    init(_ context: WorkerContext, _ exchange: ServerExchange, _ standing: Standing, requestID: String) {
        self.context = context
        self.exchange = exchange
        self.standing = standing
        self.requestID = requestID
    }

    /// - Throws: `GatewayError`, 404 also for another key's answers and for upstreams that keep none; `RedisError`.
    func answer(_ id: String) async throws {
        let missing = GatewayError(.notFound, "There is no such response.")
        let owner = try await ResponseBindings.owner(of: id, for: standing.key.id, context.redis)
        let now = Timestamp.now
        guard let account = standing.group.accounts.first(where: { $0.id == owner.account }),
            account.isUsable(now: now),
            let head = account.provider.lookup(
                response: id,
                caller: exchange.request.headers,
                query: exchange.request.query,
                context.credentials.secrets(of: owner.account)
            )
        else { throw missing }
        let settings = standing.config.settings
        let canceller = FetchCanceller()
        exchange.onCallerGone = { canceller.cancel() }
        defer { exchange.onCallerGone = nil }
        let request = FetchRequest(to: account.endpoint(settings), head, timeouts: FetchTimeouts(settings))
        do {
            let response = try await context.send(request, from: account, canceller)
            var body = try await response.collect(limit: Self.answerLimit)
            let status = response.head.status
            guard status != 404 else { throw missing }
            guard (200..<300).contains(status) else {
                throw GatewayError(.upstreamError, "The provider refused the gateway's request.", detail: "\(status)")
            }
            if account.mapping.upstreamModel(for: owner.model) != owner.model,
                let range = Dialect.openaiResponses.wire.answer(body, context.parser)?.modelRange
            {
                body = Splice.replacing(range, in: body, with: owner.model)
            }
            body = await scrubbed(body, hiding: [account.target.host])
            let headers = AnswerHeaders.forCaller(response.head.headers, requestID: requestID)
            exchange.respond(HTTPResponseHead(status: status, headers: headers), body: body)
        } catch let error as FetchError {
            let failure = AttemptFailure(error)
            throw GatewayError(.upstreamError, failure.message, detail: "\(error)", status: failure.status)
        }
    }

    /// An answer that failed says why in the upstream's words.
    private func scrubbed(_ body: [UInt8], hiding hosts: [String]) async -> [UInt8] {
        guard body.count > WorkerContext.inlineLimit else {
            return ErrorScrub.body(body, hiding: hosts, context.parser) ?? body
        }
        return await context.loop.offload { ErrorScrub.body(body, hiding: hosts, JSONParser()) ?? body }
    }
}
