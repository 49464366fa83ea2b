package import Domain

/// What a loop has learned of an account's flags, so that an account that would refuse is not asked for each call.
///
/// Redis has the truth. A hint ends with its flag, and after a while anyway: the flag may have been cleared, and what
/// was said about that got lost.
package struct AccountHints: Hashable, Sendable {
    /// So long an account is not asked again, whatever its flags say.
    package static let lifetime = Duration.seconds(30)
    /// The same for errors: they have no end of their own, and recovering an account should show at once.
    package static let errorLifetime = Duration.seconds(5)

    /// The same for quotas: an admin may reset or raise them.
    package static let quotaLifetime = Duration.seconds(2)

    private static let maximumModels = 256

    private struct Hint: Hashable {
        var reason: SkipReason
        var until: Timestamp
    }

    /// Of the account, whatever the model.
    private var whole: Hint?
    private var models: [String: Hint] = [:]

    package init() {}

    package var hasModels: Bool { !models.isEmpty }

    /// Until when it is of no use to ask the account, whatever the model.
    package func blockedUntil(takesCredits: Bool = false) -> Timestamp? {
        guard let whole, takesCredits, whole.reason.isPayable else { return whole?.until }
        return models[AccountEffect.credits].map { min($0.until, whole.until) }
    }

    package mutating func learn(_ flag: AccountFlag, now: Timestamp) {
        let longest = now + (flag.kind == .error ? Self.errorLifetime : Self.lifetime)
        let end = min(flag.until ?? longest, longest)
        guard end > now else { return }
        let hint = Hint(reason: .flagged(flag), until: end)
        if case .modelLimited(let model) = flag.kind {
            models = models.filter { $0.value.until > now }
            // Callers name models as they like; Redis is asked about those that have no room here.
            guard models.count < Self.maximumModels || models[model] != nil else { return }
            if models[model].map({ $0.until < end }) ?? true { models[model] = hint }
        } else {
            learn(hint, now)
        }
    }

    /// So many calls a minute have been made.
    package mutating func learnRate(until end: Timestamp, now: Timestamp) {
        learn(Hint(reason: .requestRate(until: end), until: min(end, now + Self.lifetime)), now)
    }

    /// What may be spent through it is spent.
    package mutating func learnQuota(_ kind: AccountQuota.Kind, until end: Timestamp?, now: Timestamp) {
        let longest = now + Self.quotaLifetime
        learn(Hint(reason: .quota(kind, until: end), until: min(end ?? longest, longest)), now)
    }

    private mutating func learn(_ hint: Hint, _ now: Timestamp) {
        guard hint.until > now else { return }
        if let whole, whole.until > hint.until { return }
        whole = hint
    }

    /// Why a call to this model would be refused; nil when nothing is known.
    ///
    /// - Parameter takesCredits: whether what is beyond the plan may be paid with AI credits.
    package func skipReason(_ model: String, takesCredits: Bool = false, now: Timestamp) -> SkipReason? {
        let pays = takesCredits && models[AccountEffect.credits].map { $0.until <= now } ?? true
        if let whole, whole.until > now, !(pays && whole.reason.isPayable) { return whole.reason }
        if let hint = models[model], hint.until > now, !(pays && hint.reason.isPayable) { return hint.reason }
        return nil
    }
}
