import Crypto
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

/// Makes a call's attempts: asks the account, and brings a whole answer to the caller.
final class AttemptRunner {
    typealias Outcome = StreamPump.Outcome

    /// What an account has made of an attempt so far.
    enum Opening {
        case outcome(Outcome)
        case stream(StreamPump)
    }

    /// What came where a whole answer was asked for.
    private enum OpenedAnswer {
        case answer([UInt8], WholeAnswer)
        /// A stream that ended without content.
        case empty
        case unreadable
    }

    private static let errorBodyLimit = 256 * 1024
    private static let answerLimit = 64 << 20

    private let call: Call
    private let context: WorkerContext
    private lazy var translation = CallTranslation(call)

    init(_ call: Call) {
        self.call = call
        context = call.context
    }

    /// Asks the account, and hands a whole answer to the caller; a stream is for the caller of this to follow.
    ///
    /// - Parameter time: how long a token may take to come.
    /// - Throws: `GatewayError` when the account may not be asked this.
    func open(_ attempt: inout Attempt, within time: () -> Duration) async throws -> Opening {
        guard let request = try await request(for: &attempt, within: time) else {
            guard !call.exchange.isCallerGone else { return .outcome(callerLeft()) }
            return .outcome(.failed(attempt.lacksToken ? .noToken : .noCredentials))
        }
        noteOverhead()
        let canceller = FetchCanceller()
        call.exchange.onCallerGone = { canceller.cancel() }
        // Gone while a slot was awaited: nobody would call that.
        guard !call.exchange.isCallerGone else { return .outcome(callerLeft()) }
        do {
            return try await opening(context.send(request, from: attempt.account, canceller), attempt)
        } catch {
            return failed(error)
        }
    }

    /// What an answer whose head is there is the beginning of.
    private func opening(_ response: FetchResponse, _ attempt: Attempt) async throws -> Opening {
        context.windows.sample(response.head, attempt.account)
        guard (200..<300).contains(response.head.status) else {
            // An extra that is refused says nothing of the account.
            guard !attempt.mayEstimate else { return .outcome(.failed(.unreadable)) }
            return .outcome(try await refused(response, attempt))
        }
        call.didGetHead()
        // The other form than was asked for would reach the caller as nothing it can read.
        let comesAsStream = call.isStreaming || attempt.form.isAlwaysStream
        guard attempt.form.isStream(response.head.headers) == comesAsStream else {
            return .outcome(.failed(.unreadable))
        }
        guard call.isStreaming else { return .outcome(try await deliver(response, attempt)) }
        // Identity was asked for; events cannot be told apart in anything else.
        guard response.contentCoding == nil else { return .outcome(.failed(.unreadable)) }
        return .stream(pump(response, attempt))
    }

    private func failed(_ error: any Error) -> Opening {
        guard let error = error as? FetchError else { return .outcome(.failed(.unreadable)) }
        return .outcome(call.exchange.isCallerGone ? callerLeft() : .failed(FailedAttempt(error)))
    }

    private func callerLeft() -> Outcome {
        call.settleNothing()
        return .done
    }

    private func noteOverhead() {
        guard call.askedUpstreamAt == nil else { return }
        let now = MonotonicTime.now
        call.askedUpstreamAt = now
        call.silence.asked(at: now)
        context.metrics.overhead.record(microseconds: (now - call.exchange.startedAt).wholeMicroseconds)
    }

    /// Nil when the account lacks a credential.
    ///
    /// - Throws: `GatewayError` when the account may not be asked this.
    private func request(for attempt: inout Attempt, within time: () -> Duration) async throws -> FetchRequest? {
        let account = attempt.account
        var opened = context.tokens.lasting(of: account.id, account.snapshot.type)
        if opened == nil {
            opened = await context.tokens.usable(
                of: account.id,
                account.snapshot.type,
                for: call.exchange,
                now: .now,
                within: time
            )
        }
        guard let opened else {
            attempt.lacksToken = context.credentials.version(of: account.id) != nil
            return nil
        }
        attempt.credentialVersion = opened.secretsVersion
        let body = attempt.isNative ? call.body : try await translation.body(for: attempt)
        switch try write(attempt, body, opened.fields) {
        case .ready(let request):
            guard let request else { return nil }
            attempt.form = request.form
            return fetch(request, from: account)
        case .long(let unwritten):
            guard let request = try await unwritten.write(off: context.loop) else { return nil }
            attempt.form = request.form
            return fetch(request, from: account)
        }
    }

    private enum WrittenRequest {
        /// Nil when the account lacks a credential.
        case ready(UpstreamRequest?)
        /// To be written off the loop.
        indirect case long(AttemptRequest)
    }

    private func write(_ attempt: Attempt, _ body: [UInt8], _ secrets: [String: Secret]) throws -> WrittenRequest {
        let upstreamCall = UpstreamCall(
            dialect: attempt.dialect,
            action: call.route.action,
            isStream: call.isStreaming,
            model: attempt.upstreamModel,
            body: body,
            callerHeaders: call.exchange.request.headers,
            callerQuery: call.exchange.request.query,
            isTranslated: !attempt.isNative,
            usesCredits: call.grant?.usesCredits ?? false,
            secrets: secrets,
            now: .now
        )
        let provider = attempt.account.provider
        let request = AttemptRequest(provider: provider, call: upstreamCall, changes: changes(for: attempt))
        return request.isLong ? .long(request) : .ready(try request.write())
    }

    private func fetch(_ request: UpstreamRequest, from account: ServingAccount) -> FetchRequest {
        FetchRequest(
            to: account.endpoint(call.config.settings),
            request.head,
            body: request.body,
            timeouts: FetchTimeouts(call.config.settings)
        )
    }

    /// What stands in the caller's body for this account: the upstream's model, and the wish for usage.
    private func changes(for attempt: Attempt) -> [CallSummary.Insertion] {
        guard attempt.isNative else { return [] }
        var changes: [CallSummary.Insertion] = []
        if attempt.isRenamed, let range = call.summary.modelRange {
            changes.append(.init(Splice.quoted(attempt.upstreamModel), replacing: range))
        }
        if attempt.hidesUsage, let wish = call.summary.usageRequest { changes.append(wish) }
        return changes
    }

    /// An answer that is no success: the caller's own fault goes to the caller, all else may do better elsewhere.
    private func refused(_ response: FetchResponse, _ attempt: Attempt) async throws -> Outcome {
        let status = response.head.status
        // What the status says holds, also when the body cannot be had.
        let body = (try? await context.collect(response, limit: Self.errorBodyLimit)) ?? []
        let provider = attempt.account.provider
        let error = provider.error(body, response.head.headers, in: attempt.dialect, context.parser)
        let answer = UpstreamAnswer(status: status, headers: response.head.headers, body: body, context.parser)
        let verdict = await call.judge(.refused(answer), attempt)
        guard verdict.request == .passThrough else {
            let failure = AttemptFailure(status: status, verdict: verdict, response.head.headers, now: .now)
            return .failed(FailedAttempt(failure, .judged(verdict)))
        }
        context.metrics.verdict(verdict.reason.rawValue)
        call.trace.failed(verdict: verdict.reason.rawValue, status: status, [])
        call.settleNothing()
        // A page of some proxy on the way is not for the caller: it would name hosts, in no shape of the dialect.
        guard let error, error.isForCallers, !call.exchange.isResponseStarted else {
            let refusal = GatewayError(refusal: error, status, hiding: attempt.hiddenHosts)
            CallerErrors.answer(call.exchange, refusal, requestID: call.requestID)
            return .done
        }
        if attempt.isNative {
            let headers = AnswerHeaders.forCaller(response.head.headers, requestID: call.requestID)
            let scrubbed = ErrorScrub.body(body, hiding: attempt.hiddenHosts, context.parser)
            call.exchange.respond(HTTPResponseHead(status: status, headers: headers), body: scrubbed ?? body)
        } else {
            respond(status, translation.error(body, status: status, attempt) ?? [])
        }
        return .done
    }

    /// An answer that the gateway has written itself.
    private func respond(_ status: Int, _ body: [UInt8]) {
        let headers: HeaderFields = ["content-type": "application/json", "x-request-id": call.requestID]
        call.exchange.respond(HTTPResponseHead(status: status, headers: headers), body: body)
    }

    /// A whole JSON answer.
    private func deliver(_ response: FetchResponse, _ attempt: Attempt) async throws -> Outcome {
        call.exchange.onCallerGone = { response.cancel() }
        let received = try await context.collect(response, limit: Self.answerLimit)
        guard received.count <= WorkerContext.inlineLimit, attempt.isNative, !attempt.mayEstimate,
            attempt.cacheTTL == nil
        else { return await deliverRewritten(received, response.head, attempt) }
        return deliver(received, response.head, attempt)
    }

    /// An answer that its caller gets as it came, but for the model's name.
    private func deliver(_ received: [UInt8], _ head: HTTPResponseHead, _ attempt: Attempt) -> Outcome {
        let opened = Self.open(received, attempt.form, attempt.dialect.wire, context.parser)
        guard case .answer(var body, let answer) = opened, !answer.isError, !call.exchange.isCallerGone else {
            return undelivered(opened, head)
        }
        if attempt.isRenamed, let range = answer.modelRange {
            body = Splice.replacing(range, in: body, with: call.summary.model)
        }
        finish(head, answer, attempt, body, receivedBytes: received.count)
        return .done
    }

    /// A long answer, which is read off the loop, or one that is changed before its caller gets it.
    private func deliverRewritten(_ received: [UInt8], _ head: HTTPResponseHead, _ attempt: Attempt) async -> Outcome {
        let (form, wire) = (attempt.form, attempt.dialect.wire)
        let opened =
            received.count > WorkerContext.inlineLimit
            ? await context.loop.offload { Self.open(received, form, wire, JSONParser()) }
            : Self.open(received, form, wire, context.parser)
        guard case .answer(var body, let answer) = opened, !answer.isError, !call.exchange.isCallerGone else {
            return undelivered(opened, head)
        }
        if !attempt.isNative || attempt.mayEstimate {
            let translated =
                call.route.action == .countTokens
                ? TokenCounts.translate(body, to: call.route.dialect, context.parser)
                : await translation.answer(body, attempt)
            guard let translated else { return .failed(.unreadable) }
            body = translated
        } else if attempt.isRenamed, let range = answer.modelRange {
            body = Splice.replacing(range, in: body, with: call.summary.model)
        }
        if let ttl = attempt.cacheTTL { body = await CallTranslation.movingCacheWrites(in: body, to: ttl, context) }
        finish(head, answer, attempt, body, receivedBytes: received.count)
        return .done
    }

    /// What becomes of an answer that is none, or that nobody is there for.
    private func undelivered(_ opened: OpenedAnswer, _ head: HTTPResponseHead) -> Outcome {
        switch opened {
        case .empty: return .failed(.emptyStream)
        case .unreadable: return .failed(.unreadable)
        case .answer(let body, let answer):
            guard !answer.isError else { return .failed(.errorWithin(body, head.headers)) }
            call.settleNothing()
            return .done
        }
    }

    /// Bills the call and hands the answer to its caller.
    private func finish(
        _ head: HTTPResponseHead,
        _ answer: WholeAnswer,
        _ attempt: Attempt,
        _ body: [UInt8],
        receivedBytes: Int
    ) {
        if attempt.isNative, let id = answer.id {
            call.bind(response: id, to: attempt.account.id)
        }
        context.metrics.successes.add()
        call.noteSuccess(head.headers, attempt)
        call.firstContentAt = .now
        call.settle(
            usage: answer.hasUsage ? answer.usage : estimatedUsage(ofBytes: receivedBytes),
            others: answer.others,
            isEstimated: !answer.hasUsage,
            end: .complete,
            status: head.status,
            upstreamModel: attempt.upstreamModel
        )
        guard attempt.isNative, !attempt.mayEstimate else { return respond(head.status, body) }
        var headers = AnswerHeaders.forCaller(head.headers, requestID: call.requestID)
        if attempt.form.isAlwaysStream { headers.set("content-type", "application/json") }
        call.exchange.respond(HTTPResponseHead(status: head.status, headers: headers), body: body)
    }

    /// What a whole answer amounts to that does not say. Vectors are no text: of them the request counts.
    private func estimatedUsage(ofBytes count: Int) -> TokenUsage {
        let input = call.size.likelyInput
        return call.route.action == .embed
            ? TokenUsage(input: input)
            : WholeAnswer.estimatedUsage(ofBytes: count, input: input)
    }

    /// What the upstream's body holds, and what it says.
    @Sendable private static func open(
        _ received: [UInt8],
        _ form: AnswerForm,
        _ wire: any WireDialect,
        _ parser: JSONParser
    ) -> OpenedAnswer {
        switch form.whole(received, parser) {
        case .found(let body): wire.answer(body, parser).map { .answer(body, $0) } ?? .unreadable
        case .empty: .empty
        case .unreadable: .unreadable
        }
    }

    private func pump(_ response: FetchResponse, _ attempt: Attempt) -> StreamPump {
        let meter = attempt.isNative ? nil : translation.meter(for: attempt)
        return StreamPump(call, response, attempt, translating: meter)
    }

    /// Where no upstream counts.
    func answerEstimate() {
        respond(200, TokenCounts.body(call.size.likelyInput, in: call.route.dialect))
    }
}

extension FetchTimeouts {
    init(_ settings: ServingSettings) {
        self.init()
        connect = settings.connectTimeout
        firstByte = settings.firstByteTimeout
        idle = settings.idleTimeout
        total = settings.totalTimeout
    }
}
