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
import Redis
import Snapshots
import Telemetry

/// Carries a call to an account and its answer back: asks `RelayMachine` what to do, and does it.
package final class RelayRunner {
    private enum Outcome {
        /// The call has its answer, or its caller is gone; nothing is left to do.
        case done
        case failed(AttemptFailure)
    }

    private static let errorBodyLimit = 256 * 1024
    private static let answerLimit = 64 << 20
    private static let inlineParseLimit = 256 * 1024
    /// How often a call that waits for a slot looks again.
    private static let slotPoll = Duration.milliseconds(50)

    private let call: Call
    private let context: WorkerContext
    private var machine: RelayMachine
    private var candidates: [ServingAccount]
    private let translation: CallTranslation

    package init(_ call: Call) {
        self.call = call
        context = call.context
        translation = CallTranslation(call)
        let settings = call.config.settings
        let now = MonotonicTime.now
        machine = RelayMachine(
            maximumSwitches: settings.maximumSwitches,
            deadline: now + settings.failoverDeadline,
            slotDeadline: now + settings.queueWait
        )
        candidates = call.group.accounts.filter { account in
            guard account.isUsable(now: call.createdAt),
                let model = account.mapping.upstreamModel(for: call.summary.model),
                call.boundAccount.map({ $0 == account.id }) ?? true
            else { return false }
            return Self.canServe(call.route, account.provider.dialect(for: call.route, model: model))
        }
    }

    private static func canServe(_ route: CallRoute, _ dialect: Dialect?) -> Bool {
        guard let dialect else { return false }
        if dialect == route.dialect { return true }
        return route.action != .embed && CallTranslation.exists(from: route.dialect, to: dialect)
    }

    /// Ends when the caller has its answer and the call is settled.
    package func run() async throws {
        if candidates.isEmpty, call.route.action == .countTokens, call.group.hasUsableAccount(now: call.createdAt) {
            return answerEstimate()
        }
        let stream = call.isStreaming ? PendingStream(call) : nil
        defer { stream?.stop() }
        var hasWaited = false
        while !call.exchange.isCallerGone {
            guard let account = choose() else {
                switch machine.noCandidate(now: .now) {
                case .waitForSlot:
                    if !hasWaited { context.metrics.slotWaits.add() }
                    hasWaited = true
                    await context.loop.sleep(Self.slotPoll)
                    machine.slotsChanged()
                    continue
                case .surface(let failure): return surface(failure)
                case .refuseNoAccount:
                    throw GatewayError(
                        .noAccountAvailable,
                        "No account is available for this model.",
                        retryAfterSeconds: 5
                    )
                case .refuseBusy:
                    throw GatewayError(
                        .concurrencyLimit,
                        "All accounts are busy; try again later.",
                        retryAfterSeconds: 5
                    )
                }
            }
            guard
                try await context.slots.acquire(
                    account.id,
                    limit: account.snapshot.concurrency,
                    requestID: call.requestID
                )
            else {
                machine.slotRefused(account.id)
                continue
            }
            call.didAcquire(account)
            // It may have left while Redis was asked: nobody would call this attempt off.
            if call.exchange.isCallerGone { break }
            machine.attempting(account.id)
            switch try await attempt(account, stream) {
            case .done:
                return
            case .failed(let failure):
                call.releaseAccount()
                context.metrics.verdict(failure.reason)
                context.log.warning(
                    "attempt failed",
                    [
                        "request_id": .text(call.requestID), "account_id": .integer(account.id.raw),
                        "reason": .text(failure.reason), "status": .integer(Int64(failure.status)),
                    ]
                )
                if case .surface(let failure) = machine.attemptFailed(failure, now: .now) { return surface(failure) }
            }
        }
        call.settleNothing()
    }

    private func choose() -> ServingAccount? {
        let scheduled = candidates.map { account in
            ScheduledAccount(
                id: account.id,
                priority: account.snapshot.priority,
                concurrency: account.snapshot.concurrency,
                inFlight: context.slots.inFlight[account.id] ?? 0,
                lastUsed: context.lastUsed[account.id] ?? 0
            )
        }
        return Scheduler.best(
            scheduled,
            excluding: { machine.isExcluded($0) },
            chance: MonotonicTime.now.nanoseconds
        ).map { candidates[$0] }
    }

    private func surface(_ failure: AttemptFailure) {
        call.settleNothing()
        let error = GatewayError(
            .upstreamError,
            failure.message,
            retryAfterSeconds: failure.retryAfterSeconds,
            status: failure.status
        )
        CallerErrors.answer(call.exchange, error, requestID: call.requestID)
    }

    // MARK: One attempt

    private func attempt(_ account: ServingAccount, _ stream: PendingStream?) async throws -> Outcome {
        var attempt = Attempt(account, call)
        guard let request = try await request(for: &attempt) else { return .failed(.noCredentials) }
        if call.askedUpstreamAt == nil {
            let now = MonotonicTime.now
            call.askedUpstreamAt = now
            context.metrics.overhead.record(microseconds: (now - call.exchange.startedAt).wholeMicroseconds)
        }
        let canceller = FetchCanceller()
        call.exchange.onCallerGone = { canceller.cancel() }
        // Gone while a slot was awaited: nobody would call that.
        guard !call.exchange.isCallerGone else {
            call.settleNothing()
            return .done
        }
        do {
            let response = try await context.send(request, from: account, canceller)
            guard (200..<300).contains(response.head.status) else { return try await refused(response, attempt) }
            // The other form than was asked for would reach the caller as nothing it can read.
            let isStream = stream != nil || attempt.form.isAlwaysStream
            guard attempt.form.isStream(response.head.headers) == isStream else { return .failed(.unreadableAnswer) }
            guard stream != nil else { return try await deliver(response, attempt) }
            // Identity was asked for; events cannot be told apart in anything else.
            guard contentEncoding(of: response) == nil else { return .failed(.unreadableAnswer) }
            return await relay(response, attempt, stream)
        } catch let error as FetchError {
            if call.exchange.isCallerGone {
                call.settleNothing()
                return .done
            }
            return .failed(AttemptFailure(error))
        } catch {
            return .failed(.unreadableAnswer)
        }
    }

    /// Nil when the account lacks a credential.
    ///
    /// - Throws: `GatewayError` when the account may not be asked this.
    private func request(for attempt: inout Attempt) async throws -> FetchRequest? {
        let account = attempt.account
        let upstreamCall = UpstreamCall(
            dialect: attempt.dialect,
            action: call.route.action,
            isStream: call.isStreaming,
            model: attempt.upstreamModel,
            body: attempt.isNative ? body(for: attempt) : try await translation.body(for: attempt),
            callerHeaders: call.exchange.request.headers,
            callerQuery: call.exchange.request.query,
            isTranslated: !attempt.isNative,
            secrets: context.credentials.secrets(of: account.id),
            now: Timestamp(microseconds: WallClock.microseconds)
        )
        guard let request = try account.provider.request(for: upstreamCall) else { return nil }
        attempt.form = request.form
        return FetchRequest(
            to: account.endpoint(call.config.settings),
            request.head,
            body: request.body,
            timeouts: FetchTimeouts(call.config.settings)
        )
    }

    /// The caller's body with what stands in it for this account: the upstream's model, and the wish for usage.
    private func body(for attempt: Attempt) -> [UInt8] {
        var changes: [CallSummary.Insertion] = []
        if attempt.isRenamed, let range = call.summary.modelRange {
            changes.append(.init(Splice.quoted(attempt.upstreamModel), replacing: range))
        }
        if attempt.hidesUsage, let wish = call.summary.usageRequest { changes.append(wish) }
        return changes.isEmpty ? call.body : Splice.applying(changes, to: call.body)
    }

    /// The coding of an upstream that does not keep to identity; nil for none.
    private func contentEncoding(of response: FetchResponse) -> String? {
        guard let coding = response.head.headers["content-encoding"], !coding.isEmpty,
            coding.lowercased() != "identity"
        else { return nil }
        return coding
    }

    /// The whole body, in identity: `content-encoding` never reaches the caller.
    ///
    /// - Throws: `FetchError`, `InflateError`.
    private func collect(_ response: FetchResponse, limit: Int) async throws -> [UInt8] {
        let body = try await response.collect(limit: limit)
        guard let coding = contentEncoding(of: response) else { return body }
        return try await context.loop.offload {
            Result { try Inflate.inflate(body, encoding: coding, limit: limit) }
        }.get()
    }

    /// An answer that is no success: the caller's own fault goes to the caller, all else may do better elsewhere.
    private func refused(_ response: FetchResponse, _ attempt: Attempt) async throws -> Outcome {
        let status = response.head.status
        // What the status says holds, also when the body cannot be had.
        let body = (try? await collect(response, limit: Self.errorBodyLimit)) ?? []
        let provider = attempt.account.provider
        let error = provider.error(body, in: attempt.dialect, context.parser)
        let verdict = provider.verdict(status: status, error)
        guard verdict.consequence == .callerFault else {
            let retryAfter = response.head.headers["retry-after"].flatMap { Int($0) }
            return .failed(AttemptFailure(status: status, verdict: verdict, retryAfterSeconds: retryAfter))
        }
        context.metrics.verdict(verdict.reason)
        call.settleNothing()
        // A page of some proxy on the way is not for the caller: it would name hosts, in no shape of the dialect.
        guard let error, error.isForCallers, !call.exchange.isResponseStarted else {
            let message = error?.message ?? ""
            let refusal = GatewayError(
                .upstreamError,
                message.isEmpty ? "The provider refused the request." : message,
                status: status
            )
            CallerErrors.answer(call.exchange, refusal, requestID: call.requestID)
            return .done
        }
        if attempt.isNative {
            let headers = AnswerHeaders.forCaller(response.head.headers, requestID: call.requestID)
            call.exchange.respond(HTTPResponseHead(status: status, headers: headers), body: body)
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
        let received = try await collect(response, limit: Self.answerLimit)
        guard var body = attempt.form.whole(received, context.parser) else { return .failed(.unreadableAnswer) }
        guard let answer = await read(body, attempt.dialect) else { return .failed(.unreadableAnswer) }
        guard !answer.isError else { return .failed(.errorEvent) }
        if call.exchange.isCallerGone {
            call.settleNothing()
            return .done
        }
        if !attempt.isNative {
            let translated =
                call.route.action == .countTokens
                ? TokenCounts.translate(body, to: call.route.dialect, context.parser)
                : await translation.answer(body, attempt)
            guard let translated else { return .failed(.unreadableAnswer) }
            body = translated
        } else if attempt.isRenamed, let range = answer.modelRange {
            body = Splice.replacing(range, in: body, with: call.summary.model)
        }
        if attempt.isNative, let id = answer.id {
            ResponseBindings.bind(id, to: attempt.account.id, of: call.key.id, context.redis)
        }
        context.metrics.successes.add()
        call.firstContentAt = .now
        call.settle(
            usage: answer.hasUsage ? answer.usage : estimatedUsage(ofBytes: received.count),
            isEstimated: !answer.hasUsage,
            end: .complete,
            status: response.head.status,
            upstreamModel: attempt.upstreamModel
        )
        guard attempt.isNative else {
            respond(response.head.status, body)
            return .done
        }
        var headers = AnswerHeaders.forCaller(response.head.headers, requestID: call.requestID)
        if attempt.form.isAlwaysStream { headers.set("content-type", "application/json") }
        call.exchange.respond(HTTPResponseHead(status: response.head.status, headers: headers), body: body)
        return .done
    }

    /// What a whole answer amounts to that does not say. Vectors are no text: of them the request counts.
    private func estimatedUsage(ofBytes count: Int) -> TokenUsage {
        guard call.route.action == .embed else { return WholeAnswer.estimatedUsage(ofBytes: count) }
        return TokenUsage(input: TokenEstimate.count(ofRequest: call.body))
    }

    /// A long answer is read off the loop, or every stream on it would stutter.
    private func read(_ body: [UInt8], _ dialect: Dialect) async -> WholeAnswer? {
        let wire = dialect.wire
        guard body.count > Self.inlineParseLimit else { return wire.answer(body, context.parser) }
        return await context.loop.offload { wire.answer(body, JSONParser()) }
    }

    private func relay(_ response: FetchResponse, _ attempt: Attempt, _ stream: PendingStream?) async -> Outcome {
        stream?.stop()
        let meter = attempt.isNative ? nil : translation.meter(for: attempt)
        let pump = StreamPump(call, response, attempt, translating: meter)
        switch await pump.run() {
        case .done:
            return .done
        case .failed(let failure):
            stream?.resume()
            return .failed(failure)
        }
    }

    /// Where no upstream counts.
    private func answerEstimate() {
        respond(200, TokenCounts.body(TokenEstimate.count(ofRequest: call.body), in: call.route.dialect))
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
