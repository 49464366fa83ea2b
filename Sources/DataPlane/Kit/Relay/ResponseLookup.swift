import Decisions
import Dialects
import Domain
import Formats
import HTTPFetching
import HTTPMessages
import HTTPServing
import Providers
import Reactor
import Snapshots
import Telemetry

/// `GET /v1/responses/{id}`: an earlier answer, read again from the account that gave it. Nobody else has it: what that
/// account refuses is told, not tried elsewhere.
struct ResponseLookup {
    private static let answerLimit = 64 << 20
    private static let errorBodyLimit = 256 * 1024
    /// Refusals that say something of the account for calls as well. How busy the upstream is with reading says nothing
    /// of its models.
    private static let marking = [401, 402, 403]
    private static let missing = GatewayError(.notFound, "There is no such response.")

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

    /// - Throws: `GatewayError`, 404 also for another key's answers and for upstreams that keep none, 503 while the
    ///   account is out of service; `RedisError`.
    func answer(_ id: String) async throws {
        let owner = try await ResponseBindings.owner(of: id, for: standing.key.id, context.redis)
        guard let account = standing.group.accounts.first(where: { $0.id == owner.account }) else { throw Self.missing }
        let opened = context.credentials.opened(of: account.id)
        let head = account.provider.lookup(
            response: id,
            caller: exchange.request.headers,
            query: exchange.request.query,
            opened?.fields ?? [:]
        )
        guard head != nil || opened == nil else { throw Self.missing }
        try await requireService(of: account)
        guard let head, let opened else { throw GatewayError(.noCredentials) }
        let settings = standing.config.settings
        let canceller = FetchCanceller()
        exchange.onCallerGone = { canceller.cancel() }
        defer { exchange.onCallerGone = nil }
        let request = FetchRequest(to: account.endpoint(settings), head, timeouts: FetchTimeouts(settings))
        let startedAt = Timestamp.now
        do {
            let response = try await context.send(request, from: account, canceller)
            switch response.head.status {
            case 200..<300: try await deliver(response, owner, account)
            case 404: throw Self.missing
            default: try await refuse(response, owner, account, startedAt, credentialVersion: opened.secretsVersion)
            }
        } catch let error as FetchError {
            throw GatewayError(AttemptFailure(error), detail: "\(error)")
        } catch is InflateError {
            throw GatewayError(.unreadableAnswer)
        }
    }

    /// - Throws: `GatewayError` where calls that go on from the answer would find the account out of service; `RedisError`.
    private func requireService(of account: ServingAccount) async throws {
        let now = Timestamp.now
        let flags = try await context.slots.of(account.id).readMarks().live(now)
        let flag = flags.first { $0.kind == .error } ?? flags.first { $0.kind == .paused }
        guard account.isUsable(now: now), flag == nil else {
            throw GatewayError(
                .noAccountAvailable,
                "The account that has this response is not available.",
                retryAfterSeconds: flag?.until.map { ($0 - now).wholeSecondsUp },
                detail: "account \(account.id): \(flag?.kind.field ?? "not in service")"
            )
        }
    }

    private func deliver(_ response: FetchResponse, _ owner: ResponseBindings.Owner, _ account: ServingAccount)
        async throws
    {
        var body = try await context.collect(response, limit: Self.answerLimit)
        if account.mapping.upstreamModel(for: owner.model) != owner.model,
            let range = Dialect.openaiResponses.wire.answer(body, context.parser)?.modelRange
        {
            body = Splice.replacing(range, in: body, with: owner.model)
        }
        await respond(response.head, body, account)
    }

    /// The caller's own fault goes to the caller; what else it is, is told as for a call.
    ///
    /// - Throws: `GatewayError`.
    private func refuse(
        _ response: FetchResponse,
        _ owner: ResponseBindings.Owner,
        _ account: ServingAccount,
        _ startedAt: Timestamp,
        credentialVersion: Int64
    ) async throws {
        let head = response.head
        // What the status says holds, also when the body cannot be had.
        let body = (try? await context.collect(response, limit: Self.errorBodyLimit)) ?? []
        let judging = context.verdictContext(
            of: account,
            model: account.mapping.upstreamModel(for: owner.model) ?? owner.model,
            startedAt: startedAt,
            credentialVersion: credentialVersion,
            standing.config,
            try? await context.slots.of(account.id).readMarks()
        )
        let answer = UpstreamAnswer(status: head.status, headers: head.headers, body: body, context.parser)
        let verdict = account.provider.verdicts.verdict(.refused(answer), judging).resolved(retriesDone: .max)
        context.metrics.verdict(verdict.reason.rawValue)
        if Self.marking.contains(head.status) {
            context.news.carryOut(
                verdict.effects,
                on: account.id,
                began: startedAt,
                now: judging.now,
                requestID: requestID,
                verdict: verdict.reason
            )
        }
        guard verdict.request == .passThrough else {
            let failure = AttemptFailure(status: head.status, verdict: verdict, head.headers, now: judging.now)
            throw GatewayError(failure, detail: "\(head.status)")
        }
        let error = account.provider.error(body, head.headers, in: .openaiResponses, context.parser)
        guard let error, error.isForCallers else {
            throw GatewayError(refusal: error, head.status, hiding: [account.target.host])
        }
        await respond(head, body, account)
    }

    /// An answer that failed, and a refusal, say why in the upstream's words.
    private func respond(_ head: HTTPResponseHead, _ body: [UInt8], _ account: ServingAccount) async {
        let headers = AnswerHeaders.forCaller(head.headers, requestID: requestID)
        let scrubbed = await scrubbed(body, hiding: [account.target.host])
        exchange.respond(HTTPResponseHead(status: head.status, headers: headers), body: scrubbed)
    }

    private func scrubbed(_ body: [UInt8], hiding hosts: [String]) async -> [UInt8] {
        guard body.count > WorkerContext.inlineLimit else {
            return ErrorScrub.body(body, hiding: hosts, context.parser) ?? body
        }
        return await context.loop.offload { ErrorScrub.body(body, hiding: hosts, JSONParser()) ?? body }
    }
}
