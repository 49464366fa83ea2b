/// What an upstream's answer means for the call, and for the account that was asked.
package struct UpstreamVerdict: Hashable, Sendable {
    /// What becomes of the call.
    package enum RequestEffect: Hashable, Sendable {
        /// The answer goes to the caller.
        case deliver
        /// The caller's own fault: the answer goes to the caller, no other account is tried.
        case passThrough
        /// Another account may do better.
        case failover
        /// The same account once more, up to so many times and so long after the refusal; then another one.
        case retryHere(limit: Int, after: Duration)
    }

    package var request: RequestEffect
    /// What it does to the account, in this order. With `retryHere` see `resolved`.
    package var effects: [AccountEffect]
    /// What a success disproves.
    package var clears: ClearedFlags
    package var reason: VerdictReason
    /// What was said of times and could not be used: worth a warning.
    package var ignored: [IgnoredValue]

    package init(
        _ request: RequestEffect,
        _ reason: VerdictReason,
        _ effects: [AccountEffect] = [],
        clears: ClearedFlags = ClearedFlags(),
        ignored: [IgnoredValue] = []
    ) {
        self.request = request
        self.reason = reason
        self.effects = effects
        self.clears = clears
        self.ignored = ignored
    }

    package static let success = UpstreamVerdict(.deliver, .success)

    /// What it means after so many retries on this account.
    ///
    /// - Returns: the retry, with no more than what must happen before it; or, when the retries are used up, the switch
    ///   to another account with all effects. Other verdicts stay as they are.
    package func resolved(retriesDone: Int) -> UpstreamVerdict {
        guard case .retryHere(let limit, _) = request else { return self }
        var verdict = self
        if retriesDone < limit {
            verdict.effects = effects.filter { if case .invalidateToken = $0 { true } else { false } }
        } else {
            verdict.request = .failover
        }
        return verdict
    }

    /// The same for an account whose state must stay as it is. A cached token is no state of it.
    package var withoutMarks: UpstreamVerdict {
        var verdict = self
        verdict.effects = effects.filter { if case .invalidateToken = $0 { true } else { false } }
        return verdict
    }
}

/// What a success disproves: of these only flags that were set before the call began.
package struct ClearedFlags: Hashable, Sendable {
    package var rateLimited: Bool
    package var overloaded: Bool
    /// Pauses for these causes; an account's own rule is not disproved by a success.
    package var pauses: Set<PauseCause>
    /// Limits of models under these names.
    package var models: [String]
    /// Whether the credentials' 401s are forgotten.
    package var unauthorized: Bool

    package init(
        rateLimited: Bool = false,
        overloaded: Bool = false,
        pauses: Set<PauseCause> = [],
        models: [String] = [],
        unauthorized: Bool = false
    ) {
        self.rateLimited = rateLimited
        self.overloaded = overloaded
        self.pauses = pauses
        self.models = models
        self.unauthorized = unauthorized
    }

    package var isEmpty: Bool { self == ClearedFlags() }
}

/// Something an upstream said that makes no sense and was passed over.
package struct IgnoredValue: Hashable, Sendable {
    package enum Fault: String, Sendable {
        case unreadable, negative
        case tooFar = "too_far"
    }
    /// The header's or member's name.
    package var field: String
    /// As it stood, at most 64 characters of printable ASCII.
    package var value: String
    package var fault: Fault

    package init(_ field: String, _ value: String, _ fault: Fault) {
        self.field = field
        self.value = String(
            value.unicodeScalars.prefix(64).map { $0.value >= 0x20 && $0.value < 0x7f ? Character($0) : "?" }
        )
        self.fault = fault
    }
}
