import Domain
import HTTPMessages

/// A platform's own rows of the verdict table. What it does not say itself means the same everywhere.
protocol VerdictRows: Sendable {
    /// A 401.
    func unauthorized(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict
    /// A 403.
    func forbidden(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict
    /// Rows that only this platform has; nil when none of them is meant.
    func own(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict?
    /// Whether a 404 says that the model is not there.
    func isModelMissing(_ answer: UpstreamAnswer) -> Bool
    /// The ends that a 429 states, `retry-after` apart.
    func limits(_ answer: UpstreamAnswer, _ context: VerdictContext, _ reader: inout ResetReader) -> StatedLimits
    /// What a head says of the account's windows.
    func windows(_ headers: HeaderFields, _ reader: inout ResetReader) -> AccountWindows
    /// Which flags a success disproves.
    func disproved(by headers: HeaderFields, _ context: VerdictContext) -> ClearedFlags
}

/// When the limits end that a 429 speaks of.
struct StatedLimits: Hashable {
    /// The account's.
    var account: Timestamp?
    /// The asked model's alone.
    var model: Timestamp?

    var isEmpty: Bool { account == nil && model == nil }
}

extension VerdictRows {
    func unauthorized(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict {
        CredentialRows.unauthorized(answer, context)
    }

    func forbidden(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict {
        if answer.isHTML { return UpstreamVerdict(.failover, .proxyPage) }
        return .error(.forbidden, answer)
    }

    func own(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict? { nil }

    func limits(_ answer: UpstreamAnswer, _ context: VerdictContext, _ reader: inout ResetReader) -> StatedLimits {
        StatedLimits()
    }

    func windows(_ headers: HeaderFields, _ reader: inout ResetReader) -> AccountWindows { AccountWindows() }

    func disproved(by headers: HeaderFields, _ context: VerdictContext) -> ClearedFlags { .bySuccess(context) }
}

extension ClearedFlags {
    /// What any success disproves. One that was paid with credits says nothing of the plan's own limits.
    static func bySuccess(_ context: VerdictContext) -> ClearedFlags {
        ClearedFlags(
            rateLimited: !context.carriedCredits,
            overloaded: true,
            pauses: Set(PauseCause.allCases).subtracting([.rule]),
            models: [context.carriedCredits ? AccountEffect.credits : context.model],
            unauthorized: true
        )
    }
}

extension UpstreamVerdict {
    /// The account is off until somebody sees to it; another one may do better.
    static func error(_ reason: VerdictReason, _ answer: UpstreamAnswer) -> UpstreamVerdict {
        UpstreamVerdict(.failover, reason, [.error(AccountError(ErrorText.kept(answer)))])
    }
}
