import Crypto
package import Dialects
package import Domain

/// Claude models on Amazon Bedrock.
package struct BedrockProvider: Provider {
    package let target: UpstreamTarget

    package init?(_ account: ProviderAccount) { return nil }

    package func dialect(for route: CallRoute, model: String) -> Dialect? {
        route.action == .generate ? .anthropic : nil
    }

    package func offers(_ model: String) -> Bool { model.hasPrefix("claude-") }

    package func request(for call: UpstreamCall) throws -> UpstreamRequest? { nil }

    package func verdict(status: Int, _ error: UpstreamErrorBody?) -> UpstreamVerdict {
        StatusVerdicts.verdict(status: status, isModelMissing: false)
    }
}
