package import Formats
package import HTTPMessages

/// The API behind Antigravity's logins: Gemini's requests and answers, wrapped.
package struct AntigravityPlatform: SimulatedPlatform {
    package init() {}

    private static let prefix = "/v1internal:"

    package var bodyLimit: Int { 100 << 20 }

    package func serves(_ head: HTTPRequestHead) -> Bool { head.path.hasPrefix(Self.prefix) }

    package func credential(of head: HTTPRequestHead) -> Credential? { Credential.bearer(head) }

    private enum Action: String {
        case generate = "generateContent"
        case stream = "streamGenerateContent"
        case count = "countTokens"
        case models = "fetchAvailableModels"
        case subscription = "loadCodeAssist"
        case onboard = "onboardUser"
    }

    package func answer(_ call: SimulatedCall, _ state: inout SimulatorState, _ parser: JSONParser) -> AnswerPlan {
        let credential = credential(of: call.head)
        let now = call.now / 1_000_000
        let errors = GeminiErrors(credential: credential, now: now, isAntigravity: true)
        guard let action = Action(rawValue: String(call.head.path.dropFirst(Self.prefix.count))),
            call.head.method == "POST"
        else { return errors.page(404, server: "ESF") }
        guard let credential, state.accepts(credential, now: call.now) else {
            return errors.fault(401, variant: "", amount: nil, model: nil)
        }
        guard let body = call.body else { return errors.tooLarge() }
        let turn = Turn(call: call, body: body, credential: credential, errors: errors)
        func json(_ body: [UInt8]) -> AnswerPlan {
            AnswerPlan(200, GeminiHeaders.fields(contentType: "application/json; charset=UTF-8"), body: body)
        }
        switch action {
        case .models:
            return turn.answer(&state) { (words, state) throws(Refusal) in
                let figures = state.usage.of(credential.secret)
                return json(AntigravityAccount.available(figures, now: now)).spoiled(words)
            }
        case .subscription:
            return turn.answer(&state) { (words, state) throws(Refusal) in
                let tier = state.credits.tier(of: credential.secret)
                let credits = state.credits.amount(of: credential.secret)
                let hasProject = state.tokens.hasProject(credential.secret)
                let body = AntigravityAccount.subscription(tier: tier, credits: credits, hasProject: hasProject)
                return json(body).spoiled(words)
            }
        case .onboard:
            return turn.answer(&state) { (_, state) throws(Refusal) in
                json(AntigravityAccount.onboarded(isDone: state.tokens.onboard(credential.secret)))
            }
        case .count:
            return turn.answer(&state, parser) { (document, words, _) throws(Refusal) in
                let request = try read(document, turn, words, model: "", isStream: false)
                return json(GeminiPlatform.count(words.inputTokens ?? request.prompt.tokens))
            }
        case .generate, .stream:
            let path = Turn.Subject(isStream: action == .stream)
            var isPaid = false
            return turn.answer(
                &state,
                parser,
                path,
                adjusting: { document, words, state in
                    isPaid = Self.pay(document, credential, &words, &state)
                },
                { (document, words, state) throws(Refusal) in
                    let model = try Self.checkedModel(document.root)
                    let request = try read(document, turn, words, model: model, isStream: action == .stream)
                    let left = state.credits.amount(of: credential.secret)
                    let envelope = AntigravityEnvelope(credits: isPaid ? (CreditAccounts.price, left) : nil)
                    return AnswerScript(turn: turn, words: words).plan(request, cache: &state.cache) {
                        GeminiAnswer(
                            answer: $0,
                            errors: errors,
                            framing: GeminiPlatform.framing(call.head),
                            envelope: envelope
                        )
                    }
                }
            )
        }
    }

    /// A call that brings credits is served although its quota is used up, as long as there are any. Returns whether
    /// it was paid with them.
    private static func pay(
        _ document: JSONDocument,
        _ credential: Credential,
        _ words: inout ControlWords,
        _ state: inout SimulatorState
    ) -> Bool {
        guard case .status(429, let variant, _)? = words.fault, variant != "credits" else { return false }
        let types = document.root["enabledCreditTypes"].items
        guard types.contains(where: { $0.equals("GOOGLE_ONE_AI") }) else { return false }
        let isPaid = state.credits.pay(credential.secret)
        words.fault = isPaid ? nil : .status(429, variant: "credits", amount: nil)
        return isPaid
    }

    private static func checkedModel(_ root: JSONValue) throws(Refusal) -> String {
        if let project = root["project"], project.string?.isEmpty != false {
            throw Refusal("Invalid project resource name projects/")
        }
        guard let model = root["model"]?.string, !model.isEmpty else { throw Refusal("model is not specified") }
        return model
    }

    private func read(
        _ document: JSONDocument,
        _ turn: Turn,
        _ words: ControlWords,
        model: String,
        isStream: Bool
    ) throws(Refusal) -> GenerationRequest {
        guard let request = document.root["request"] else { throw Refusal("request is not specified") }
        return try GeminiRequest(
            request,
            of: document,
            model: model,
            isStream: isStream,
            owner: turn.credential.secret,
            toolCalls: words.toolCalls
        ).asked
    }
}

/// What answers at a base URL to which `/antigravity` is appended: Anthropic's API and Gemini's, with a key.
package struct AntigravityKeyPlatform: SimulatedPlatform {
    package init() {}

    private static let prefix = "/antigravity"
    private let platforms: [any SimulatedPlatform] = [GeminiPlatform(), AnthropicPlatform()]

    package var bodyLimit: Int { platforms.map(\.bodyLimit).min() ?? 0 }

    package func serves(_ head: HTTPRequestHead) -> Bool { inner(head) != nil }

    package func credential(of head: HTTPRequestHead) -> Credential? {
        inner(head).flatMap { $0.platform.credential(of: $0.head) }
    }

    package func answer(_ call: SimulatedCall, _ state: inout SimulatorState, _ parser: JSONParser) -> AnswerPlan {
        guard let (platform, head) = inner(call.head) else { return AnswerPlan(404, [:], body: []) }
        var call = call
        call.head = head
        return platform.answer(call, &state, parser)
    }

    /// The platform that serves what follows the prefix, and the request as it sees it.
    private func inner(_ head: HTTPRequestHead) -> (platform: any SimulatedPlatform, head: HTTPRequestHead)? {
        guard head.path.hasPrefix(Self.prefix + "/") else { return nil }
        var inner = head
        inner.target = String(head.target.dropFirst(Self.prefix.count))
        return platforms.first { $0.serves(inner) }.map { ($0, inner) }
    }
}
