package import Formats
package import HTTPMessages

/// OpenAI's API: `/v1/chat/completions`, `/v1/embeddings`, `/v1/models`.
package struct OpenAIPlatform: SimulatedPlatform {
    package init() {}

    package var bodyLimit: Int { 50 << 20 }

    /// `/v1/models` is Anthropic's too: a call with one of its header fields is not for this platform.
    package func serves(_ head: HTTPRequestHead) -> Bool {
        guard let operation = Operation(head) else { return false }
        switch operation {
        case .listModels, .model:
            return !head.headers.contains("x-api-key") && !head.headers.contains("anthropic-version")
        default: return true
        }
    }

    package func credential(of head: HTTPRequestHead) -> Credential? { Credential.bearer(head) }

    package func answer(_ call: SimulatedCall, _ state: inout SimulatorState, _ parser: JSONParser) -> AnswerPlan {
        let credential = credential(of: call.head)
        let headers = OpenAIHeaders(
            sequence: call.sequence,
            credential: credential,
            now: call.now,
            isSubscription: false
        )
        let errors = OpenAIErrors(headers: headers, credential: credential)
        guard let operation = Operation(call.head) else {
            return errors.fault(404, variant: "route", amount: nil, model: nil)
        }
        guard call.head.method == operation.method else {
            return errors.plan(405, "Not allowed to \(call.head.method) on \(call.head.path).")
        }
        guard let credential, state.accepts(credential, now: call.now) else {
            return errors.unauthorized(isExpired: false)
        }
        guard let body = call.body else { return errors.tooLarge() }
        let turn = Turn(call: call, body: body, credential: credential, errors: errors)
        func json(_ body: [UInt8]) -> AnswerPlan {
            AnswerPlan(200, headers.fields(contentType: "application/json"), body: body)
        }
        switch operation {
        case .chat:
            return turn.answer(&state, parser) { (document, words, state) throws(Refusal) in
                let request = try ChatRequest(document, owner: credential.secret, toolCalls: words.toolCalls)
                return AnswerScript(turn: turn, words: words).plan(request.asked, cache: &state.cache) {
                    ChatCompletion(
                        answer: $0,
                        errors: errors,
                        headers: headers,
                        includesUsage: request.includesUsage
                    )
                }
            }
        case .embeddings:
            return turn.answer(&state, parser) { (document, words, _) throws(Refusal) in
                let (body, usage) = try OpenAIEmbeddings.answer(document, words)
                var plan = json(body)
                plan.usage = [(body.count, usage)]
                return plan
            }
        case .listModels: return turn.answer(&state) { (_, _) throws(Refusal) in json(OpenAIModels.list()) }
        case .model(let id): return turn.answer(&state) { (_, _) throws(Refusal) in json(OpenAIModels.model(id)) }
        }
    }

    /// What a path asks for.
    enum Operation: Equatable {
        case chat, embeddings, listModels
        case model(String)

        init?(_ head: HTTPRequestHead) {
            switch head.path {
            case "/v1/chat/completions": self = .chat
            case "/v1/embeddings": self = .embeddings
            case "/v1/models": self = .listModels
            default:
                guard let id = head.identifier(after: "/v1/models/") else { return nil }
                self = .model(id)
            }
        }

        var method: String {
            switch self {
            case .chat, .embeddings: "POST"
            case .listModels, .model: "GET"
            }
        }
    }
}
