/// What keeps an account from being chosen for a while, or until somebody sees to it.
package struct AccountFlag: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        case error
        case rateLimited
        case overloaded
        /// `temp_unschedulable`.
        case paused
        /// This model alone, under the account's own name for it, or `AccountEffect.credits`.
        case modelLimited(String)
    }

    package var kind: Kind
    /// Nil for an error, which does not end by itself.
    package var until: Timestamp?
    /// On Redis' clock.
    package var setAt: Timestamp
    /// Whether the upstream did not say when it ends.
    package var isGuessed: Bool
    /// Of a pause its `PauseCause`, of an error its `ForbiddenType`; empty for none.
    package var cause: String
    package var url: String?
    /// For admins.
    package var reason: String

    package init(
        _ kind: Kind,
        until: Timestamp?,
        setAt: Timestamp,
        isGuessed: Bool = false,
        cause: String = "",
        url: String? = nil,
        reason: String = ""
    ) {
        self.kind = kind
        self.until = until
        self.setAt = setAt
        self.isGuessed = isGuessed
        self.cause = cause
        self.url = url
        self.reason = reason
    }

    package func isLive(_ now: Timestamp) -> Bool { until.map { $0 > now } ?? true }

    /// Whether calls can be paid with AI credits while it lasts: it says that the plan is used up, and until when.
    package var isPayable: Bool {
        switch kind {
        case .rateLimited: !isGuessed
        case .modelLimited(let model):
            model != AccountEffect.credits && cause != VerdictReason.modelNotFound.rawValue
        case .error, .overloaded, .paused: false
        }
    }

    /// The same flag, its cause noted where it is no limit of the plan.
    package func because(_ verdict: VerdictReason) -> AccountFlag {
        guard case .modelLimited = kind, verdict == .modelNotFound else { return self }
        var flag = self
        flag.cause = verdict.rawValue
        return flag
    }

    /// Whether it keeps calls to this model from the account.
    package func concerns(model: String) -> Bool {
        if case .modelLimited(let limited) = kind { limited == model } else { true }
    }

    /// The flag that an effect sets; nil for one that sets none.
    package init?(_ effect: AccountEffect, setAt: Timestamp) {
        switch effect {
        case .error(let error):
            self.init(
                .error,
                until: nil,
                setAt: setAt,
                cause: error.forbiddenType?.rawValue ?? "",
                url: error.validationURL,
                reason: error.message
            )
        case .rateLimited(let end, let isGuessed):
            self.init(.rateLimited, until: end, setAt: setAt, isGuessed: isGuessed)
        case .overloaded(let end): self.init(.overloaded, until: end, setAt: setAt, isGuessed: true)
        case .paused(let end, let cause, let reason):
            self.init(
                .paused,
                until: end,
                setAt: setAt,
                isGuessed: cause.isGuess,
                cause: cause.rawValue,
                reason: reason
            )
        case .modelLimited(let model, let end): self.init(.modelLimited(model), until: end, setAt: setAt)
        case .invalidateToken, .countUnauthorized, .countForbidden: return nil
        }
    }
}

// MARK: As a field of a Redis hash

extension AccountFlag.Kind {
    /// A model's name follows.
    package static let modelPrefix: StaticString = "model:"

    /// The field's name.
    package var field: String {
        switch self {
        case .error: "error"
        case .rateLimited: "rate_limited"
        case .overloaded: "overloaded"
        case .paused: "temp_unschedulable"
        case .modelLimited(let model): "\(Self.modelPrefix)\(model)"
        }
    }

    package init?(field: String) {
        switch field {
        case "error": self = .error
        case "rate_limited": self = .rateLimited
        case "overloaded": self = .overloaded
        case "temp_unschedulable": self = .paused
        default:
            let prefix = Self.modelPrefix.description
            guard field.hasPrefix(prefix) else { return nil }
            self = .modelLimited(String(field.dropFirst(prefix.count)))
        }
    }

    /// A constant word for metrics and traces.
    package var word: String { if case .modelLimited = self { "model_limited" } else { field } }
}

extension AccountFlag {
    /// `end set guessed cause url reason`, times in microseconds since 1970, 0 for no end, `-` for what is not there.
    package var value: String {
        "\(until?.microseconds ?? 0) \(setAt.microseconds) \(valueTail)"
    }

    /// What of the value does not depend on the moment it is written.
    package var valueTail: String {
        "\(isGuessed ? 1 : 0) \(Self.word(cause)) \(Self.word(url ?? "")) \(reason)"
    }

    /// What stands between spaces must have none.
    private static func word(_ text: String) -> String {
        text.isEmpty ? "-" : String(text.unicodeScalars.map { $0 == " " ? "+" : Character($0) })
    }

    /// Nil for what is no flag.
    package init?(field: String, value: String) {
        guard let kind = Kind(field: field) else { return nil }
        let parts = value.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: false)
        guard parts.count >= 5, let end = Int64(parts[0]), let set = Int64(parts[1]) else { return nil }
        self.init(
            kind,
            until: end > 0 ? Timestamp(microseconds: end) : nil,
            setAt: Timestamp(microseconds: set),
            isGuessed: parts[2] == "1",
            cause: parts[3] == "-" ? "" : String(parts[3]),
            url: parts[4] == "-" ? nil : String(parts[4]),
            reason: parts.count > 5 ? String(parts[5]) : ""
        )
    }
}
