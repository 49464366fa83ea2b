package import Domain

/// How a call is paid on an account whose plan may be used up.
package enum Overages {
    package enum Payment: Hashable, Sendable {
        /// By the plan: nothing is used up.
        case plan
        /// By the account's AI credits; the call says so from the start.
        case credits
        /// Not at all before then.
        case none(until: Timestamp)
    }

    /// Decides how a call would be paid now.
    ///
    /// - Parameters:
    ///   - limits: the ends of all that is used up of what the call needs: the asked model's limit, the whole account's.
    ///   - allowsOverages: whether calls beyond a limit may cost credits: the account's owner allows it, and its upstream
    ///     takes them.
    ///   - creditsLimit: until when the credits count as exhausted (the limit named `AccountEffect.credits`).
    package static func payment(
        limits: [Timestamp],
        allowsOverages: Bool,
        creditsLimit: Timestamp?,
        now: Timestamp
    ) -> Payment {
        guard let end = limits.filter({ $0 > now }).max() else { return .plan }
        guard allowsOverages else { return .none(until: end) }
        guard let creditsLimit, creditsLimit > now else { return .credits }
        // It can go on when either is there again.
        return .none(until: min(end, creditsLimit))
    }
}

/// How an account stands with its AI credits, as admins see it.
package enum CreditsState: String, Hashable, Sendable, CaseIterable {
    /// Something of the plan is used up, and calls are paid with credits.
    case active = "credits_active"
    case exhausted = "credits_exhausted"

    /// Nil where credits play no part now.
    ///
    /// - Parameter flags: the account's, those that last.
    package init?(allowsOverages: Bool, flags: [AccountFlag]) {
        guard allowsOverages else { return nil }
        if flags.contains(where: { $0.kind == .modelLimited(AccountEffect.credits) }) {
            self = .exhausted
        } else if flags.contains(where: \.isPayable) {
            self = .active
        } else {
            return nil
        }
    }
}
