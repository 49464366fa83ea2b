package import Formats
package import HTTPMessages

/// The Gemini API: `/v1beta/models/{model}:generateContent` and what stands beside it.
package struct GeminiPlatform: SimulatedPlatform {
    package init() {}

    package var bodyLimit: Int { 100 << 20 }

    package func serves(_ head: HTTPRequestHead) -> Bool {
        head.path.hasPrefix("/v1beta/") && !head.path.hasPrefix("/v1beta/openai/")
    }

    package func credential(of head: HTTPRequestHead) -> Credential? {
        Credential.apiKey(head.headers["x-goog-api-key"]) ?? Credential.apiKey(head.queryValue("key"))
            ?? Credential.bearer(head)
    }

    package func answer(_ call: SimulatedCall, _ state: inout SimulatorState, _ parser: JSONParser) -> AnswerPlan {
        let credential = credential(of: call.head)
        let errors = GeminiErrors(credential: credential, now: call.now / 1_000_000, isAntigravity: false)
        guard let operation = Operation(call.head), call.head.method == operation.method else {
            return errors.page(404, server: "ESF")
        }
        guard let credential, state.accepts(credential, now: call.now) else { return errors.unauthorized() }
        guard let body = call.body else { return errors.tooLarge() }
        let turn = Turn(call: call, body: body, credential: credential, errors: errors)
        func json(_ body: [UInt8]) -> AnswerPlan {
            AnswerPlan(200, GeminiHeaders.fields(contentType: "application/json; charset=UTF-8"), body: body)
        }
        switch operation {
        case .listModels: return turn.answer(&state) { (_, _) throws(Refusal) in json(GeminiModels.list()) }
        case .model(let id): return turn.answer(&state) { (_, _) throws(Refusal) in json(GeminiModels.model(id)) }
        case .call(let model, let action):
            let isStream = action == .stream
            let subject = Turn.Subject(model: model, isStream: isStream)
            return turn.answer(&state, parser, subject) { (document, words, state) throws(Refusal) in
                let root = document.root
                switch action {
                case .embed: return json(try GeminiEmbeddings.one(root))
                case .batchEmbed: return json(try GeminiEmbeddings.batch(root))
                case .generate, .stream, .count: break
                }
                let wrapped = action == .count ? root.either("generateContentRequest", "generate_content_request") : nil
                let request = try GeminiRequest(
                    wrapped ?? root,
                    of: document,
                    model: model,
                    isStream: isStream,
                    owner: credential.secret,
                    toolCalls: words.toolCalls
                )
                if action == .count { return json(Self.count(words.inputTokens ?? request.asked.prompt.tokens)) }
                return AnswerScript(turn: turn, words: words).plan(request.asked, cache: &state.cache) {
                    GeminiAnswer(answer: $0, errors: errors, framing: Self.framing(call.head))
                }
            }
        }
    }

    /// How a stream is framed: as server-sent events when asked, else as one array.
    static func framing(_ head: HTTPRequestHead) -> GeminiAnswer.Framing {
        head.queryValue("alt") == "sse" ? .sse : .array
    }

    static func count(_ tokens: Int) -> [UInt8] {
        JSONWriter.object { text in
            text.member("totalTokens", tokens)
            text.arrayMember("promptTokensDetails") { text in
                text.object {
                    $0.member("modality", "TEXT")
                    $0.member("tokenCount", tokens)
                }
            }
        }
    }

    enum Action: String {
        case generate = "generateContent"
        case stream = "streamGenerateContent"
        case count = "countTokens"
        case embed = "embedContent"
        case batchEmbed = "batchEmbedContents"
    }

    /// What a path asks for.
    enum Operation: Equatable {
        case listModels
        case model(String)
        case call(model: String, Action)

        init?(_ head: HTTPRequestHead) {
            if head.path == "/v1beta/models" {
                self = .listModels
                return
            }
            guard let name = head.path.identifier(after: "/v1beta/models/") else { return nil }
            guard let colon = name.lastIndex(of: ":") else {
                self = .model(name)
                return
            }
            guard let action = Action(rawValue: String(name[name.index(after: colon)...])), colon > name.startIndex
            else {
                return nil
            }
            self = .call(model: String(name[..<colon]), action)
        }

        var method: String {
            switch self {
            case .call: "POST"
            case .listModels, .model: "GET"
            }
        }
    }
}
