import Formats
import HTTPMessages

/// One call whose credential is good, from its body to the plan of its answer.
///
/// The order is the APIs' own: what is wrong with the service comes before what is wrong with the request.
struct Turn {
    let call: SimulatedCall
    let body: [UInt8]
    let credential: Credential
    let errors: any PlatformErrors

    /// What the path says about a call; the body says the rest.
    struct Subject {
        var model: String?
        var isStream: Bool?
    }

    /// Answers a call with a JSON body; `respond` does for a good body without a fault that leaves nothing of it.
    ///
    /// - Parameter adjusting: may change the words of a call before they take effect.
    func answer(
        _ state: inout SimulatorState,
        _ parser: JSONParser,
        _ path: Subject = Subject(),
        adjusting: ((JSONDocument, inout ControlWords, inout SimulatorState) -> Void)? = nil,
        _ respond: (JSONDocument, ControlWords, inout SimulatorState) throws(Refusal) -> AnswerPlan
    ) -> AnswerPlan {
        do {
            return try parser.parse(body) { document in
                let subject = Subject(
                    model: path.model
                        ?? (document.root["model"] ?? document.root["request"]?["model"])?.string,
                    isStream: path.isStream ?? document.root["stream"]?.bool ?? false
                )
                var words = state.faults.words(credential: credential.secret, model: subject.model)
                adjusting?(document, &words, &state)
                return answer(&state, subject, words) { (words, state) throws(Refusal) in
                    try respond(document, words, &state)
                }
            }
        } catch {
            return answer(&state, path) { (_, _) throws(Refusal) in
                throw Refusal("The request body is not valid JSON")
            }
        }
    }

    /// What tells whose account it is, and where.
    private static let leak =
        "org-SimAbC0123456789 of owner@sim-corp.example (key sk-sim-0123456789ab) may not do this at"
        + " http://10.0.0.7:9000/internal"

    /// Answers a call whose body does not matter; `known` are its words where they have been asked for.
    func answer(
        _ state: inout SimulatorState,
        _ subject: Subject = Subject(),
        _ known: ControlWords? = nil,
        _ respond: (ControlWords, inout SimulatorState) throws(Refusal) -> AnswerPlan
    ) -> AnswerPlan {
        let words = known ?? state.faults.words(credential: credential.secret, model: subject.model)
        var plan: AnswerPlan
        switch words.fault {
        case .status(let status, "leak", _): plan = errors.refusal(Refusal(Self.leak, status: status))
        case .status(let status, let variant, let amount):
            plan = errors.fault(status, variant: variant, amount: amount, model: subject.model)
        case .hang: plan = .silence()
        case .reset: plan = .reset()
        case nil, .slowHead, .cut, .cutClean, .stall, .errorEvent, .empty, .emptyBody, .garbage, .hugeEvent, .gzip,
            .longLength, .shortLength, .badChecksum:
            do throws(Refusal) {
                plan = try respond(words, &state)
            } catch {
                plan = errors.refusal(error)
            }
        }
        plan.apply(words)
        plan.model = subject.model
        plan.isStream = subject.isStream ?? false
        plan.fault = words.fault?.name
        return plan
    }
}
