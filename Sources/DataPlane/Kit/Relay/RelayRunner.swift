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

    package init(_ call: Call) {
        self.call = call
        context = call.context
        let settings = call.config.settings
        let now = MonotonicTime.now
        machine = RelayMachine(
            maximumSwitches: settings.maximumSwitches,
            deadline: now + settings.failoverDeadline,
            slotDeadline: now + settings.queueWait
        )
        candidates = call.group.accounts.filter {
            $0.isUsable(now: call.createdAt) && $0.mapping.upstreamModel(for: call.summary.model) != nil
        }
    }

    /// Ends when the caller has its answer and the call is settled.
    package func run() async throws {
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
                case .surface(let failure): return answer(failure)
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
            switch await attempt(account, stream) {
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
                if case .surface(let failure) = machine.attemptFailed(failure, now: .now) { return answer(failure) }
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

    private func answer(_ failure: AttemptFailure) {
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

    private func attempt(_ account: ServingAccount, _ stream: PendingStream?) async -> Outcome {
        guard let apiKey = context.credentials.secret("api_key", of: account.id) else {
            return .failed(.noCredentials)
        }
        let upstreamModel = account.mapping.upstreamModel(for: call.summary.model) ?? call.summary.model
        let request = request(account, upstreamModel, apiKey)
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
            guard (200..<300).contains(response.head.status) else { return try await refused(response) }
            // The other form than was asked for would reach the caller as nothing it can read.
            guard isEventStream(response.head.headers) == (stream != nil) else { return .failed(.unreadableAnswer) }
            guard stream != nil else { return try await deliver(response, account, upstreamModel) }
            // Identity was asked for; events cannot be told apart in anything else.
            guard contentEncoding(of: response) == nil else { return .failed(.unreadableAnswer) }
            return await relay(response, upstreamModel, stream)
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

    private func request(_ account: ServingAccount, _ upstreamModel: String, _ apiKey: Secret) -> FetchRequest {
        let settings = call.config.settings
        let path = call.operation == .countTokens ? "/v1/messages/count_tokens" : "/v1/messages"
        let head = AnthropicRequests.head(
            path,
            query: call.exchange.request.query,
            caller: call.exchange.request.headers,
            target: account.target,
            apiKey: apiKey.reveal(),
            overrides: account.snapshot.headerOverrides
        )
        let body =
            upstreamModel == call.summary.model
            ? call.body : Splice.replacing(call.summary.modelRange, in: call.body, with: upstreamModel)
        var timeouts = FetchTimeouts()
        timeouts.connect = settings.connectTimeout
        timeouts.firstByte = settings.firstByteTimeout
        timeouts.idle = settings.idleTimeout
        timeouts.total = settings.totalTimeout
        let endpoint = Endpoint(
            isTLS: account.target.isTLS,
            host: account.target.host,
            port: account.target.port,
            wireProtocol: account.wireProtocol,
            isolation: settings.isolatesAccounts ? account.id.raw : nil
        )
        return FetchRequest(to: endpoint, head, body: body, timeouts: timeouts)
    }

    private func isEventStream(_ headers: HeaderFields) -> Bool {
        headers.withValue("content-type") { value in
            let type = "text/event-stream".utf8
            // Media types are compared in any case (RFC 9110, 8.3.1).
            return value.count >= type.count && zip(value, type).allSatisfy { $0 | 0x20 == $1 | 0x20 }
        } ?? false
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
    private func refused(_ response: FetchResponse) async throws -> Outcome {
        let status = response.head.status
        // What the status says holds, also when the body cannot be had.
        let body = (try? await collect(response, limit: Self.errorBodyLimit)) ?? []
        let error = AnthropicErrorBody(body, context.parser)
        let verdict = AnthropicVerdicts.verdict(
            status: status,
            isModelMissing: error?.type == "not_found_error",
            message: error?.message ?? ""
        )
        guard verdict.consequence == .callerFault else {
            let retryAfter = response.head.headers["retry-after"].flatMap { Int($0) }
            return .failed(AttemptFailure(status: status, verdict: verdict, retryAfterSeconds: retryAfter))
        }
        context.metrics.verdict(verdict.reason)
        call.settleNothing()
        // A page of some proxy on the way is not for the caller: it would name hosts, in no shape of the dialect.
        guard error != nil, !call.exchange.isResponseStarted else {
            let refusal = GatewayError(
                .upstreamError,
                error?.message ?? "The provider refused the request.",
                status: status
            )
            CallerErrors.answer(call.exchange, refusal, requestID: call.requestID)
            return .done
        }
        let headers = AnswerHeaders.forCaller(response.head.headers, requestID: call.requestID)
        call.exchange.respond(HTTPResponseHead(status: status, headers: headers), body: body)
        return .done
    }

    /// A whole JSON answer.
    private func deliver(
        _ response: FetchResponse,
        _ account: ServingAccount,
        _ upstreamModel: String
    ) async throws -> Outcome {
        call.exchange.onCallerGone = { response.cancel() }
        var body = try await collect(response, limit: Self.answerLimit)
        guard let answer = await read(body) else { return .failed(.unreadableAnswer) }
        guard !answer.isError else { return .failed(.errorEvent) }
        if call.exchange.isCallerGone {
            call.settleNothing()
            return .done
        }
        if upstreamModel != call.summary.model, let range = answer.modelRange {
            body = Splice.replacing(range, in: body, with: call.summary.model)
        }
        context.metrics.successes.add()
        call.firstContentAt = .now
        call.settle(
            usage: answer.hasUsage ? answer.usage : AnthropicAnswer.estimatedUsage(ofBytes: body.count),
            isEstimated: !answer.hasUsage,
            end: .complete,
            status: response.head.status,
            upstreamModel: upstreamModel
        )
        let headers = AnswerHeaders.forCaller(response.head.headers, requestID: call.requestID)
        call.exchange.respond(HTTPResponseHead(status: response.head.status, headers: headers), body: body)
        return .done
    }

    /// A long answer is read off the loop, or every stream on it would stutter.
    private func read(_ body: [UInt8]) async -> AnthropicAnswer? {
        guard body.count > Self.inlineParseLimit else { return AnthropicAnswer(body, context.parser) }
        return await context.loop.offload { AnthropicAnswer(body, JSONParser()) }
    }

    private func relay(_ response: FetchResponse, _ upstreamModel: String, _ stream: PendingStream?) async -> Outcome {
        stream?.stop()
        let pump = StreamPump(call, response, upstreamModel: upstreamModel)
        switch await pump.run() {
        case .done:
            return .done
        case .failed(let failure):
            stream?.resume()
            return .failed(failure)
        }
    }
}
