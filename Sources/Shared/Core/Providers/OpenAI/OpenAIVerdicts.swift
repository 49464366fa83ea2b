import Domain
import Formats
import HTTPMessages

/// What an answer of OpenAI means.
struct OpenAIVerdicts: VerdictRows {
    private static let forbiddenPause = Duration.seconds(600)
    private static let forbiddenPeriod = Duration.seconds(180 * 60)
    private static let forbiddenLimit = 3

    func unauthorized(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict {
        // Logins that are gone for good; the first is not the API's own shape.
        let isGone = answer.error == nil && answer.json?["detail"]?.string?.lowercased() == "unauthorized"
        if isGone || ["token_invalidated", "token_revoked"].contains(answer.errorCode.lowercased()) {
            return .error(.credentialRevoked, answer)
        }
        // A key that may do some things serves the calls that ask for these; one that may ask no model serves none.
        if context.accountType == .apikey, answer.says("missing scopes"), !answer.says("model.request") {
            return UpstreamVerdict(.failover, .optionLimited)
        }
        return CredentialRows.unauthorized(answer, context)
    }

    /// A single 403 can be a passing mood of its edge.
    func forbidden(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict {
        if answer.isHTML { return UpstreamVerdict(.failover, .proxyPage) }
        let earlier = context.forbidden
        // In flight together with the one that counted.
        if let end = earlier.pausedUntil, context.startedAt < end { return UpstreamVerdict(.failover, .forbidden) }
        if earlier.count >= Self.forbiddenLimit - 1 { return .error(.forbidden, answer) }
        let end = context.now + Self.forbiddenPause
        return UpstreamVerdict(
            .failover,
            .forbidden,
            [
                .countForbidden(until: context.now + Self.forbiddenPeriod),
                .paused(until: end, .forbidden, reason: ErrorText.kept(answer)),
            ]
        )
    }

    func own(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict? {
        // More than the account's limit in one call, and no room for flex: others are served.
        if answer.status == 429, answer.begins(withAnyOf: ["request too large for", "resource unavailable"]) {
            return UpstreamVerdict(.failover, .optionLimited)
        }
        // A project without the model is told so with a 403.
        guard answer.status == 403, answer.errorCode == Self.modelNotFound else { return nil }
        return VerdictTable.modelMissing(context)
    }

    private static let modelNotFound = "model_not_found"

    func isModelMissing(_ answer: UpstreamAnswer) -> Bool {
        answer.errorCode == Self.modelNotFound
            || answer.begins(withAnyOf: ["model", "the model", "the requested model"])
                && Words.contains(answer.message.lowercased(), anyOf: ["does not exist", "not found"])
    }

    func limits(_ answer: UpstreamAnswer, _ context: VerdictContext, _ reader: inout ResetReader) -> StatedLimits {
        let windows = OpenAIWindows(answer.headers)
        if let end = windows.modelEnds(&reader).max(), !context.model.isEmpty { return StatedLimits(model: end) }
        var ends = windows.exhaustedEnds(&reader)
        let error = answer.error
        let stated =
            reader.time(error?["resets_at"], "resets_at")
            ?? reader.delay(error?["resets_in_seconds"], "resets_in_seconds")
        if let stated { ends.append(stated) }
        if ends.isEmpty { ends = reader.retryAfter(answer.headers).map { [$0] } ?? windows.keyEnds(&reader) }
        // A key's limits are those of a model, which the text names: "… for gpt-5 in organization org-… on tokens per min".
        let isModels =
            context.accountType == .apikey && answer.begins(withAnyOf: ["rate limit reached for"])
            && answer.says(" in organization ")
        return isModels && !context.model.isEmpty ? StatedLimits(model: ends.max()) : StatedLimits(account: ends.max())
    }

    func windows(_ headers: HeaderFields, _ reader: inout ResetReader) -> AccountWindows {
        OpenAIWindows(headers).sample(&reader)
    }
}
