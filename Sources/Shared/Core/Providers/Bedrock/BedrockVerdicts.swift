import Domain
import Formats
import HTTPMessages

/// What an answer of Bedrock means. AWS names the kind of an error, and some kinds have statuses of others.
struct BedrockVerdicts: VerdictRows {
    private func error(_ answer: UpstreamAnswer) -> BedrockError {
        BedrockError(
            type: answer.headers["x-amzn-errortype"] ?? answer.json?["__type"]?.string ?? answer.json?["code"]?.string
                ?? "",
            message: answer.message
        )
    }

    func own(_ answer: UpstreamAnswer, _ context: VerdictContext) -> UpstreamVerdict? {
        let error = error(answer)
        switch answer.status {
        // It says that a region or an account lacks a model with any of these.
        case 400, 403, 404: if error.saysModelIsMissing { return VerdictTable.modelMissing(context) }
        default: break
        }
        switch error.type {
        case "ServiceQuotaExceededException" where answer.status == 400:
            let rest = context.cooldowns.rateLimit
            return UpstreamVerdict(
                .failover,
                .rateLimited,
                rest.map { [.rateLimited(until: context.now + $0, isGuessed: true)] } ?? []
            )
        case "ModelErrorException", "ModelStreamErrorException": return UpstreamVerdict(.failover, .upstreamError)
        default: return nil
        }
    }

    func isModelMissing(_ answer: UpstreamAnswer) -> Bool { error(answer).saysModelIsMissing }
}
