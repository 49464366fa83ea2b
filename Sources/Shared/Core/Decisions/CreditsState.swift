package import Domain

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
