package import Domain

/// Why an account was not asked.
package enum SkipReason: Hashable, Sendable {
    // What the configuration says.
    case inactive, unschedulable, expired
    /// It does not serve the model.
    case model
    /// Its upstream has nothing for such a call.
    case dialect

    // What this call says.
    /// It goes on from an answer of another account.
    case bound
    /// It was asked already.
    case tried

    // What the moment says.
    case flagged(AccountFlag)
    case full
    /// So many calls a minute and no more.
    case requestRate(until: Timestamp)
    /// Its pause has just ended: calls are let in one by one.
    case halfOpen
    /// What may be spent through it is spent; without an end until somebody resets or raises it.
    case quota(AccountQuota.Kind, until: Timestamp?)

    /// Whether it is only a matter of waiting for another call's end.
    package var isForSlots: Bool {
        switch self {
        case .full, .halfOpen: true
        default: false
        }
    }

    /// Whether calls can be paid with AI credits meanwhile.
    package var isPayable: Bool { if case .flagged(let flag) = self { flag.isPayable } else { false } }

    /// When it ends, where that is known.
    package var until: Timestamp? {
        switch self {
        case .flagged(let flag): flag.until
        case .requestRate(let end): end
        case .quota(_, let end): end
        default: nil
        }
    }

    private static let quotaWords = Dictionary(
        uniqueKeysWithValues: AccountQuota.Kind.allCases.map { ($0, "quota_" + $0.rawValue) }
    )

    /// A constant word for traces and metrics.
    package var word: String {
        switch self {
        case .inactive: "inactive"
        case .unschedulable: "unschedulable"
        case .expired: "expired"
        case .model: "model_not_served"
        case .dialect: "dialect_not_served"
        case .bound: "bound_elsewhere"
        case .tried: "tried"
        case .flagged(let flag): flag.kind.word
        case .full: "full"
        case .requestRate: "rpm"
        case .halfOpen: "half_open"
        case .quota(let kind, _): Self.quotaWords[kind] ?? ""
        }
    }
}

package struct SkippedAccount: Hashable, Sendable {
    package var account: AccountID
    package var reason: SkipReason

    package init(_ account: AccountID, _ reason: SkipReason) {
        self.account = account
        self.reason = reason
    }
}
