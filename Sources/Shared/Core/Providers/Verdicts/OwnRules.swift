import Domain

/// An account's own rules (`temp_unschedulable_rules`).
enum OwnRules {
    /// The first rule that matches pauses the account; nil when none does.
    static func verdict(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict? {
        let rule = context.rules.pauseRules.first { rule in
            rule.status == answer.status && (rule.keywords.isEmpty || answer.says(anyOf: rule.keywords))
        }
        guard let rule else { return nil }
        let minutes = min(max(rule.minutes, PauseRule.minuteRange.lowerBound), PauseRule.minuteRange.upperBound)
        return UpstreamVerdict(
            .failover,
            .ownRule,
            [.paused(until: context.now + .seconds(60 * minutes), .rule, reason: ErrorText.kept(answer))]
        )
    }
}
