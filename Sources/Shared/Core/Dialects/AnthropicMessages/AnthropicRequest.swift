package import Domain
package import Formats

/// Requests of the Anthropic Messages API, as far as a gateway must understand them: the rest passes through.
package enum AnthropicRequest {
    /// Reads what policy needs from a body for `/v1/messages` or `/v1/messages/count_tokens`.
    ///
    /// - Throws: `GatewayError.invalidRequest`, naming the field at fault.
    package static func summary(of body: [UInt8], _ parser: JSONParser) throws -> CallSummary {
        let names: [StaticString] = ["model", "stream", "messages", "metadata", "max_tokens"]
        let fields = try RequestFields(names, in: body, parser)
        let (model, range) = try fields.model(0)
        let isStream = try fields.flag(1)
        try fields.requireArray(2)
        return CallSummary(
            model: model,
            isStream: isStream,
            modelRange: range,
            sessionRange: fields.hint(3),
            answerTokens: fields.count(4)
        )
    }
}
