/// What becomes of an account. Ends are points in time, so that every worker sees the same one.
package enum AccountEffect: Hashable, Sendable {
    /// Off until an admin recovers it or a test call succeeds.
    case error(AccountError)
    /// - isGuessed: the upstream did not say when it ends.
    case rateLimited(until: Timestamp, isGuessed: Bool)
    /// The end is always a guess.
    case overloaded(until: Timestamp)
    /// `temp_unschedulable`; the reason is for admins.
    case paused(until: Timestamp, PauseCause, reason: String)
    /// Only this model, under the account's own name for it; or `AccountEffect.credits`.
    case modelLimited(String, until: Timestamp)
    /// The cached token of this version is not to be used again.
    case invalidateToken(version: Int64)
    /// This 401 counts; until then others to the same version are the same one.
    case countUnauthorized(version: Int64, pausedUntil: Timestamp)
    /// This 403 counts until then.
    case countForbidden(until: Timestamp)

    /// The name under which an account's AI credits are limited.
    package static let credits = "AICredits"
}

package struct AccountError: Hashable, Sendable {
    /// At most 512 characters, without secrets.
    package var message: String
    package var forbiddenType: ForbiddenType?
    /// Where the account's owner can set it right.
    package var validationURL: String?

    package init(_ message: String, _ forbiddenType: ForbiddenType? = nil, validationURL: String? = nil) {
        self.message = message
        self.forbiddenType = forbiddenType
        self.validationURL = validationURL
    }
}

/// What kind of refusal a 403 of Antigravity is.
package enum ForbiddenType: String, Sendable, CaseIterable {
    /// The owner must verify the account.
    case validation
    /// The account is banned.
    case violation
    case forbidden
}

/// Why an account is paused for a while.
package enum PauseCause: String, Sendable, CaseIterable {
    case unauthorized, forbidden
    /// One of the account's own rules.
    case rule
    case invalidProject = "invalid_project"
    case emptyStream = "empty_stream"

    /// Whether the pause's length is a guess.
    package var isGuess: Bool { self == .invalidProject || self == .emptyStream }
}

// MARK: As a Redis hash

extension AccountEffect {
    private enum Kind: String {
        case error, overloaded, paused
        case rateLimited = "rate_limited"
        case modelLimited = "model_limited"
        case invalidateToken = "invalidate_token"
        case countUnauthorized = "count_unauthorized"
        case countForbidden = "count_forbidden"
    }

    /// Names and values; times are microseconds since 1970.
    package var fields: [(name: String, value: String)] {
        func made(_ kind: Kind, _ rest: [(String, String)]) -> [(name: String, value: String)] {
            [(name: "kind", value: kind.rawValue)] + rest.map { (name: $0.0, value: $0.1) }
        }
        func text(_ time: Timestamp) -> String { String(time.microseconds) }
        return switch self {
        case .error(let error):
            made(
                .error,
                [("message", error.message)] + (error.forbiddenType.map { [("forbidden_type", $0.rawValue)] } ?? [])
                    + (error.validationURL.map { [("validation_url", $0)] } ?? [])
            )
        case .rateLimited(let end, let isGuessed):
            made(.rateLimited, [("until", text(end)), ("guessed", isGuessed ? "1" : "0")])
        case .overloaded(let end): made(.overloaded, [("until", text(end))])
        case .paused(let end, let cause, let reason):
            made(.paused, [("until", text(end)), ("cause", cause.rawValue), ("reason", reason)])
        case .modelLimited(let model, let end): made(.modelLimited, [("model", model), ("until", text(end))])
        case .invalidateToken(let version): made(.invalidateToken, [("version", String(version))])
        case .countUnauthorized(let version, let end):
            made(.countUnauthorized, [("version", String(version)), ("until", text(end))])
        case .countForbidden(let end): made(.countForbidden, [("until", text(end))])
        }
    }

    /// Nil for what `fields` never makes; names that it does not know are passed over.
    package init?(fields: [String: String]) {
        func time() -> Timestamp? { fields["until"].flatMap { Int64($0) }.map { Timestamp(microseconds: $0) } }
        func version() -> Int64? { fields["version"].flatMap { Int64($0) } }
        switch fields["kind"].flatMap(Kind.init) {
        case .error:
            guard let message = fields["message"] else { return nil }
            let type = fields["forbidden_type"].flatMap(ForbiddenType.init)
            self = .error(AccountError(message, type, validationURL: fields["validation_url"]))
        case .rateLimited:
            guard let end = time() else { return nil }
            self = .rateLimited(until: end, isGuessed: fields["guessed"] == "1")
        case .overloaded:
            guard let end = time() else { return nil }
            self = .overloaded(until: end)
        case .paused:
            guard let end = time(), let cause = fields["cause"].flatMap(PauseCause.init) else { return nil }
            self = .paused(until: end, cause, reason: fields["reason"] ?? "")
        case .modelLimited:
            guard let end = time(), let model = fields["model"] else { return nil }
            self = .modelLimited(model, until: end)
        case .invalidateToken:
            guard let version = version() else { return nil }
            self = .invalidateToken(version: version)
        case .countUnauthorized:
            guard let version = version(), let end = time() else { return nil }
            self = .countUnauthorized(version: version, pausedUntil: end)
        case .countForbidden:
            guard let end = time() else { return nil }
            self = .countForbidden(until: end)
        case nil: return nil
        }
    }
}
