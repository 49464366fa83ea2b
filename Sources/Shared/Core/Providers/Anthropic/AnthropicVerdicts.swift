import Domain
import HTTPMessages

/// What an answer of Anthropic means.
struct AnthropicVerdicts: VerdictRows {
    func own(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict? {
        if answer.status == 429, isOfOption(answer) {
            // An exhausted window holds whatever the text says.
            var reader = ResetReader(now: context.now)
            let limits = AnthropicWindows(answer.headers).limits(of: context.model, &reader)
            return limits.isEmpty ? UpstreamVerdict(.failover, .optionLimited) : nil
        }
        // The account's trouble in the clothes of the caller's.
        guard answer.status == 400, context.accountType == .apikey, answer.says(AccountWords.creditBalance) else {
            return nil
        }
        return .error(.paymentRequired, answer)
    }

    /// Long contexts that a subscription does not include, and fast mode, which has limits of its own (docs: Fast mode,
    /// Rate limits), are refused as if the account were used up.
    private func isOfOption(_ answer: UpstreamAnswer) -> Bool {
        answer.begins(withAnyOf: ["extra usage is required for long context"])
            || (answer.begins(withAnyOf: ["this request would exceed your"]) && answer.says("fast mode"))
    }

    /// Files and batches can be missing as well.
    func isModelMissing(_ answer: UpstreamAnswer) -> Bool {
        answer.errorType == "not_found_error" && answer.begins(withAnyOf: ["model"])
    }

    func limits(_ answer: UpstreamAnswer, _ context: VerdictContext, _ reader: inout ResetReader) -> StatedLimits {
        let windows = AnthropicWindows(answer.headers)
        let unified = windows.limits(of: context.model, &reader)
        guard unified.isEmpty else { return unified }
        // Of a key: each kind of limit has its own end. `retry-after` comes first, where it is there.
        if let end = reader.retryAfter(answer.headers) { return StatedLimits(account: end) }
        return StatedLimits(account: windows.keyLimit(&reader))
    }

    func windows(_ headers: HeaderFields, _ reader: inout ResetReader) -> AccountWindows {
        AnthropicWindows(headers).sample(&reader)
    }

    func disproved(by headers: HeaderFields, _ context: VerdictContext) -> ClearedFlags {
        var cleared = ClearedFlags.bySuccess(context)
        // A call paid beyond the subscription succeeds while the subscription is used up.
        if headers["anthropic-ratelimit-unified-status"] == "rejected" {
            cleared.rateLimited = false
            cleared.models = []
        }
        return cleared
    }
}
