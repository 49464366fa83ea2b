import Domain
package import Reactor

/// What a call does about the account that its session is bound to.
package enum StickyPolicy {
    package enum Step: Equatable, Sendable {
        /// Ask it first.
        case prefer
        /// It is full: wait for it.
        case wait
        /// This call goes elsewhere; the session stays bound.
        case leave
        /// The account cannot serve: the session is free.
        case unbind
    }

    /// What the call knows of the bound account.
    package struct Account: Sendable {
        /// Whether it is in the group, active, schedulable and not expired.
        package var isInService = true
        /// Whether it has this model, in a dialect that there is a way to.
        package var servesCall = true
        /// What speaks against it now, as far as is known here.
        package var skipReason: SkipReason?
        /// Whether this call has tried it and failed.
        package var hasFailed = false
        /// Since when this call knows that it is full.
        package var fullSince: MonotonicTime?

        package init() {}
    }

    package static func step(_ account: Account, patience: Duration, now: MonotonicTime) -> Step {
        guard account.isInService, !account.hasFailed else { return .unbind }
        // Calls of one conversation may ask different models: what one of them cannot have is no fault of the account's.
        guard account.servesCall else { return .leave }
        switch account.skipReason {
        case nil: break
        case .flagged(let flag):
            if case .modelLimited = flag.kind { return .leave }
            return .unbind
        case .inactive, .unschedulable, .expired, .tried, .quota: return .unbind
        // Over in a moment, or no matter of the account's.
        case .model, .dialect, .bound, .full, .requestRate, .halfOpen: return .leave
        }
        guard let fullSince = account.fullSince else { return .prefer }
        return now < fullSince + patience ? .wait : .leave
    }
}
