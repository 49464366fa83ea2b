import Crypto
package import Dialects
package import Domain
package import Formats
import HTTPMessages

/// Claude models on Amazon Bedrock: the Messages API in AWS' clothes (`invoke`, `invoke-with-response-stream`).
package struct BedrockProvider: Provider {
    package let target: UpstreamTarget
    private let region: String
    private let authMode: String?
    private let accessKeyID: String?
    private let overrides: [String: String]
    private let policy: BetaPolicy

    package init?(_ account: ProviderAccount) {
        guard let region = account.fields["region"], let url = BedrockSigning.baseURL(region: region),
            let target = account.target(default: url)
        else { return nil }
        self.target = target
        self.region = region
        authMode = account.fields["auth_mode"]
        accessKeyID = account.fields["access_key_id"]
        overrides = account.headerOverrides
        policy = account.betaPolicy
    }

    /// Tokens cannot be counted: `count-tokens` does not know inference profiles, which most models need.
    package func dialect(for route: CallRoute, model: String) -> Dialect? {
        route.action == .generate ? .anthropic : nil
    }

    package func offers(_ model: String) -> Bool { model.hasPrefix("claude-") }

    package func request(for call: UpstreamCall) throws -> UpstreamRequest? {
        guard let credentials = BedrockCredentials(authMode: authMode, accessKeyID: accessKeyID, call.secrets) else {
            return nil
        }
        let id = BedrockModels.id(for: call.model, region: region)
        guard let path = BedrockModels.path(of: id, isStream: call.isStream) else {
            throw GatewayError(.invalidRequest, "model: is no name of a model", field: "model")
        }
        let parser = JSONParser()
        let asked = call.isTranslated ? [] : call.callerHeaders.values("anthropic-beta")
        let betas = try policy.admitted(asked + BedrockBody.betas(in: call.body, parser), for: .bedrock)
        let body = try BedrockBody.converted(call.body, betas: betas, parser)
        let head = UpstreamHead(to: target, call, forwarding: CallerHeaders.isForwardedToBedrock)
        var request = head.finish(path, overrides: overrides)
        BedrockSigning.authorize(
            &request,
            body: body,
            with: credentials,
            region: region,
            secondsSinceEpoch: call.now.microseconds / 1_000_000
        )
        return UpstreamRequest(request, body: body, form: .awsEventStream)
    }

    /// The kind stands in a header that is not at hand here; the text tells enough. Callers get it in Anthropic's shape.
    package func error(_ body: [UInt8], in dialect: Dialect, _ parser: JSONParser) -> UpstreamErrorBody? {
        guard let error = BedrockError(body, parser) else { return nil }
        let type = error.saysModelIsMissing ? "not_found_error" : error.type
        return UpstreamErrorBody(type: type, message: error.callerMessage, isForCallers: false)
    }

    package func verdict(status: Int, _ error: UpstreamErrorBody?) -> UpstreamVerdict {
        // AWS says so with 400 and 403 as well.
        if error?.type == "not_found_error", [400, 403, 404].contains(status) {
            return UpstreamVerdict(.failover, reason: "model_not_found")
        }
        // The model broke off (`ModelErrorException`): its trouble, not the caller's.
        if status == 424 { return UpstreamVerdict(.failover, reason: "upstream_error") }
        return StatusVerdicts.verdict(status: status, isModelMissing: false)
    }
}
