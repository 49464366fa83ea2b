import Domain
import Formats
import HTTPMessages

/// What an answer of Anthropic means.
struct AnthropicVerdicts: VerdictRows {
    func own(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict? {
        if answer.status == 429, isOfOption(answer) {
            // An exhausted window holds whatever the text says.
            return AnthropicWindows(answer.headers).isAnyExhausted ? nil : UpstreamVerdict(.failover, .optionLimited)
        }
        if let verdict = spendLimit(answer, context) { return verdict }
        guard answer.status == 400 else { return nil }
        // The account's trouble in the clothes of the caller's.
        guard context.accountType == .apikey else {
            return answer.begins(withAnyOf: Self.extraUsage) ? UpstreamVerdict(.failover, .optionLimited) : nil
        }
        return answer.says(AccountWords.creditBalance) ? .error(.paymentRequired, answer) : nil
    }

    /// What subscriptions serve from credit alone, by which program asks for it: it depends on the call.
    private static let extraUsage = [
        "you're out of extra usage", "third-party apps now draw from your extra usage",
    ]

    /// A key whose organisation or workspace has spent what its owner or its tier allows (docs: Errors, Rate limits). The
    /// text says when that ends, which may be next month: later than any reset is believed, so it is asked again now and
    /// then.
    private func spendLimit(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict? {
        let isSpent =
            (answer.status == 400 && answer.begins(withAnyOf: [AccountWords.spendLimit]))
            || (answer.status == 429 && answer.begins(withAnyOf: ["you have reached your api usage limits"]))
        guard isSpent, context.accountType == .apikey else { return nil }
        let span = context.now...context.now + ResetReader.farthest
        let stated = Self.regained(answer.message).flatMap { span.contains($0) ? $0 : nil }
        let limit = AccountEffect.rateLimited(until: stated ?? context.now + Self.spentPause, isGuessed: false)
        return UpstreamVerdict(.failover, .insufficientQuota, [limit])
    }

    private static let spentPause = Duration.seconds(3600)

    /// The time in "You will regain access on 2026-12-01 at 00:00 UTC."
    private static func regained(_ text: String) -> Timestamp? {
        guard let start = text.firstRange(of: "regain access on ")?.upperBound else { return nil }
        let words = text[start...].split(separator: " ", maxSplits: 3)
        guard words.count > 2, words[1] == "at" else { return nil }
        return RFC3339.parse("\(words[0])T\(words[2]):00Z").map { Timestamp(microseconds: $0) }
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
