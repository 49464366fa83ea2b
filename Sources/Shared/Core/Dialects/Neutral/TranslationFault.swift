/// A request that cannot be expressed where it would have to go: answered with 400, naming the caller's field.
package struct TranslationFault: Error, Hashable, Sendable {
    package enum Place: Hashable, Sendable {
        /// A field by its name in the caller's dialect.
        case caller(String)
        /// A part of the neutral form, which the caller's codec gives its own name.
        case neutral(NeutralField)
    }

    package var place: Place
    /// The caller's text: what is wrong, without the field's name.
    package var message: String

    package init(_ field: String, _ message: String) {
        place = .caller(field)
        self.message = message
    }

    package init(_ field: NeutralField, _ message: String) {
        place = .neutral(field)
        self.message = message
    }
}

/// The parts of the neutral form that some dialect lacks.
package enum NeutralField: String, Hashable, Sendable, CaseIterable {
    case model, system, messages, tools, toolChoice, parallelTools, serverTools, maxTokens, temperature, topP, topK
    case stopSequences, frequencyPenalty, presencePenalty, seed, responseFormat, reasoning, user
}
