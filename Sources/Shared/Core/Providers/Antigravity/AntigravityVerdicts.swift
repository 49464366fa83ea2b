import Domain

/// What an answer of Antigravity means, for logins and for keys.
struct AntigravityVerdicts: VerdictRows {
    private let google = GoogleVerdicts()
    /// With a key its Claude models answer in Anthropic's shape.
    private let anthropic = AnthropicVerdicts()

    /// The account's own rules decide, as often as they match.
    func unauthorized(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict {
        OwnRules.verdict(answer, context) ?? .error(.credentialRejected, answer)
    }

    func forbidden(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict {
        let refusal = AntigravityForbidden(answer)
        let error = AccountError(
            ErrorText.kept(answer, url: refusal.url),
            refusal.type,
            validationURL: refusal.url
        )
        let reason: VerdictReason =
            switch refusal.type {
            case .validation: .validationRequired
            case .violation: .termsViolated
            case .forbidden: .forbidden
            }
        return UpstreamVerdict(.failover, reason, [.error(error)])
    }

    func own(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict? { google.own(answer, context) }

    func isModelMissing(_ answer: UpstreamAnswer) -> Bool {
        google.isModelMissing(answer) || anthropic.isModelMissing(answer)
    }

    func limits(_ answer: UpstreamAnswer, _ context: VerdictContext, _ reader: inout ResetReader) -> StatedLimits {
        let limits = google.limits(answer, context, &reader)
        return limits.isEmpty ? anthropic.limits(answer, context, &reader) : limits
    }
}
