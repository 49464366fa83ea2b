/// How much of an account is used, as its upstream says when it is asked.
package struct AccountUsage: Hashable, Sendable {
    package var windows: AccountWindows
    /// What is used of single models, by the upstream's name.
    package var models: [String: UsageWindow]
    /// The upstream's own name of the subscription: `g1-pro-tier`.
    package var tier: String?
    package var credits: [CreditBalance]

    package init(
        windows: AccountWindows = AccountWindows(),
        models: [String: UsageWindow] = [:],
        tier: String? = nil,
        credits: [CreditBalance] = []
    ) {
        self.windows = windows
        self.models = models
        self.tier = tier
        self.credits = credits
    }

    package var isEmpty: Bool { self == AccountUsage() }
}

/// AI credits of one kind that an account has.
package struct CreditBalance: Hashable, Sendable {
    /// The upstream's name of the kind: `GOOGLE_ONE_AI`.
    package var type: String
    /// Nil where the upstream does not say.
    package var amount: Int64?
    /// With less than this a call is not paid.
    package var minimum: Int64?

    package init(type: String, amount: Int64?, minimum: Int64? = nil) {
        self.type = type
        self.amount = amount
        self.minimum = minimum
    }
}

/// Why an upstream did not say how much of an account is used.
package struct UsageFailure: Error, Hashable, Sendable {
    package enum Code: String, Sendable, CaseIterable {
        case forbidden, unauthenticated
        case rateLimited = "rate_limited"
        /// Everything else: no connection, no answer in time, an error of the upstream's, an answer that cannot be read.
        case networkError = "network_error"
    }

    package var code: Code
    /// What kind of refusal it is, where the platform tells.
    package var forbiddenType: ForbiddenType?
    /// Where the account's owner can set it right.
    package var validationURL: String?
    /// For admins: at most 512 characters, without secrets.
    package var message: String

    package init(
        _ code: Code,
        _ message: String,
        forbiddenType: ForbiddenType? = nil,
        validationURL: String? = nil
    ) {
        self.code = code
        self.message = message
        self.forbiddenType = forbiddenType
        self.validationURL = validationURL
    }
}

extension AccountWindows {
    /// These windows with those of a later sample in their place. What the later one does not speak of stays; of a window
    /// it speaks of, what it does not say is not known any more, but an end that is still to come.
    package func updated(with later: AccountWindows, now: Timestamp) -> AccountWindows {
        func merged(_ old: UsageWindow?, _ new: UsageWindow?) -> UsageWindow? {
            guard var window = new else { return old }
            if window.endsAt == nil, let end = old?.endsAt, end > now { window.endsAt = end }
            if window.used == nil, window.endsAt == old?.endsAt { window.used = old?.used }
            return window
        }
        var families = families
        for (name, window) in later.families { families[name] = merged(families[name], window) }
        return AccountWindows(
            fiveHours: merged(fiveHours, later.fiveHours),
            sevenDays: merged(sevenDays, later.sevenDays),
            families: families
        )
    }

    /// Every end of a window.
    package var ends: [Timestamp] {
        ([fiveHours, sevenDays].compactMap { $0 } + families.values).compactMap(\.endsAt)
    }
}
