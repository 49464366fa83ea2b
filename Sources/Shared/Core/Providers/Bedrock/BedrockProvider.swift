import Crypto
package import Dialects
package import Domain
package import Formats
package import HTTPMessages

/// Claude models on Amazon Bedrock: the Messages API's bodies with other edges, signed or with a key.
package struct BedrockProvider: Provider {
    private static let defaultRegion = "us-east-1"

    package let target: UpstreamTarget
    private let region: String
    private let authMode: String?
    private let accessKeyID: String?
    private let overrides: [String: String]
    private let policy: BetaPolicy

    package init?(_ account: ProviderAccount) {
        region = account.fields["region"] ?? Self.defaultRegion
        guard let url = BedrockSigning.baseURL(region: region), let target = account.target(default: url) else {
            return nil
        }
        self.target = target
        authMode = account.fields["auth_mode"]
        accessKeyID = account.fields["access_key_id"]
        overrides = account.headerOverrides
        policy = account.betaPolicy
    }

    package func dialect(for route: CallRoute, model: String) -> Dialect? {
        route.action == .embed ? nil : .anthropic
    }

    package func upstreamName(of model: String) -> String { BedrockModels.id(for: model, region: region) }

    package func offers(_ model: String) -> Bool { model.hasPrefix("claude-") }

    package func rewrites(_ call: UpstreamCall) -> Bool { true }

    /// Not every model can be counted for, and it takes a permission of its own (`bedrock:CountTokens`).
    package var countsOptionally: Bool { true }

    package func request(for call: UpstreamCall) throws -> UpstreamRequest? {
        guard
            let credentials = BedrockCredentials(
                authMode: authMode,
                accessKeyID: accessKeyID,
                call.secrets
            )
        else { return nil }
        let isCount = call.action == .countTokens
        let operation: BedrockModels.Operation = isCount ? .countTokens : call.isStream ? .stream : .invoke
        guard let path = BedrockModels.path(of: call.model, operation) else {
            throw GatewayError(.invalidRequest, "model: is no name of a model", field: "model")
        }
        let parser = JSONParser()
        var betas = call.isTranslated ? [] : Self.betas(in: call.callerHeaders)
        betas += try BedrockBody.betas(in: call.body, parser)
        betas = try policy.admitted(betas, for: .bedrock)
        let body =
            isCount
            ? try BedrockBody.counting(call.body, betas: betas, parser)
            : try BedrockBody.converted(call.body, betas: betas, parser)
        var head = UpstreamHead(
            to: target,
            call.callerHeaders,
            forwarding: CallerHeaders.isForwardedInTranslation
        )
        head.add("accept", call.isStream ? "application/vnd.amazon.eventstream" : "application/json")
        var finished = head.finish(path, overrides: overrides)
        BedrockSigning.authorize(
            &finished,
            body: body,
            with: credentials,
            region: region,
            secondsSinceEpoch: call.now.microseconds / 1_000_000
        )
        return UpstreamRequest(finished, body: body, form: call.isStream ? .awsEventStream : .plain)
    }

    /// What programs put into every call to say who they are to Anthropic's own service. Bedrock refuses calls with betas
    /// that it does not know.
    private static let foreignBetas = ["claude-code-", "oauth-", "prompt-caching-scope-"]

    private static func betas(in headers: HeaderFields) -> [String] {
        headers.values("anthropic-beta").flatMap { $0.split(separator: ",") }
            .map { String($0.drop { $0 == " " }) }
            .filter { beta in !foreignBetas.contains { beta.hasPrefix($0) } }
    }

    /// AWS has no errors in the dialect's shape, and texts that callers must not see.
    package func error(_ body: [UInt8], _ headers: HeaderFields, in dialect: Dialect, _ parser: JSONParser)
        -> UpstreamErrorBody?
    {
        guard let error = BedrockError(body, errorType: headers["x-amzn-errortype"], parser) else { return nil }
        return UpstreamErrorBody(
            type: error.type,
            message: error.callerMessage,
            isForCallers: false
        )
    }

    package var verdicts: VerdictTable { VerdictTable(BedrockVerdicts()) }
}

extension BedrockStream: AnswerTransform {}
