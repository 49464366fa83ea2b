package import Formats
package import HTTPMessages

/// OpenAI's API, and the backend that ChatGPT's subscriptions call.
package struct OpenAIPlatform: SimulatedPlatform {
    package init() {}

    package var bodyLimit: Int { 50 << 20 }

    /// `/v1/models` is Anthropic's too: a call with one of its header fields is not for this platform.
    package func serves(_ head: HTTPRequestHead) -> Bool {
        guard let operation = Operation(head.path, head.method) else { return false }
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
            isSubscription: call.head.path.hasPrefix(Operation.subscription)
        )
        let errors = OpenAIErrors(headers: headers, credential: credential)
        guard let operation = Operation(call.head.path, call.head.method) else {
            return errors.fault(404, variant: "route", amount: nil, model: nil)
        }
        guard call.head.method == operation.method else {
            return errors.plan(405, "Not allowed to \(call.head.method) on \(call.head.path).")
        }
        guard let credential, state.accepts(credential, now: call.now) else {
            let isExpired = credential.map { state.tokens.isExpired($0.secret, now: call.now) } ?? false
            return errors.unauthorized(isExpired: isExpired)
        }
        guard let body = call.body else { return errors.tooLarge() }
        let turn = Turn(call: call, body: body, credential: credential, errors: errors)
        func json(_ body: [UInt8]) -> AnswerPlan {
            AnswerPlan(200, headers.fields(contentType: "application/json"), body: body)
        }
        switch operation {
        case .chat: return chat(turn, errors, &state, parser)
        case .respond: return respond(turn, errors, &state, parser)
        case .count:
            return turn.answer(&state, parser) { (document, words, state) throws(Refusal) in
                var plan = json(try count(document, turn, words, state))
                plan.spoil(words.fault)
                return plan
            }
        case .response(let id):
            return turn.answer(&state) { (_, state) throws(Refusal) in
                json(try Self.stored(id, credential, &state).body)
            }
        case .deleteResponse(let id):
            return turn.answer(&state) { (_, state) throws(Refusal) in
                _ = try Self.stored(id, credential, &state)
                state.responses.remove(id)
                return json(
                    JSONWriter.object {
                        $0.member("id", id)
                        $0.member("object", "response.deleted")
                        $0.member("deleted", true)
                    }
                )
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
        case .usage:
            return turn.answer(&state) { (_, _) throws(Refusal) in json(SubscriptionUsage.body(now: headers.now)) }
        }
    }

    private func chat(
        _ turn: Turn,
        _ errors: OpenAIErrors,
        _ state: inout SimulatorState,
        _ parser: JSONParser
    ) -> AnswerPlan {
        turn.answer(&state, parser) { (document, words, state) throws(Refusal) in
            let request = try ChatRequest(document, owner: turn.credential.secret, toolCalls: words.toolCalls)
            return AnswerScript(turn: turn, words: words).plan(request.asked, cache: &state.cache) {
                ChatCompletion(
                    answer: $0,
                    errors: errors,
                    headers: errors.headers,
                    includesUsage: request.includesUsage
                )
            }
        }
    }

    private func respond(
        _ turn: Turn,
        _ errors: OpenAIErrors,
        _ state: inout SimulatorState,
        _ parser: JSONParser
    ) -> AnswerPlan {
        turn.answer(&state, parser) { (document, words, state) throws(Refusal) in
            let owner = turn.credential.secret
            let responses = state.responses
            let request = try ResponsesRequest(
                document,
                previous: { responses[$0, owner: owner] },
                isSubscription: errors.headers.isSubscription,
                owner: owner,
                toolCalls: words.toolCalls
            )
            var written: ResponsesAnswer?
            let plan = AnswerScript(turn: turn, words: words).plan(request.asked, cache: &state.cache) { answer in
                let writer = ResponsesAnswer(
                    answer: answer,
                    errors: errors,
                    headers: errors.headers,
                    echo: request.echo
                )
                written = writer
                return writer
            }
            if let written, request.echo.isStored, plan.head?.status == 200 {
                let response = StoredResponse(
                    owner: owner,
                    body: written.whole(hasContent: true),
                    openCalls: written.openCalls,
                    promptBytes: request.asked.prompt.bytes &+ written.answer.content.generatedBytes
                )
                state.responses.store(response, as: written.id)
            }
            return plan
        }
    }

    /// Of a request that could be answered; nothing of an answer may stand in it.
    private func count(
        _ document: JSONDocument,
        _ turn: Turn,
        _ words: ControlWords,
        _ state: SimulatorState
    ) throws(Refusal) -> [UInt8] {
        for name: StaticString in ["stream", "store", "max_output_tokens", "temperature", "top_p"]
        where document.root[name] != nil {
            throw Refusal("Unknown parameter: '\(name)'.", param: "\(name)", code: "unknown_parameter")
        }
        let owner = turn.credential.secret
        let responses = state.responses
        let asked = try ResponsesRequest(
            document,
            previous: { responses[$0, owner: owner] },
            isSubscription: false,
            owner: owner,
            toolCalls: words.toolCalls
        ).asked
        return JSONWriter.object {
            $0.member("object", "response.input_tokens")
            $0.member("input_tokens", words.inputTokens ?? asked.prompt.tokens)
        }
    }

    private static func stored(
        _ id: String,
        _ credential: Credential,
        _ state: inout SimulatorState
    ) throws(Refusal) -> StoredResponse {
        guard let response = state.responses[id, owner: credential.secret] else {
            throw Refusal("Response with id '\(id)' not found.", status: 404)
        }
        return response
    }

    /// What a path asks for.
    enum Operation: Equatable {
        case chat, respond, count, embeddings, listModels, usage
        case model(String)
        case response(String)
        case deleteResponse(String)

        static let subscription = "/backend-api/"

        init?(_ path: Substring, _ method: String) {
            switch path {
            case "/v1/chat/completions": self = .chat
            case "/v1/responses", "/backend-api/codex/responses": self = .respond
            case "/v1/responses/input_tokens": self = .count
            // Google has it below its own paths as well.
            case "/v1/embeddings", "/v1beta/openai/embeddings": self = .embeddings
            case "/v1/models": self = .listModels
            case "/backend-api/wham/usage": self = .usage
            default:
                if let id = path.identifier(after: "/v1/responses/") {
                    self = method == "DELETE" ? .deleteResponse(id) : .response(id)
                } else if let id = path.identifier(after: "/v1/models/") {
                    self = .model(id)
                } else {
                    return nil
                }
            }
        }

        var method: String {
            switch self {
            case .chat, .respond, .count, .embeddings: "POST"
            case .listModels, .model, .usage, .response: "GET"
            case .deleteResponse: "DELETE"
            }
        }
    }
}
