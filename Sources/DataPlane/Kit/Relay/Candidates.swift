import Decisions
package import Domain
import Snapshots

/// The accounts that one call can go to, and why it did not go to the others.
package struct Candidates {
    private let set: CandidateSet
    private let board: SlotStore.Board
    /// The one account that can go on from an earlier answer.
    private let bound: AccountID?

    package init(_ set: CandidateSet, _ board: SlotStore.Board, bound: AccountID?) {
        self.set = set
        self.board = board
        self.bound = bound
    }

    /// Those that could serve such calls, whatever state they are in.
    var all: [Candidate] { self.set.candidates }

    /// Whether there is none that could serve the call, whatever happens.
    package func isEmpty(now: Timestamp) -> Bool {
        !set.scheduled.contains { $0.usableUntil > now.microseconds && bound.map { [id = $0.id] in $0 == id } ?? true }
    }

    /// The best one that can be asked now.
    ///
    /// - Parameters:
    ///   - isSelective: whether this call knows anything itself.
    ///   - isExcluded: what it knows.
    package func best(
        now: Timestamp,
        chance: UInt64,
        isSelective: Bool = true,
        excluding isExcluded: (AccountID) -> Bool
    ) -> Candidate? {
        if let bound {
            guard !isExcluded(bound), let candidate = candidate(bound), skipReason(candidate, now: now) == nil else {
                return nil
            }
            return candidate
        }
        return Scheduler.best(
            set.scheduled,
            board.states,
            now: now.microseconds,
            chance: chance,
            isSelective: isSelective,
            excluding: { index in
                let candidate = set.candidates[index]
                if candidate.slots.isLimited(candidate.model, now: now) { return true }
                return isExcluded(set.scheduled[index].id)
            }
        ).map { set.candidates[$0] }
    }

    /// The one to try out where all are paused by guesses.
    package func guarded(now: Timestamp, tried: (AccountID) -> Bool) -> Candidate? {
        var paused: [BrownOutGuard.Paused] = []
        var found: [Candidate] = []
        for candidate in set.candidates {
            switch skipReason(candidate, now: now) {
            case .flagged(let flag):
                paused.append(BrownOutGuard.Paused(flag, isTried: tried(candidate.account.id)))
                found.append(candidate)
            // It is not one of those that could serve the call.
            case .bound, .expired, .quota: continue
            default: return nil
            }
        }
        return BrownOutGuard.choice(paused, now: now).map { found[$0] }
    }

    /// How many accounts the group has.
    var count: Int { self.set.candidates.count + self.set.unfit.count }

    /// How the accounts stand, those first that could serve the call, by priority.
    func standing(_ limit: Int, now: Timestamp) -> [CallTrace.Candidate] {
        var found: [CallTrace.Candidate] = []
        found.reserveCapacity(min(limit, count))
        for candidate in set.candidates.prefix(limit) {
            found.append(
                CallTrace.Candidate(
                    account: candidate.account.id,
                    standing: (candidate.account.snapshot.priority, board.states[candidate.slots.position].inFlight),
                    reason: skipReason(candidate, now: now)
                )
            )
        }
        for unfit in set.unfit.prefix(limit - found.count) {
            found.append(CallTrace.Candidate(account: unfit.account, standing: nil, reason: unfit.reason))
        }
        return found
    }

    package func candidate(_ account: AccountID) -> Candidate? {
        set.candidates.first { $0.account.id == account }
    }

    /// Why this one cannot be asked now, as far as is known without asking Redis; nil when nothing speaks against it.
    package func skipReason(_ candidate: Candidate, now: Timestamp) -> SkipReason? {
        if let bound, bound != candidate.account.id { return .bound }
        if let end = candidate.account.snapshot.expiresAt, end <= now { return .expired }
        return candidate.slots.skipReason(candidate.model, now: now)
    }

    /// All accounts of the group that cannot be asked now.
    package func skipped(now: Timestamp) -> [SkippedAccount] {
        set.unfit
            + set.candidates.compactMap { candidate in
                skipReason(candidate, now: now).map { SkippedAccount(candidate.account.id, $0) }
            }
    }
}
