package import Formats
package import HTTPMessages

/// The Anthropic API: `/v1/messages`, `/v1/messages/count_tokens`, `/v1/models`.
package struct AnthropicPlatform: SimulatedPlatform {
    package init() {}

    package var bodyLimit: Int { 32 << 20 }

    package func serves(_ path: Substring) -> Bool { path.hasPrefix("/v1/") }

    package func credential(of head: HTTPRequestHead) -> Credential? {
        if let key = head.headers["x-api-key"], !key.isEmpty { return Credential(.apiKey, key) }
        guard let value = head.headers["authorization"] else { return nil }
        let parts = value.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        return Credential(.bearer, String(parts[1]))
    }

    package func answer(_ call: SimulatedCall, _ state: inout SimulatorState, _ parser: JSONParser) -> AnswerPlan {
        let credential = credential(of: call.head)
        let headers = AnthropicHeaders(sequence: call.sequence, credential: credential, now: call.now)
        let errors = AnthropicErrors(headers: headers, credential: credential, model: nil)
        guard let operation = Operation(call.head) else { return errors.plan(404, "not_found_error", "Not Found") }
        guard call.head.method == operation.method else {
            return errors.plan(405, "invalid_request_error", "Method Not Allowed")
        }
        guard let credential, state.credentials.accepts(credential.secret) else { return errors.unauthorized() }
        guard let body = call.body else { return errors.tooLarge() }
        let turn = AnthropicTurn(call: call, body: body, credential: credential, headers: headers, operation: operation)
        return turn.answer(&state, parser)
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
                guard head.path.hasPrefix("/v1/models/") else { return nil }
                let id = PercentCoding.decode(head.path.dropFirst("/v1/models/".count))
                guard !id.isEmpty else { return nil }
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
