import Domain
import HTTPServing
import Providers
import Reactor
import Telemetry

/// Carries a call to an account and its answer back, from one attempt to the next until one answers or none is left.
package final class RelayRunner {
    private typealias Outcome = StreamPump.Outcome

    /// One account's try at the call.
    private struct Trial {
        let candidate: Candidate
        var attempt: Attempt
    }

    private let call: Call
    private let context: WorkerContext
    private let chooser: AccountChooser
    private let attempts: AttemptRunner
    private let stream: PendingStream?
    private var following: (Trial, StreamPump)?
    /// Accounts whose token was refused and replaced while the call was there.
    private var renewed: Set<AccountID> = []

    package init(_ call: Call) {
        self.call = call
        context = call.context
        stream = call.isStreaming ? PendingStream(call) : nil
        chooser = AccountChooser(call)
        attempts = AttemptRunner(call)
    }

    /// Finds an account that answers. Returns true when there is a stream to `follow`, false when the caller has its
    /// answer and the call is settled; settled it is after a throw, too.
    package func run() async throws -> Bool {
        do {
            let isFollowed = try await findAnswer()
            chooser.endWait(.gone)
            if !isFollowed { stream?.stop() }
            return isFollowed
        } catch {
            chooser.endWait(.gone)
            stream?.stop()
            call.settleNothing()
            throw error
        }
    }

    /// Carries the stream to its end, and where it breaks before its first content, the call to another account.
    ///
    /// - Parameter onEnd: called once when the call is over, with what ended it where that was an error.
    package func follow(_ onEnd: @escaping ((any Error)?) -> Void) {
        guard let (trial, pump) = following.take() else { return onEnd(nil) }
        stream?.stop()
        pump.start { [self] outcome in
            guard case .failed = outcome else { return onEnd(nil) }
            stream?.resume()
            context.loop.spawnSoon { [self] in
                do {
                    if try await isOver(outcome, trial) { onEnd(nil) } else { follow(onEnd) }
                } catch {
                    onEnd(error)
                }
            }
        }
    }

    /// Whether a broken stream was the call's end; else there is another one to follow.
    private func isOver(_ outcome: Outcome, _ trial: Trial) async throws -> Bool {
        if await hasEnded(outcome, trial) {
            stream?.stop()
            return true
        }
        return try await !run()
    }

    private func findAnswer() async throws -> Bool {
        if chooser.candidates.isEmpty(now: call.createdAt) {
            if call.route.action == .countTokens, call.group.hasUsableAccount(now: call.createdAt) {
                attempts.answerEstimate()
                return false
            }
            if call.route.action == .embed, !Self.canEmbed(call) { throw Self.noEmbeddings }
        }
        await call.sticky?.ready()
        call.trace.saw(chooser.candidates, now: .now)
        while !call.exchange.isCallerGone {
            switch try await chooser.next() {
            case .callerGone:
                call.settleNothing()
                return false
            case .surface(let failure):
                surface(failure)
                return false
            case .wait: try await chooser.waitForSlot()
            case .attempt(let candidate):
                var trial = Trial(candidate: candidate, attempt: Attempt(candidate, call))
                let opening: AttemptRunner.Opening
                do {
                    opening = try await attempts.open(&trial.attempt, within: { chooser.tokenPatience })
                } catch let refusal as GatewayError {
                    // What this account cannot be asked another one perhaps can.
                    guard chooser.passOver(trial.attempt) else { throw refusal }
                    call.trace.failed(verdict: VerdictReason.callerFault.rawValue, status: refusal.status, [])
                    call.releaseAccount()
                    continue
                }
                switch opening {
                case .outcome(.failed) where candidate.mayEstimate:
                    call.settleNothing()
                    attempts.answerEstimate()
                    return false
                case .outcome(let outcome):
                    if await hasEnded(outcome, trial) { return false }
                case .stream(let pump):
                    following = (trial, pump)
                    return true
                }
            }
        }
        call.settleNothing()
        return false
    }

    private static func canEmbed(_ call: Call) -> Bool {
        call.group.accounts.contains { account in
            account.provider.dialect(for: call.route, model: call.summary.model) != nil
        }
    }

    private static let noEmbeddings = GatewayError(
        .invalidRequest,
        "model: the provider of this API key has no embeddings",
        field: "model"
    )

    // MARK: What became of an attempt

    /// Whether the call is over; else the account is tried again, or another one.
    private func hasEnded(_ outcome: Outcome, _ trial: Trial) async -> Bool {
        guard case .failed(let failed) = outcome else { return true }
        let attempt = trial.attempt
        var (failure, verdict) = await judge(failed, attempt)
        if renewed.contains(attempt.account.id), let refused = verdict { verdict = call.pausing(refused, attempt) }
        if verdict?.request == .passThrough {
            call.trace.failed(verdict: failure.reason, status: failure.status, [])
            tell(failed, failure.status, attempt)
            return true
        }
        let hasNewToken = await call.hasNewToken(verdict, attempt, renewed) {
            chooser.hasAnother ? nil : chooser.timeLeft
        }
        if hasNewToken {
            renewed.insert(attempt.account.id)
            context.metrics.verdict(failure.reason)
            call.trace.failed(verdict: failure.reason, status: failure.status, [])
            chooser.retry(trial.candidate, after: .zero)
            return false
        }
        let resolved = verdict?.resolved(retriesDone: chooser.retriesDone)
        var pause: Duration?
        if case .retryHere(_, let after)? = resolved?.request { pause = after }
        context.metrics.verdict(failure.reason)
        context.log.warning(
            "attempt failed",
            [
                "request_id": .text(call.requestID), "account_id": .integer(attempt.account.id.raw),
                "reason": .text(failure.reason), "status": .integer(Int64(failure.status)),
                "retries": .integer(Int64(chooser.retriesDone)),
            ]
        )
        call.trace.failed(verdict: failure.reason, status: failure.status, resolved?.effects ?? [])
        if let resolved { call.carryOut(resolved, attempt) }
        switch chooser.attemptFailed(failure, retry: pause) {
        case .retryHere(let after):
            context.accountMetrics.retries.add()
            chooser.retry(trial.candidate, after: after)
            return false
        case .tryNext:
            call.releaseAccount()
            return false
        case .surface(let failure):
            surface(failure)
            return true
        }
    }

    /// What a failed attempt means, and what of it the caller may hear.
    private func judge(_ failed: FailedAttempt, _ attempt: Attempt) async -> (AttemptFailure, UpstreamVerdict?) {
        switch failed.cause {
        case .none: return (failed.failure, nil)
        case .judged(let verdict): return (failed.failure, verdict)
        case .outcome(let outcome):
            var failure = failed.failure
            let verdict = await call.judge(outcome, attempt)
            failure.reason = verdict.reason.rawValue
            return (failure, verdict)
        case .errorWithin(let body, let headers):
            guard let answer = UpstreamAnswer(errorWithin: body, headers, context.parser) else {
                return (failed.failure, nil)
            }
            let verdict = await call.judge(.refused(answer), attempt)
            var failure = AttemptFailure(status: answer.status, verdict: verdict, headers, now: .now)
            // For the caller, to whom it is passed on as it is.
            if verdict.request == .passThrough { failure.status = answer.status }
            return (failure, verdict)
        }
    }

    /// The caller's own fault, told by an answer of status 200.
    private func tell(_ failed: FailedAttempt, _ status: Int, _ attempt: Attempt) {
        context.metrics.verdict(VerdictReason.callerFault.rawValue)
        call.settleNothing()
        guard case .errorWithin(let body, let headers) = failed.cause else { return }
        let error = attempt.account.provider.error(body, headers, in: attempt.dialect, context.parser)
        let refusal = GatewayError(refusal: error, status, hiding: attempt.hiddenHosts)
        CallerErrors.answer(call.exchange, refusal, requestID: call.requestID)
    }

    private func surface(_ failure: AttemptFailure) {
        call.settleNothing()
        let error = GatewayError(failure)
        call.trace.error = error
        CallerErrors.answer(call.exchange, error, requestID: call.requestID)
    }
}
