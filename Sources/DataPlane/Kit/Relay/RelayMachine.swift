package import Domain
package import Reactor

/// Why an attempt failed, and what a caller may be told of it if no other one succeeds.
package struct AttemptFailure: Hashable, Sendable {
    /// A short constant name for logs and metrics.
    package var reason: String
    /// The status for the caller.
    package var status: Int
    package var message: String
    package var retryAfterSeconds: Int?
    /// The higher, the more it helps the caller to know.
    package var usefulness: Int
    /// The upstream surely did nothing: not counted as a switch.
    package var isFree: Bool

    package init(
        reason: String,
        status: Int,
        message: String,
        retryAfterSeconds: Int? = nil,
        usefulness: Int,
        isFree: Bool = false
    ) {
        self.reason = reason
        self.status = status
        self.message = message
        self.retryAfterSeconds = retryAfterSeconds
        self.usefulness = usefulness
        self.isFree = isFree
    }
}

/// Decides which account a call tries next, and when to stop.
///
/// It never retries once content went out: the caller has seen half an answer, and a second half from another account
/// would not fit.
package struct RelayMachine {
    package enum NoCandidateAction: Equatable, Sendable {
        /// Only slots are lacking: wait for one, then ask again.
        case waitForSlot
        case surface(AttemptFailure)
        case refuseNoAccount
        case refuseBusy
    }
    package enum FailureAction: Equatable, Sendable {
        case tryNext
        /// The same account once more, so long from now.
        case retryHere(after: Duration)
        case surface(AttemptFailure)
    }

    private let maximumSwitches: Int
    private let deadline: MonotonicTime
    private let slotDeadline: MonotonicTime
    /// A few at most: looked through faster than hashed.
    private var tried: [AccountID] = []
    private var full: Set<AccountID> = []
    /// Flagged, when they were last asked.
    private var flagged: Set<AccountID> = []
    private var switches = 0
    /// Retries of the account that was attempted last.
    package private(set) var retriesDone = 0
    private var mostUseful: AttemptFailure?

    /// - Parameters:
    ///   - deadline: after it no further account is tried.
    ///   - slotDeadline: until then the call waits for a slot.
    package init(maximumSwitches: Int, deadline: MonotonicTime, slotDeadline: MonotonicTime) {
        self.maximumSwitches = maximumSwitches
        self.deadline = deadline
        self.slotDeadline = slotDeadline
    }

    package var attempts: Int { tried.count }

    package func isExcluded(_ account: AccountID) -> Bool {
        tried.contains(account) || full.contains(account) || flagged.contains(account)
    }

    /// Whether there is any account that the call should not go to.
    package var hasExclusions: Bool { !(tried.isEmpty && full.isEmpty && flagged.isEmpty) }

    package func hasTried(_ account: AccountID) -> Bool { tried.contains(account) }

    package func isFull(_ account: AccountID) -> Bool { full.contains(account) }

    package mutating func attempting(_ account: AccountID) {
        if !tried.contains(account) { tried.append(account) }
        retriesDone = 0
    }

    /// It cannot be asked such a call.
    package mutating func passOver(_ account: AccountID) {
        if !tried.contains(account) { tried.append(account) }
        full.remove(account)
    }

    /// Whether only slots are lacking somewhere.
    package var hasFull: Bool { !full.isEmpty }

    package mutating func slotRefused(_ account: AccountID) { full.insert(account) }

    package mutating func flagRefused(_ account: AccountID) { flagged.insert(account) }

    /// A slot may have become free: full accounts are candidates again. Flags may have ended as well.
    package mutating func slotsChanged() {
        full = []
        flagged = []
    }

    package func noCandidate(now: MonotonicTime) -> NoCandidateAction {
        if !full.isEmpty, now < slotDeadline, now < deadline { return .waitForSlot }
        if let mostUseful { return .surface(mostUseful) }
        return full.isEmpty ? .refuseNoAccount : .refuseBusy
    }

    /// Until no account is tried any more.
    package func timeLeft(now: MonotonicTime) -> Duration { max(deadline - now, .zero) }

    /// Until then a call waits for a slot.
    package var waitsUntil: MonotonicTime { min(slotDeadline, deadline) }

    /// Whether a retry so long from now would still be in time.
    package func canRetry(after pause: Duration, now: MonotonicTime) -> Bool { now + pause < deadline }

    /// - Parameter retry: how long to wait before the same account is tried again; nil to go on to another one.
    package mutating func attemptFailed(
        _ failure: AttemptFailure,
        retry: Duration? = nil,
        now: MonotonicTime
    ) -> FailureAction {
        let best = mostUseful.map { $0.usefulness >= failure.usefulness ? $0 : failure } ?? failure
        mostUseful = best
        if let retry, canRetry(after: retry, now: now) {
            retriesDone += 1
            return .retryHere(after: retry)
        }
        if !failure.isFree { switches += 1 }
        return switches > maximumSwitches || now >= deadline ? .surface(best) : .tryNext
    }
}
