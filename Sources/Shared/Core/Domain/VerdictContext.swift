/// What a verdict depends on beside the answer.
package struct VerdictContext: Sendable {
    package var now: Timestamp
    /// When this attempt was sent.
    package var startedAt: Timestamp
    package var accountType: AccountType
    package var rules: AccountRules
    /// The account's own name of the model that was asked.
    package var model: String
    /// Whether the call could be paid with AI credits.
    package var carriedCredits: Bool
    package var credential: CredentialUse
    package var forbidden: CountedForbidden
    package var cooldowns: CooldownSettings

    package init(
        now: Timestamp,
        startedAt: Timestamp? = nil,
        accountType: AccountType,
        rules: AccountRules = AccountRules(),
        model: String = "",
        carriedCredits: Bool = false,
        credential: CredentialUse = CredentialUse(),
        forbidden: CountedForbidden = CountedForbidden(),
        cooldowns: CooldownSettings = CooldownSettings()
    ) {
        self.now = now
        self.startedAt = startedAt ?? now
        self.accountType = accountType
        self.rules = rules
        self.model = model
        self.carriedCredits = carriedCredits
        self.credential = credential
        self.forbidden = forbidden
        self.cooldowns = cooldowns
    }
}

/// The credentials that a call carried, and what is known of their 401s.
package struct CredentialUse: Hashable, Sendable {
    /// Of the credentials that the call carried.
    package var version: Int64
    /// The newest that is known now.
    package var currentVersion: Int64
    package var hasRefreshToken: Bool
    /// The last 401 that counted; nil when a success has come since.
    package var counted: CountedUnauthorized?

    package init(
        version: Int64 = 0,
        currentVersion: Int64? = nil,
        hasRefreshToken: Bool = true,
        counted: CountedUnauthorized? = nil
    ) {
        self.version = version
        self.currentVersion = currentVersion ?? version
        self.hasRefreshToken = hasRefreshToken
        self.counted = counted
    }
}

package struct CountedUnauthorized: Hashable, Sendable {
    package var version: Int64
    package var pausedUntil: Timestamp

    package init(version: Int64, pausedUntil: Timestamp) {
        self.version = version
        self.pausedUntil = pausedUntil
    }
}

/// The 403s of an OpenAI account within `VerdictContext`'s last 180 minutes.
package struct CountedForbidden: Hashable, Sendable {
    package var count: Int
    /// The end of the last one's pause, while it lasts.
    package var pausedUntil: Timestamp?

    package init(count: Int = 0, pausedUntil: Timestamp? = nil) {
        self.count = count
        self.pausedUntil = pausedUntil
    }
}
