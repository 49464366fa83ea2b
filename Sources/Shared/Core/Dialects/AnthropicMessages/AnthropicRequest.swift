import Domain
import Formats

/// Requests of the Anthropic Messages API, as far as a gateway must understand them: the rest passes through.
enum AnthropicRequest {
    /// Reads what policy needs from a body for `/v1/messages` or `/v1/messages/count_tokens`.
    ///
    /// - Throws: `GatewayError.invalidRequest`, naming the field at fault.
    static func summary(of request: JSONOutline) throws -> CallSummary {
        let fields = try RequestFields(request)
        let (model, range) = try fields.model()
        let isStream = try fields.flag("stream")
        try fields.requireArray("messages")
        return CallSummary(
            model: model,
            isStream: isStream,
            modelRange: range,
            answerTokens: fields.count("max_tokens"),
            tier: try ServiceTier(isFast: fields.isWord("speed", "fast"), isUS: fields.isWord("inference_geo", "us"))
        )
    }
}
