import Formats
import HTTPMessages

/// One call whose credential is good, from its body to the plan of its answer.
struct AnthropicTurn {
    let call: SimulatedCall
    let body: [UInt8]
    let credential: Credential
    let headers: AnthropicHeaders
    let operation: AnthropicPlatform.Operation

    /// The order is the API's: what is wrong with the service comes before what is wrong with the request.
    func answer(_ state: inout SimulatorState, _ parser: JSONParser) -> AnswerPlan {
        switch operation {
        case .listModels, .model: return answerModels(&state)
        case .message, .count: break
        }
        do {
            return try parser.parse(body) { document in answer(document, &state) }
        } catch {
            let words = state.faults.words(credential: credential.secret, model: nil)
            return finished(
                strike(words, model: nil) ?? errors(nil).invalidRequest("The request body is not valid JSON"),
                words,
                model: nil,
                isStream: false
            )
        }
    }

    private func answer(_ document: JSONDocument, _ state: inout SimulatorState) -> AnswerPlan {
        let model = document.root["model"]?.string
        let isStream = document.root["stream"]?.bool ?? false
        let words = state.faults.words(credential: credential.secret, model: model)
        let plan: AnswerPlan
        if let struck = strike(words, model: model) {
            plan = struck
        } else {
            do throws(AnthropicRefusal) {
                let request = try AnthropicRequest(
                    document,
                    version: AnthropicVersion(call.head.headers),
                    owner: credential.secret,
                    isCounting: operation == .count,
                    toolCalls: words.toolCalls
                )
                plan =
                    operation == .count
                    ? count(request, words) : AnthropicScript(self, request, words).plan(cache: &state.cache)
            } catch {
                plan = errors(model).invalidRequest(error.message)
            }
        }
        return finished(plan, words, model: model, isStream: isStream)
    }

    private func answerModels(_ state: inout SimulatorState) -> AnswerPlan {
        let words = state.faults.words(credential: credential.secret, model: nil)
        return finished(strike(words, model: nil) ?? models(), words, model: nil, isStream: false)
    }

    private func models() -> AnswerPlan {
        do throws(AnthropicRefusal) {
            _ = try AnthropicVersion(call.head.headers)
            let body =
                if case .model(let id) = operation { AnthropicModels.model(id) } else {
                    try AnthropicModels.page(call.head)
                }
            return AnswerPlan(200, headers.fields(contentType: "application/json"), body: body)
        } catch {
            return errors(nil).invalidRequest(error.message)
        }
    }

    private func count(_ request: AnthropicRequest, _ words: ControlWords) -> AnswerPlan {
        let tokens = words.inputTokens ?? request.prompt.tokens
        return AnswerPlan(
            200,
            headers.fields(contentType: "application/json"),
            body: JSONWriter.object { $0.member("input_tokens", tokens) }
        )
    }

    /// The answer of a fault that leaves nothing of the real one.
    private func strike(_ words: ControlWords, model: String?) -> AnswerPlan? {
        switch words.fault {
        case .status(let status, let variant, let amount):
            return errors(model).plan(fault: status, variant: variant, amount: amount)
        case .hang: return .silence()
        case .reset: return .reset()
        case nil, .slowHead, .cut, .cutClean, .stall, .errorEvent, .empty, .emptyBody, .garbage, .hugeEvent, .gzip,
            .longLength, .shortLength:
            return nil
        }
    }

    /// Adds what holds for every answer of the call.
    private func finished(_ plan: AnswerPlan, _ words: ControlWords, model: String?, isStream: Bool) -> AnswerPlan {
        var plan = plan
        plan.apply(words)
        plan.model = model
        plan.isStream = isStream
        plan.fault = words.fault?.name
        return plan
    }

    private func errors(_ model: String?) -> AnthropicErrors {
        AnthropicErrors(headers: headers, credential: credential, model: model)
    }
}
