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
    private typealias Outcome = StreamPump.Outcome

    /// What an account has made of an attempt so far.
    private enum Opening {
        case outcome(Outcome)
        case stream(StreamPump)
    }

    /// One account's try at the call.
    private struct Trial {
        let candidate: Candidate
        var attempt: Attempt
    }

    private static let errorBodyLimit = 256 * 1024
    private static let answerLimit = 64 << 20

    private let call: Call
    private let context: WorkerContext
    private var machine: RelayMachine
    private let candidates: Candidates
    private lazy var translation = CallTranslation(call)
    /// While slots are all that is lacking.
    private var wait: AccountWait?
    private let stream: PendingStream?
    private var following: (Trial, StreamPump)?
    /// To be tried again, on the slot it has.
    private var retrying: (candidate: Candidate, after: Duration)?
    /// Accounts whose token was refused and replaced while the call was there.
    private var renewed: Set<AccountID> = []
    /// Whether the call has tried out a paused account: once is enough.
    private var hasGuarded = false

    package init(_ call: Call) {
        self.call = call
        context = call.context
        stream = call.isStreaming ? PendingStream(call) : nil
        let settings = call.config.settings
        let now = MonotonicTime.now
        machine = RelayMachine(
            maximumSwitches: settings.maximumSwitches,
            deadline: now + settings.failoverDeadline,
            slotDeadline: now + settings.queueWait
        )
        candidates = Candidates(
            context.candidates.of(call.group, call.route, model: call.summary.model),
            context.slots.board,
            bound: call.boundAccount
        )
    }

    /// Finds an account that answers. Returns true when there is a stream to `follow`, false when the caller has its
    /// answer and the call is settled; settled it is after a throw, too.
    package func run() async throws -> Bool {
        do {
            let isFollowed = try await findAnswer()
            endWait(.gone)
            if !isFollowed { stream?.stop() }
            return isFollowed
        } catch {
            endWait(.gone)
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
        if candidates.isEmpty(now: call.createdAt) {
            if call.route.action == .countTokens, call.group.hasUsableAccount(now: call.createdAt) {
                await answerEstimate()
                return false
            }
            if call.route.action == .embed, !Self.canEmbed(call) { throw Self.noEmbeddings }
        }
        await call.sticky?.ready()
        call.trace.saw(candidates, now: now)
        while !call.exchange.isCallerGone {
            switch try await nextStep() {
            case .ended: return false
            case .wait: try await waitForSlot()
            case .attempt(let candidate):
                var trial = Trial(candidate: candidate, attempt: Attempt(candidate.account, call))
                switch try await open(&trial.attempt, isStream: stream != nil) {
                case .outcome(.failed) where Attempt.mayEstimate(candidate.account, call):
                    call.settleNothing()
                    await answerEstimate()
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

    // MARK: Which account

    private enum Step {
        /// A slot of it is held.
        case attempt(Candidate)
        case wait
        case ended
    }

    private func nextStep() async throws -> Step {
        if let retry = retrying {
            retrying = nil
            await context.loop.sleep(retry.after)
            if call.exchange.isCallerGone { return callerGone() }
            noteAttempt(retry.candidate)
            return .attempt(retry.candidate)
        }
        choosing: while true {
            let candidate: Candidate
            switch stickyStep() {
            case .prefer(let bound): candidate = bound
            case .wait: return .wait
            case .anywhere:
                guard let best = choose() else {
                    guard let wait, wait.isWoken else { break choosing }
                    wait.lookEverywhere()
                    continue
                }
                candidate = best
            }
            guard try await acquire(candidate) else { continue }
            return begin(candidate)
        }
        if let candidate = try await guardedCandidate() { return begin(candidate) }
        switch machine.noCandidate(now: .now) {
        case .waitForSlot: return .wait
        case .surface(let failure):
            endWait(.timeout)
            surface(failure)
            return .ended
        case .refuseNoAccount: throw noAccount
        case .refuseBusy:
            endWait(.timeout)
            throw Self.allBusy
        }
    }

    private enum StickyStep {
        case prefer(Candidate)
        case wait
        case anywhere
    }

    /// What the call's session asks for.
    private func stickyStep() -> StickyStep {
        guard let sticky = call.sticky, let bound = sticky.account else { return .anywhere }
        let now = now
        let candidate = candidates.candidate(bound)
        var account = StickyPolicy.Account()
        account.isInService = call.group.accounts.contains { $0.id == bound && $0.isUsable(now: now) }
        account.servesCall = candidate != nil
        account.skipReason = candidate.flatMap { candidates.skipReason($0, now: now) } ?? sticky.refusal
        account.hasFailed = machine.hasTried(bound)
        account.fullSince = machine.isFull(bound) ? sticky.fullSince : nil
        switch StickyPolicy.step(account, patience: call.config.settings.stickyWait, now: .now) {
        case .prefer: return candidate.map { .prefer($0) } ?? .anywhere
        case .wait: return .wait
        case .leave: sticky.leave()
        case .unbind: sticky.cannotServe(bound)
        }
        if wait?.kind == .session { endWait(.left) }
        return .anywhere
    }

    private func begin(_ candidate: Candidate) -> Step {
        // It may have left while Redis was asked: nobody would call this attempt off.
        if call.exchange.isCallerGone { return callerGone() }
        if machine.attempts > 0 { context.accountMetrics.switches.add() }
        machine.attempting(candidate.account.id)
        noteAttempt(candidate)
        return .attempt(candidate)
    }

    private func noteAttempt(_ candidate: Candidate) {
        let id = candidate.account.id
        call.trace.began(
            id,
            model: candidate.model,
            call.grant?.entry ?? .plain,
            isSticky: call.sticky?.account == id
        )
    }

    private func callerGone() -> Step {
        call.settleNothing()
        return .ended
    }

    /// Sleeps until a slot may be free. A call takes its places in the lines by asking once more before it sleeps.
    private func waitForSlot() async throws {
        let isForSession = call.sticky?.account != nil
        if let wait, (wait.kind == .session) == isForSession {
            // Nowhere else to go, and no room to wait.
            guard wait.hasPlace || !wait.wasCrowded else {
                endWait(.crowded)
                if isForSession { call.sticky?.leave() } else { throw Self.allBusy }
                return machine.slotsChanged()
            }
            await wait.sleep(atMost: patience, call.exchange)
        } else {
            endWait(.left)
            context.metrics.slotWaits.add()
            wait = AccountWait(
                context.waits,
                for: isForSession ? .session : .account,
                requestID: call.requestID,
                bound: call.config.settings.queueLimit
            )
        }
        machine.slotsChanged()
    }

    /// How long the call goes on waiting.
    private var patience: Duration {
        let deadline = machine.waitsUntil
        guard let sticky = call.sticky, sticky.account != nil, let fullSince = sticky.fullSince else {
            return deadline - .now
        }
        return min(fullSince + call.config.settings.stickyWait, deadline) - .now
    }

    private func endWait(_ end: WaitMetrics.End, at account: AccountID? = nil) {
        guard let wait else { return }
        call.trace.waitedForAccount(wait.startedAt.elapsed)
        wait.end(end, at: account)
        self.wait = nil
    }

    private var now: Timestamp { Timestamp(microseconds: WallClock.microseconds) }

    private func choose() -> Candidate? {
        candidates.best(
            now: now,
            chance: MonotonicTime.now.nanoseconds,
            isSelective: machine.hasExclusions || wait != nil,
            excluding: { machine.isExcluded($0) || wait?.excludes($0) ?? false }
        )
    }

    private func acquire(_ candidate: Candidate, isGuard: Bool = false) async throws -> Bool {
        let account = candidate.account
        call.sticky?.propose(account.id)
        let answer = try await candidate.slots.acquire(
            limit: account.snapshot.concurrency,
            rate: account.snapshot.rpm,
            quota: account.snapshot.quota,
            model: candidate.model,
            isGuard: isGuard,
            requestID: call.requestID,
            ticket: wait?.ticket(for: account.id),
            now: now
        )
        switch answer {
        case .granted(let grant):
            if grant.entry == .plain, await isElsewhere(account.id) {
                candidate.slots.release(requestID: call.requestID)
                return false
            }
            if grant.entry == .halfOpen { context.accountMetrics.halfOpenProbes.add() }
            call.didAcquire(account, candidate.slots, grant)
            endWait(.served, at: account.id)
            return true
        case .full(let place):
            context.accountMetrics.skipped(SkipReason.full.word)
            if wait == nil { call.trace.refused(account.id, .full) }
            wait?.note(place, at: account.id, candidate.slots.name)
            await call.sticky?.wasRefused(by: account.id, .full)
            machine.slotRefused(account.id)
            return false
        case .refused(let reason):
            context.accountMetrics.skipped(reason.word)
            call.trace.refused(account.id, reason)
            await call.sticky?.wasRefused(by: account.id, reason)
            // What has flags is not chosen again as long as they are known here.
            if reason.isForSlots { machine.slotRefused(account.id) } else { machine.flagRefused(account.id) }
            return false
        }
    }

    /// Whether another call of the session was first to bind it, to an account that this one can go to as well.
    private func isElsewhere(_ account: AccountID) async -> Bool {
        guard let sticky = call.sticky, let bound = await sticky.outcome(), bound != account else { return false }
        if case .anywhere = stickyStep() {
            sticky.propose(account)
            return false
        }
        return true
    }

    /// An account to try out although it is paused, with a slot of it: where all are paused by guesses, and nobody else
    /// tries.
    private func guardedCandidate() async throws -> Candidate? {
        guard !hasGuarded, let candidate = candidates.guarded(now: now, tried: { machine.hasTried($0) }),
            try await context.guards.enter(call.group.id, requestID: call.requestID, now: now)
        else { return nil }
        hasGuarded = true
        do {
            if try await acquire(candidate, isGuard: true) {
                // Flags may have ended meanwhile.
                if call.grant?.entry != .onGuard { leaveGuard() } else { context.accountMetrics.guardProbes.add() }
                return candidate
            }
        } catch {
            leaveGuard()
            throw error
        }
        leaveGuard()
        return nil
    }

    private func leaveGuard() { context.guards.leave(call.group.id, requestID: call.requestID, hasWon: false) }

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
    /// No account could be asked, for another reason than slots.
    private var noAccount: GatewayError {
        let now = now
        let skipped = candidates.skipped(now: now)
        let end = skipped.compactMap(\.reason.until).filter { $0 > now }.min()
        var counts: [String: Int] = [:]
        for account in skipped { counts[account.reason.word, default: 0] += 1 }
        return GatewayError(
            .noAccountAvailable,
            "No account is available for this model.",
            retryAfterSeconds: end.map { ($0 - now).wholeSecondsUp },
            detail: "group \(call.group.id): "
                + counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        )
    }
    private static let allBusy = GatewayError(
        .concurrencyLimit,
        "All accounts are busy; try again later.",
        retryAfterSeconds: 5
    )

    // MARK: What became of it

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
            choose() == nil ? machine.timeLeft(now: .now) : nil
        }
        if hasNewToken {
            renewed.insert(attempt.account.id)
            context.metrics.verdict(failure.reason)
            call.trace.failed(verdict: failure.reason, status: failure.status, [])
            retrying = (trial.candidate, .zero)
            return false
        }
        let resolved = verdict?.resolved(retriesDone: machine.retriesDone)
        var pause: Duration?
        if case .retryHere(_, let after)? = resolved?.request { pause = after }
        context.metrics.verdict(failure.reason)
        context.log.warning(
            "attempt failed",
            [
                "request_id": .text(call.requestID), "account_id": .integer(attempt.account.id.raw),
                "reason": .text(failure.reason), "status": .integer(Int64(failure.status)),
                "retries": .integer(Int64(machine.retriesDone)),
            ]
        )
        call.trace.failed(verdict: failure.reason, status: failure.status, resolved?.effects ?? [])
        if let resolved { call.carryOut(resolved, attempt) }
        switch machine.attemptFailed(failure, retry: pause, now: .now) {
        case .retryHere(let after):
            context.accountMetrics.retries.add()
            retrying = (trial.candidate, after)
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
            var failure = failure(answer.status, verdict, headers)
            // For the caller, to whom it is passed on as it is.
            if verdict.request == .passThrough { failure.status = answer.status }
            return (failure, verdict)
        }
    }

    private func failure(_ status: Int, _ verdict: UpstreamVerdict, _ headers: HeaderFields) -> AttemptFailure {
        let stated = headers["retry-after"].flatMap { Int($0) }
        let now = now
        let end = verdict.effects.compactMap { AccountFlag($0, setAt: now)?.until }.max()
        return AttemptFailure(
            status: status,
            verdict: verdict,
            retryAfterSeconds: stated ?? end.map { ($0 - now).wholeSecondsUp }
        )
    }

    /// The caller's own fault, told by an answer of status 200.
    private func tell(_ failed: FailedAttempt, _ status: Int, _ attempt: Attempt) {
        context.metrics.verdict(VerdictReason.callerFault.rawValue)
        call.settleNothing()
        guard case .errorWithin(let body, let headers) = failed.cause else { return }
        let error = attempt.account.provider.error(body, headers, in: attempt.dialect, context.parser)
        CallerErrors.answer(call.exchange, refusal(error, status, attempt), requestID: call.requestID)
    }

    /// A refusal in the upstream's words, as far as they are the caller's to hear.
    private func refusal(_ error: UpstreamErrorBody?, _ status: Int, _ attempt: Attempt) -> GatewayError {
        let message = error?.message ?? ""
        return GatewayError(
            .upstreamError,
            message.isEmpty
                ? "The provider refused the request."
                : LeakScrubber.scrub(message, hiding: attempt.hiddenHosts) ?? message,
            status: status
        )
    }

    private func surface(_ failure: AttemptFailure) {
        call.settleNothing()
        let error = GatewayError(
            .upstreamError,
            failure.message,
            retryAfterSeconds: failure.retryAfterSeconds,
            status: failure.status
        )
        call.trace.error = error
        CallerErrors.answer(call.exchange, error, requestID: call.requestID)
    }

    // MARK: One attempt

    private func open(_ attempt: inout Attempt, isStream: Bool) async throws -> Opening {
        guard let request = try await request(for: &attempt) else {
            return .outcome(.failed(attempt.lacksToken ? .noToken : .noCredentials))
        }
        noteOverhead()
        let canceller = FetchCanceller()
        call.exchange.onCallerGone = { canceller.cancel() }
        // Gone while a slot was awaited: nobody would call that.
        guard !call.exchange.isCallerGone else { return .outcome(callerLeft()) }
        do {
            let response = try await context.send(request, from: attempt.account, canceller)
            context.windows.sample(response.head, attempt.account)
            guard (200..<300).contains(response.head.status) else {
                // An extra that is refused says nothing of the account.
                guard !attempt.mayEstimate else { return .outcome(.failed(.unreadable)) }
                return .outcome(try await refused(response, attempt))
            }
            call.didGetHead()
            // The other form than was asked for would reach the caller as nothing it can read.
            let comesAsStream = isStream || attempt.form.isAlwaysStream
            guard attempt.form.isStream(response.head.headers) == comesAsStream else {
                return .outcome(.failed(.unreadable))
            }
            guard isStream else { return .outcome(try await deliver(response, attempt)) }
            // Identity was asked for; events cannot be told apart in anything else.
            guard contentEncoding(of: response) == nil else { return .outcome(.failed(.unreadable)) }
            return .stream(pump(response, attempt))
        } catch let error as FetchError {
            return .outcome(call.exchange.isCallerGone ? callerLeft() : .failed(FailedAttempt(error)))
        } catch {
            return .outcome(.failed(.unreadable))
        }
    }

    private func callerLeft() -> Outcome {
        call.settleNothing()
        return .done
    }

    private func noteOverhead() {
        guard call.askedUpstreamAt == nil else { return }
        let now = MonotonicTime.now
        call.askedUpstreamAt = now
        context.metrics.overhead.record(microseconds: (now - call.exchange.startedAt).wholeMicroseconds)
    }

    /// Nil when the account lacks a credential.
    ///
    /// - Throws: `GatewayError` when the account may not be asked this.
    private func request(for attempt: inout Attempt) async throws -> FetchRequest? {
        let account = attempt.account
        let opened = await context.tokens.usable(
            of: account.id,
            account.snapshot.type,
            now: now,
            within: machine.timeLeft(now: .now)
        )
        guard let opened else {
            attempt.lacksToken = context.credentials.version(of: account.id) != nil
            return nil
        }
        attempt.credentialVersion = opened.secretsVersion
        let upstreamCall = UpstreamCall(
            dialect: attempt.dialect,
            action: call.route.action,
            isStream: call.isStreaming,
            model: attempt.upstreamModel,
            body: attempt.isNative ? call.body : try await translation.body(for: attempt),
            callerHeaders: call.exchange.request.headers,
            callerQuery: call.exchange.request.query,
            isTranslated: !attempt.isNative,
            usesCredits: call.grant?.usesCredits ?? false,
            secrets: opened.fields,
            now: Timestamp(microseconds: WallClock.microseconds)
        )
        let written = AttemptRequest(provider: account.provider, call: upstreamCall, changes: changes(for: attempt))
        let request = written.isLong ? try await written.write(off: context.loop) : try written.write()
        guard let request else { return nil }
        attempt.form = request.form
        return FetchRequest(
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
        let error = provider.error(body, response.head.headers, in: attempt.dialect, context.parser)
        let answer = UpstreamAnswer(status: status, headers: response.head.headers, body: body, context.parser)
        let verdict = await call.judge(.refused(answer), attempt)
        guard verdict.request == .passThrough else {
            return .failed(FailedAttempt(failure(status, verdict, response.head.headers), .judged(verdict)))
        }
        context.metrics.verdict(verdict.reason.rawValue)
        call.trace.failed(verdict: verdict.reason.rawValue, status: status, [])
        call.settleNothing()
        // A page of some proxy on the way is not for the caller: it would name hosts, in no shape of the dialect.
        guard let error, error.isForCallers, !call.exchange.isResponseStarted else {
            let refusal = refusal(error, status, attempt)
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
        let received = try await collect(response, limit: Self.answerLimit)
        guard let (opened, answer) = await open(received, attempt) else { return .failed(.unreadable) }
        var body = opened
        guard !answer.isError else { return .failed(.errorWithin(body, response.head.headers)) }
        if call.exchange.isCallerGone {
            call.settleNothing()
            return .done
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
        if attempt.isNative, let id = answer.id {
            call.bind(response: id, to: attempt.account.id)
        }
        context.metrics.successes.add()
        call.noteSuccess(response.head.headers, attempt)
        call.firstContentAt = .now
        let usage = answer.hasUsage ? answer.usage : await estimatedUsage(ofBytes: received.count)
        call.settle(
            usage: usage,
            isEstimated: !answer.hasUsage,
            end: .complete,
            status: response.head.status,
            upstreamModel: attempt.upstreamModel
        )
        guard attempt.isNative, !attempt.mayEstimate else {
            respond(response.head.status, body)
            return .done
        }
        var headers = AnswerHeaders.forCaller(response.head.headers, requestID: call.requestID)
        if attempt.form.isAlwaysStream { headers.set("content-type", "application/json") }
        call.exchange.respond(HTTPResponseHead(status: response.head.status, headers: headers), body: body)
        return .done
    }

    /// What a whole answer amounts to that does not say. Vectors are no text: of them the request counts.
    private func estimatedUsage(ofBytes count: Int) async -> TokenUsage {
        guard call.route.action == .embed else { return WholeAnswer.estimatedUsage(ofBytes: count) }
        return TokenUsage(input: await estimatedInput())
    }

    /// What the upstream's body holds, and what it says; nil when it is no answer. A long one is read off the loop, or
    /// every stream on it would stutter.
    private func open(_ received: [UInt8], _ attempt: Attempt) async -> (body: [UInt8], WholeAnswer)? {
        let (form, wire) = (attempt.form, attempt.dialect.wire)
        @Sendable func read(_ parser: JSONParser) -> (body: [UInt8], WholeAnswer)? {
            guard let body = form.whole(received, parser) else { return nil }
            return wire.answer(body, parser).map { (body, $0) }
        }
        guard received.count > WorkerContext.inlineLimit else { return read(context.parser) }
        return await context.loop.offload { read(JSONParser()) }
    }

    private func pump(_ response: FetchResponse, _ attempt: Attempt) -> StreamPump {
        let meter = attempt.isNative ? nil : translation.meter(for: attempt)
        return StreamPump(call, response, attempt, translating: meter)
    }

    /// Where no upstream counts.
    private func answerEstimate() async {
        respond(200, TokenCounts.body(await estimatedInput(), in: call.route.dialect))
    }

    private func estimatedInput() async -> Int64 {
        let body = call.body
        guard body.count > WorkerContext.inlineLimit else { return TokenEstimate.count(ofRequest: body) }
        return await context.loop.offload { TokenEstimate.count(ofRequest: body) }
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
