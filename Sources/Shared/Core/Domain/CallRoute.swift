/// What the request line says of a call to a model.
package struct CallRoute: Hashable, Sendable {
    package enum Action: Sendable {
        /// A model answers.
        case generate
        /// Tokens are counted; nothing is billed.
        case countTokens
        case embed
    }
    package var dialect: Dialect
    package var action: Action
    /// The model, where the path names it (Gemini).
    package var model: String?
    /// Whether the path asks for a stream (Gemini).
    package var isStream: Bool
    /// Whether it came below `/antigravity`, which keys of antigravity groups alone may use.
    package var isAntigravity: Bool

    package init(
        _ dialect: Dialect,
        _ action: Action = .generate,
        model: String? = nil,
        isStream: Bool = false,
        isAntigravity: Bool = false
    ) {
        self.dialect = dialect
        self.action = action
        self.model = model
        self.isStream = isStream
        self.isAntigravity = isAntigravity
    }
}
