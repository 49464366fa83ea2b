import Domain
import Reactor

/// What was decided for one call, and why: for admins, kept for a day. No text of the call is in it.
struct CallTrace {
    /// An account of the group as it stood when the call first chose.
    struct Candidate {
        let account: AccountID
        /// Nil for one that cannot serve such a call.
        let standing: (priority: Int, inFlight: Int)?
        let reason: SkipReason?
    }

    /// An account that was chosen and had no place for the call.
    struct Refusal {
        let account: AccountID
        let reason: SkipReason
        let at: MonotonicTime
    }

    struct Attempt {
        let account: AccountID
        let model: String
        let entry: SlotGrant.Entry
        /// Whether the session was bound to it.
        let isSticky: Bool
        let startedAt: MonotonicTime
        /// Of these none for the one that answered.
        var endedAt: MonotonicTime?
        var verdict: String?
        var status: Int?
        var effects: [AccountEffect] = []
    }

    /// Apart from the rest: a call is under way for long before it has one, and is kept smaller for it.
    final class Bill {
        let status: Int
        let end: UsageEnd
        let cost: NanoUSD
        let multiplier: Multiplier
        let accountMultiplier: Multiplier
        let isEstimated: Bool
        let usage: TokenUsage

        init(_ record: borrowing UsageRecord) {
            status = record.status
            end = record.end
            cost = record.cost
            multiplier = record.multiplier
            accountMultiplier = record.accountMultiplier
            isEstimated = record.isEstimated
            usage = record.usage
        }
    }

    /// Entries of each list; further ones are counted.
    static let longestList = 32

    private(set) var candidates: [Candidate] = []
    private(set) var omittedCandidates = 0
    private(set) var refusals: [Refusal] = []
    private(set) var omittedRefusals = 0
    private(set) var attempts: [Attempt] = []
    private(set) var omittedAttempts = 0
    private(set) var admittedAt: MonotonicTime?
    private(set) var waitedForCaller = Duration.zero
    private(set) var waitedForAccount = Duration.zero
    /// What it was billed; nil when it was not.
    private(set) var bill: Bill?
    /// What the caller got instead of an answer.
    var error: GatewayError?

    mutating func admitted(at time: MonotonicTime, waited: Duration) {
        admittedAt = time
        waitedForCaller = waited
    }

    mutating func billed(_ record: borrowing UsageRecord) { bill = Bill(record) }

    mutating func waitedForAccount(_ duration: Duration) { waitedForAccount += duration }

    /// The accounts as they stand when the call chooses first.
    mutating func saw(_ candidates: Candidates, now: Timestamp) {
        guard self.candidates.isEmpty else { return }
        omittedCandidates = max(0, candidates.count - Self.longestList)
        self.candidates = candidates.standing(Self.longestList, now: now)
    }

    mutating func refused(_ account: AccountID, _ reason: SkipReason) {
        guard refusals.count < Self.longestList else {
            omittedRefusals += 1
            return
        }
        refusals.append(Refusal(account: account, reason: reason, at: .now))
    }

    mutating func began(_ account: AccountID, model: String, _ entry: SlotGrant.Entry, isSticky: Bool) {
        guard attempts.count < Self.longestList else {
            omittedAttempts += 1
            return
        }
        attempts.append(
            Attempt(account: account, model: model, entry: entry, isSticky: isSticky, startedAt: .now)
        )
    }

    /// The last attempt has failed.
    mutating func failed(verdict: String, status: Int, _ effects: [AccountEffect]) {
        guard omittedAttempts == 0, let last = attempts.indices.last, attempts[last].endedAt == nil else { return }
        attempts[last].endedAt = .now
        attempts[last].verdict = verdict
        attempts[last].status = status
        attempts[last].effects = effects
    }
}
