package import Formats
package import HTTPMessages

/// The Anthropic API: `/v1/messages`, `/v1/messages/count_tokens`, `/v1/models`.
package struct AnthropicPlatform: SimulatedPlatform {
    package init() {}

    package var bodyLimit: Int { 32 << 20 }

    package func serves(_ head: HTTPRequestHead) -> Bool { head.path.hasPrefix("/v1/") }

    package func credential(of head: HTTPRequestHead) -> Credential? {
        Credential.apiKey(head.headers["x-api-key"]) ?? Credential.bearer(head)
    }

    package func answer(_ call: SimulatedCall, _ state: inout SimulatorState, _ parser: JSONParser) -> AnswerPlan {
        let credential = credential(of: call.head)
        let headers = AnthropicHeaders(sequence: call.sequence, credential: credential, now: call.now)
        let errors = AnthropicErrors(headers: headers, credential: credential)
        guard let operation = Operation(call.head) else { return errors.plan(404, "not_found_error", "Not Found") }
        guard call.head.method == operation.method else {
            return errors.plan(405, "invalid_request_error", "Method Not Allowed")
        }
        guard let credential, state.accepts(credential, now: call.now) else { return errors.unauthorized() }
        guard let body = call.body else { return errors.tooLarge() }
        let turn = Turn(call: call, body: body, credential: credential, errors: errors)
        switch operation {
        case .message:
            return turn.answer(&state, parser) { (document, words, state) throws(Refusal) in
                let request = try read(document, turn, words, isCounting: false)
                return AnswerScript(turn: turn, words: words).plan(request, cache: &state.cache) {
                    AnthropicMessage(answer: $0, errors: errors, headers: headers)
                }
            }
        case .count:
            return turn.answer(&state, parser) { (document, words, _) throws(Refusal) in
                let tokens = try read(document, turn, words, isCounting: true).prompt.tokens
                return AnswerPlan(
                    200,
                    headers.fields(contentType: "application/json"),
                    body: JSONWriter.object { $0.member("input_tokens", words.inputTokens ?? tokens) }
                )
            }
        case .listModels, .model:
            return turn.answer(&state) { (_, _) throws(Refusal) in
                _ = try AnthropicVersion(call.head.headers)
                var body: [UInt8]
                if case .model(let id) = operation {
                    body = AnthropicModels.model(id)
                } else {
                    body = try AnthropicModels.page(call.head)
                }
                return AnswerPlan(200, headers.fields(contentType: "application/json"), body: body)
            }
        }
    }

    private func read(
        _ document: JSONDocument,
        _ turn: Turn,
        _ words: ControlWords,
        isCounting: Bool
    ) throws(Refusal) -> GenerationRequest {
        try AnthropicRequest(
            document,
            version: AnthropicVersion(turn.call.head.headers),
            owner: turn.credential.secret,
            isCounting: isCounting,
            toolCalls: words.toolCalls
        ).asked
    }

    /// What a path asks for.
    enum Operation: Equatable {
        case message, count, listModels
        case model(String)

        init?(_ head: HTTPRequestHead) {
            switch head.path {
            case "/v1/messages": self = .message
            case "/v1/messages/count_tokens": self = .count
            case "/v1/models": self = .listModels
            default:
                guard let id = head.path.identifier(after: "/v1/models/") else { return nil }
                self = .model(id)
            }
        }

        var method: String {
            switch self {
            case .message, .count: "POST"
            case .listModels, .model: "GET"
            }
        }
    }
}
