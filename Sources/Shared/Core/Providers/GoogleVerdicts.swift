import Domain
import Formats

/// What answers in Google's shape mean, for Gemini and Antigravity.
struct GoogleVerdicts: VerdictRows {
    /// Nobody says when an account is filled up again.
    private static let depletedPause = Duration.seconds(3600)

    func own(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict? {
        // A file or a cached content of somebody else, or one that is over: the account may do all that it could before.
        if answer.status == 403, answer.begins(withAnyOf: [AccountWords.foreignFile, AccountWords.foreignContent]) {
            return UpstreamVerdict(.passThrough, .callerFault)
        }
        if answer.status == 429, answer.begins(withAnyOf: ["your prepayment credits are depleted"]) {
            let limit = AccountEffect.rateLimited(until: context.now + Self.depletedPause, isGuessed: false)
            return UpstreamVerdict(.failover, .insufficientQuota, [limit])
        }
        guard answer.status == 400 else { return nil }
        // It is the way out that is refused, a proxy's perhaps; another account may have another one.
        if answer.begins(withAnyOf: ["user location is not supported"]) {
            return UpstreamVerdict(.failover, .forbidden)
        }
        if answer.says(AccountWords.invalidProject) { return VerdictTable.invalidProject(answer, context) }
        // How it refuses a key: its own words for a 401.
        if context.accountType == .apikey, answer.says(anyOf: AccountWords.invalidKey) {
            return .error(.credentialRejected, answer)
        }
        return nil
    }

    /// Cached contents and files can be missing as well.
    func isModelMissing(_ answer: UpstreamAnswer) -> Bool {
        answer.error?["status"]?.string == "NOT_FOUND"
            && answer.begins(withAnyOf: ["model", "publisher model", "requested entity was not found"])
    }

    /// `RetryInfo.retryDelay`, `ErrorInfo.metadata.quotaResetDelay` and `.quotaResetTimeStamp`; all must be over.
    func limits(_ answer: UpstreamAnswer, _ context: VerdictContext, _ reader: inout ResetReader) -> StatedLimits {
        var ends: [Timestamp] = []
        var isModels = false
        for detail in answer.details.prefix(32) {
            let metadata = detail["metadata"]
            let delays = [
                reader.delay(detail["retryDelay"], "retryDelay"),
                reader.delay(metadata?["quotaResetDelay"], "quotaResetDelay"),
            ].compactMap { $0 }
            ends += delays
            if delays.isEmpty, let end = reader.time(metadata?["quotaResetTimeStamp"], "quotaResetTimeStamp") {
                ends.append(end)
            }
            isModels = isModels || metadata?["model"]?.string?.isEmpty == false || Self.isPerModel(detail)
        }
        guard let end = ends.max() else { return StatedLimits() }
        return isModels && !context.model.isEmpty ? StatedLimits(model: end) : StatedLimits(account: end)
    }

    /// `QuotaFailure` names the quota: `GenerateRequestsPerDayPerProjectPerModel-FreeTier`.
    private static func isPerModel(_ detail: JSON) -> Bool {
        (detail["violations"]?.array ?? []).prefix(32).contains { violation in
            violation["quotaDimensions"]?["model"]?.string?.isEmpty == false
                || Words.contains(violation["quotaId"]?.string ?? "", "PerModel")
        }
    }
}
