package import Domain
package import HTTPMessages

/// The order in which the rows of the verdict table count:
/// custom error codes, pool mode, 401, the account's own rules, specific rows, generic rows.
package struct VerdictTable: Sendable {
    private let rows: any VerdictRows

    init(_ rows: any VerdictRows) { self.rows = rows }

    /// How often, and how long after, a call that an account may yet answer is tried there again.
    private static let retries = 2
    static let retryDelay = Duration.milliseconds(500)
    private static let shortPause = Duration.seconds(60)
    private static let missingModelPause = Duration.seconds(30 * 60)
    private static let creditPause = Duration.seconds(5 * 3600)

    /// What an attempt that was no success means. Pure.
    package func verdict(_ outcome: UpstreamAnswer.Outcome, _ context: VerdictContext) -> UpstreamVerdict {
        if !context.rules.customErrorCodes.isEmpty { return customCodes(outcome, context) }
        if context.rules.isPoolMode { return poolMode(outcome, context) }
        guard case .refused(let answer) = outcome else { return withoutAnswer(outcome, context) }
        // Antigravity's own row asks for the rules itself.
        if answer.status == 401 { return rows.unauthorized(answer, context) }
        return OwnRules.verdict(answer, context) ?? specific(answer, context) ?? generic(answer, context)
    }

    /// What a success disproves. Only worth asking for an account that has a flag or a counted refusal.
    package func success(_ headers: HeaderFields, _ context: VerdictContext) -> UpstreamVerdict {
        UpstreamVerdict(.deliver, .success, clears: rows.disproved(by: headers, context))
    }

    /// What an answer's head says of the account's windows, whatever its status. It costs some microseconds: sample it, do
    /// not ask for every answer.
    package func windows(_ headers: HeaderFields, now: Timestamp) -> (sample: AccountWindows, ignored: [IgnoredValue]) {
        var reader = ResetReader(now: now)
        let sample = rows.windows(headers, &reader)
        return (sample, reader.ignored)
    }

    // MARK: (1) and (2)

    private func customCodes(_ outcome: UpstreamAnswer.Outcome, _ context: VerdictContext) -> UpstreamVerdict {
        if case .refused(let answer) = outcome, context.rules.customErrorCodes.contains(answer.status) {
            return .error(.customErrorCode, answer)
        }
        return unruled(outcome, context)
    }

    private func poolMode(_ outcome: UpstreamAnswer.Outcome, _ context: VerdictContext) -> UpstreamVerdict {
        guard case .refused(let answer) = outcome else { return unruled(outcome, context) }
        if let verdict = OwnRules.verdict(answer, context) { return verdict }
        var verdict = unruled(outcome, context)
        if [401, 403, 429].contains(answer.status) {
            let limit = min(max(context.rules.poolRetryCount, 0), AccountRules.maximumPoolRetryCount)
            verdict.request = .retryHere(limit: limit, after: Self.retryDelay)
        }
        return verdict
    }

    /// What it means for the call alone, the account's own rules left out.
    private func unruled(_ outcome: UpstreamAnswer.Outcome, _ context: VerdictContext) -> UpstreamVerdict {
        guard case .refused(let answer) = outcome else { return withoutAnswer(outcome, context).withoutMarks }
        var context = context
        context.rules = AccountRules()
        let verdict =
            answer.status == 401
            ? rows.unauthorized(answer, context) : specific(answer, context) ?? generic(answer, context)
        return verdict.withoutMarks
    }

    // MARK: (5)

    private func specific(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict? {
        if let verdict = credits(answer, context) ?? rows.own(answer, context) { return verdict }
        switch answer.status {
        case 400 where answer.says(AccountWords.organizationDisabled): return .error(.organizationDisabled, answer)
        case 402: return .error(.paymentRequired, answer)
        case 403: return rows.forbidden(answer, context)
        case 404 where rows.isModelMissing(answer): return Self.modelMissing(context)
        case 429: return rateLimited(answer, context)
        case 529:
            let end = context.cooldowns.overload.map { context.now + $0 }
            return UpstreamVerdict(.failover, .overloaded, end.map { [.overloaded(until: $0)] } ?? [])
        default: return nil
        }
    }

    static func modelMissing(_ context: VerdictContext) -> UpstreamVerdict {
        let limit = AccountEffect.modelLimited(context.model, until: context.now + missingModelPause)
        return UpstreamVerdict(.failover, .modelNotFound, [limit])
    }

    static func invalidProject(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict {
        paused(.invalidProject, .invalidProject, ErrorText.kept(answer), context)
    }

    private static func paused(
        _ cause: PauseCause,
        _ reason: VerdictReason,
        _ text: String,
        _ context: VerdictContext
    ) -> UpstreamVerdict {
        UpstreamVerdict(
            .retryHere(limit: retries, after: retryDelay),
            reason,
            [.paused(until: context.now + shortPause, cause, reason: text)]
        )
    }

    /// A call that could be paid with credits, refused because there are too few of them.
    private func credits(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict? {
        guard context.carriedCredits, CreditTexts.saysInsufficient(answer) else { return nil }
        var verdict = UpstreamVerdict(
            .failover,
            .creditsExhausted,
            [.modelLimited(AccountEffect.credits, until: context.now + Self.creditPause)]
        )
        guard answer.status == 429 else { return verdict }
        // It can say of the model's own limit as well when that ends.
        var reader = ResetReader(now: context.now)
        verdict.effects += effects(of: rows.limits(answer, context, &reader), context)
        verdict.ignored = reader.ignored
        return verdict
    }

    // MARK: 429

    private func rateLimited(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict {
        var reader = ResetReader(now: context.now)
        var limits = rows.limits(answer, context, &reader)
        if limits.isEmpty { limits.account = reader.retryAfter(answer.headers) }
        var effects = effects(of: limits, context)
        if effects.isEmpty, let rest = context.cooldowns.rateLimit {
            effects = [.rateLimited(until: context.now + rest, isGuessed: true)]
        }
        let isModels = limits.model != nil && limits.account == nil
        let isUnpaid = [answer.errorCode, answer.errorType].contains("insufficient_quota")
        return UpstreamVerdict(
            .failover,
            isModels ? .modelRateLimited : isUnpaid ? .insufficientQuota : .rateLimited,
            effects,
            ignored: reader.ignored
        )
    }

    private func effects(of limits: StatedLimits, _ context: VerdictContext) -> [AccountEffect] {
        var effects: [AccountEffect] = []
        if let end = limits.account { effects.append(.rateLimited(until: end, isGuessed: false)) }
        if let end = limits.model { effects.append(.modelLimited(context.model, until: end)) }
        return effects
    }

    // MARK: (6)

    private func generic(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict {
        switch answer.status {
        case 408: UpstreamVerdict(.failover, .requestTimeout)
        case 500...599: UpstreamVerdict(.failover, .upstreamError)
        case 400..<500: UpstreamVerdict(.passThrough, .callerFault)
        // A redirect or an informational status is nothing that an API answers with.
        default: UpstreamVerdict(.failover, .unexpectedStatus)
        }
    }

    private func withoutAnswer(_ outcome: UpstreamAnswer.Outcome, _ context: VerdictContext) -> UpstreamVerdict {
        switch outcome {
        case .refused(let answer): generic(answer, context)
        case .emptyStream:
            Self.paused(.emptyStream, .emptyStream, "The upstream answered without content.", context)
        case .connectionFailed: UpstreamVerdict(.failover, .connectionFailed)
        case .timedOut: UpstreamVerdict(.failover, .upstreamTimeout)
        }
    }
}
