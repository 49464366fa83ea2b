package import Formats
package import HTTPMessages

/// AWS Bedrock's runtime, for Anthropic's models: `/model/{id}/invoke` and what stands beside it.
package struct BedrockPlatform: SimulatedPlatform {
    package init() {}

    package var bodyLimit: Int { 25 << 20 }

    package func serves(_ head: HTTPRequestHead) -> Bool { head.path.hasPrefix("/model/") }

    package func credential(of head: HTTPRequestHead) -> Credential? {
        BedrockSignature(head).map { Credential(.accessKey, $0.accessKeyID) } ?? Credential.bearer(head)
    }

    package func answer(_ call: SimulatedCall, _ state: inout SimulatorState, _ parser: JSONParser) -> AnswerPlan {
        let number = Digest.hex(UInt64(truncatingIfNeeded: call.sequence))
        let requestID = "00000000-0000-4000-8000-\(number.suffix(12))"
        let errors = BedrockErrors(requestID: requestID)
        guard let operation = Operation(call.head.path), call.head.method == "POST" else {
            return errors.plan(404, "UnknownOperationException", "Unknown operation")
        }
        let credential = credential(of: call.head)
        guard let credential, state.accepts(credential, now: call.now) else { return errors.unauthorized(credential) }
        if let signature = BedrockSignature(call.head), call.body != nil {
            let secret = state.credentials.awsSecret(of: signature.accessKeyID)
            if let fault = signature.fault(of: call, secret: secret, now: call.now / 1_000_000) {
                return errors.badSignature(fault)
            }
        }
        guard let body = call.body else { return errors.fault(413, variant: "", amount: nil, model: nil) }
        let turn = Turn(call: call, body: body, credential: credential, errors: errors)
        let isStream = operation.action == .stream
        let subject = Turn.Subject(model: operation.model, isStream: isStream)
        return turn.answer(&state, parser, subject) { (document, words, state) throws(Refusal) in
            if operation.action == .count { return try count(document, turn, operation.model, words) }
            var request = try read(document, turn, operation.model, words, isCounting: false)
            request.isStream = isStream
            let headers = AnthropicHeaders(sequence: call.sequence, credential: credential, now: call.now)
            return AnswerScript(turn: turn, words: words).plan(request, cache: &state.cache) {
                BedrockAnswer($0, errors: errors, requestID: requestID, headers: headers)
            }
        }
    }

    private func read(
        _ document: JSONDocument,
        _ turn: Turn,
        _ model: String,
        _ words: ControlWords,
        isCounting: Bool
    ) throws(Refusal) -> GenerationRequest {
        let root = document.root
        for name in ["model", "stream"] as [StaticString] where root[name] != nil {
            throw Refusal("\(name): Extra inputs are not permitted")
        }
        guard let version = root["anthropic_version"] else { throw Refusal("anthropic_version: Field required") }
        guard version.equals("bedrock-2023-05-31") else {
            throw Refusal("anthropic_version: Input should be 'bedrock-2023-05-31'")
        }
        if let betas = root["anthropic_beta"], !betas.isNull, !betas.isArray {
            throw Refusal("anthropic_beta: Input should be a valid list")
        }
        return try AnthropicRequest(
            document,
            model: model,
            version: .v20230601,
            owner: turn.credential.secret,
            isCounting: isCounting,
            toolCalls: words.toolCalls
        ).asked
    }

    /// `{"input":{"invokeModel":{"body":"…"}}}`, the body in base64.
    private func count(
        _ document: JSONDocument,
        _ turn: Turn,
        _ model: String,
        _ words: ControlWords
    ) throws(Refusal) -> AnswerPlan {
        guard model.hasPrefix("anthropic.") else {
            throw Refusal("The provided model doesn't support counting tokens.")
        }
        let text = document.root["input"]?["invokeModel"]?["body"]?.string ?? ""
        guard let inner = Base64.decode(text), !inner.isEmpty else {
            throw Refusal("input.invokeModel.body: Field required")
        }
        let counted: Result<Int, Refusal>
        do {
            // A parser holds one document at a time.
            counted = try JSONParser().parse(inner) { document in
                do throws(Refusal) {
                    return .success(try read(document, turn, model, words, isCounting: true).prompt.tokens)
                } catch {
                    return .failure(error)
                }
            }
        } catch {
            throw Refusal("input.invokeModel.body: Input should be JSON")
        }
        let tokens = try counted.get()
        return AnswerPlan(
            200,
            BedrockAnswer.fields(contentType: "application/json", requestID: ""),
            body: JSONWriter.object { $0.member("inputTokens", words.inputTokens ?? tokens) }
        )
    }

    enum Action: String {
        case invoke
        case stream = "invoke-with-response-stream"
        case count = "count-tokens"
    }

    /// What a path asks for: `/model/{id}/{action}`.
    struct Operation: Equatable {
        var model: String
        var action: Action

        init?(_ path: Substring) {
            let parts = path.dropFirst("/model/".count).split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, let action = Action(rawValue: String(parts[1])) else {
                return nil
            }
            model = PercentCoding.decode(parts[0])
            self.action = action
        }
    }
}
