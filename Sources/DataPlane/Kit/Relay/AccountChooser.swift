import Domain
import HTTPServing
import Reactor
import Snapshots
import Telemetry

/// Finds an account for each attempt of a call, and takes a slot of it: asks the session, the scheduler and Redis.
final class AccountChooser {
    enum Step {
        /// A slot of it is held.
        case attempt(Candidate)
        case wait
        /// Nothing is left to try.
        case surface(AttemptFailure)
        case callerGone
    }

    private let call: Call
    private let context: WorkerContext
    private var machine: RelayMachine
    let candidates: Candidates
    /// While slots are all that is lacking.
    private var wait: AccountWait?
    /// To be tried again, on the slot it has.
    private var retrying: (candidate: Candidate, after: Duration)?
    /// Whether the call has tried out a paused account: once is enough.
    private var hasGuarded = false

    init(_ call: Call) {
        self.call = call
        context = call.context
        let settings = call.config.settings
        let now = MonotonicTime.now
        machine = RelayMachine(
            maximumSwitches: settings.maximumSwitches,
            deadline: now + settings.failoverDeadline,
            slotDeadline: now + settings.queueWait
        )
        candidates = Candidates(
            call.served,
            context.slots.board,
            bound: call.boundAccount
        )
    }

    /// How long another attempt may still take to begin.
    var timeLeft: Duration { machine.timeLeft(now: .now) }
    /// On the same account, so far.
    var retriesDone: Int { machine.retriesDone }
    /// Whether there is an account to try beside the one that has just failed.
    var hasAnother: Bool { choose() != nil }

    /// How long an attempt may wait for its account's token: where another account can take the call, no longer than for
    /// a slot of its own.
    var tokenPatience: Duration { hasAnother ? min(timeLeft, call.config.settings.stickyWait) : timeLeft }

    /// Leaves out an account that cannot be asked such a call, and with it those like it.
    ///
    /// - Returns: whether there is another kind of account to ask.
    func passOver(_ attempt: Attempt) -> Bool {
        func isAlike(_ other: Candidate) -> Bool {
            other.dialect == attempt.dialect && other.model == attempt.upstreamModel
                && other.account.snapshot.type == attempt.account.snapshot.type
        }
        guard timeLeft > .zero, !candidates.all.allSatisfy(isAlike) else { return false }
        for candidate in candidates.all where isAlike(candidate) { machine.passOver(candidate.account.id) }
        return hasAnother || machine.hasFull
    }

    /// Has the account tried again, on the slot it has.
    func retry(_ candidate: Candidate, after delay: Duration) { retrying = (candidate, delay) }

    /// - Parameter retry: after how long the same account may do better; nil where it will not.
    func attemptFailed(_ failure: AttemptFailure, retry: Duration?) -> RelayMachine.FailureAction {
        machine.attemptFailed(failure, retry: retry, now: .now)
    }

    /// What is to be done next, with a slot where there is something to try.
    ///
    /// - Throws: `GatewayError` where no account can be had.
    func next() async throws -> Step {
        if let retry = retrying {
            retrying = nil
            await context.loop.sleep(retry.after)
            if call.exchange.isCallerGone { return .callerGone }
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
            return .surface(failure)
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
        if call.exchange.isCallerGone { return .callerGone }
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

    /// Sleeps until a slot may be free. A call takes its places in the lines by asking once more before it sleeps.
    func waitForSlot() async throws {
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

    func endWait(_ end: WaitMetrics.End, at account: AccountID? = nil) {
        guard let wait else { return }
        call.trace.waitedForAccount(wait.startedAt.elapsed)
        wait.end(end, at: account)
        self.wait = nil
    }

    private var now: Timestamp { .now }

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
}
