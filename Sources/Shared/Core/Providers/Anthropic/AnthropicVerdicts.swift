package import Domain

/// What an answer of Anthropic means for the call.
package enum AnthropicVerdicts {
    /// - Parameters:
    ///   - isModelMissing: whether the body says that the model does not exist (404).
    ///   - message: what the body says.
    package static func verdict(status: Int, isModelMissing: Bool, message: String = "") -> UpstreamVerdict {
        switch status {
        // The account's trouble in the clothes of the caller's.
        case 400 where StatusVerdicts.says("credit balance", message):
            UpstreamVerdict(.failover, reason: "payment_required")
        case 400 where StatusVerdicts.says("organization has been disabled", message):
            UpstreamVerdict(.failover, reason: "organization_disabled")
        default: StatusVerdicts.verdict(status: status, isModelMissing: isModelMissing)
        }
    }
}
