package import Domain

/// Decoded UTF-8 that belongs to somebody else: it must not outlive the call it came with.
package struct LentText {
    /// Valid UTF-8.
    package let bytes: UnsafeRawBufferPointer

    /// - Parameter bytes: what a parser has found to be UTF-8.
    package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    package var isEmpty: Bool { bytes.isEmpty }
    package var string: String { String(decoding: bytes, as: UTF8.self) }

    /// Lends a text of our own.
    package static func lending(_ text: String, _ body: (LentText) -> Void) {
        var text = text
        text.withUTF8 { body(LentText(UnsafeRawBufferPointer($0))) }
    }
}

/// A step of an answer.
///
/// The order: `start`, then blocks one after the other (`blockStart`, deltas of its kind, `blockEnd`), `usage` whenever
/// counts are known (cumulative), `stop`, `end`. After `error` nothing follows. Decoders keep this order whatever comes
/// from upstream; encoders rely on it.
package enum NeutralEvent {
    /// Empty texts where the upstream does not say.
    case start(id: LentText, model: LentText)
    case blockStart(NeutralBlock)
    /// In a `text` or `refusal` block.
    case text(LentText)
    /// In a `thinking` block.
    case thinking(LentText)
    /// In a `thinking` block, after its text.
    case signature(NeutralSignature)
    /// In a `toolUse` block: a further piece of the arguments' JSON text.
    case arguments(LentText)
    /// In a `text` block: a source of what was said.
    case citation(NeutralCitation)
    case blockEnd
    /// All tokens so far.
    case usage(NeutralUsage)
    case stop(NeutralStop)
    /// The answer is complete.
    case end
    case error(NeutralError)
}

package enum NeutralBlock: Hashable, Sendable {
    case text
    /// Words with which the model declines.
    case refusal
    case thinking
    case redactedThinking(NeutralSignature)
    /// Arguments follow; no argument text at all means `{}`.
    case toolUse(id: String, name: String, signature: NeutralSignature?)
    /// A generated image, whole; base 64.
    case image(mediaType: String, data: String)
}

package struct NeutralCitation: Hashable, Sendable {
    package var url: String
    package var title: String?
    package var text: String?

    package init(url: String, title: String? = nil, text: String? = nil) {
        self.url = url
        self.title = title
        self.text = text
    }
}

package struct NeutralUsage: Hashable, Sendable {
    package var tokens: TokenUsage
    /// The part of `tokens.output` that was thinking, where the upstream says.
    package var reasoning: Int64?
    /// Whether this is the upstream's last word rather than a count on the way.
    package var isFinal: Bool

    package init(_ tokens: TokenUsage = TokenUsage(), reasoning: Int64? = nil, isFinal: Bool = false) {
        self.tokens = tokens
        self.reasoning = reasoning
        self.isFinal = isFinal
    }

    /// Everything that was sent, cached or not: what OpenAI and Google call prompt tokens.
    package var allInput: Int64 { tokens.input &+ tokens.cacheRead &+ tokens.cacheWrite }
}

package enum NeutralStop: Hashable, Sendable {
    case endTurn
    case maxTokens
    /// Which one, where the upstream says.
    case stopSequence(String?)
    case toolUse
    /// The model or a filter declined; the upstream's own word for why, if any.
    case refusal(String?)
    /// A server tool takes long; the caller may send the answer back to go on (Anthropic `pause_turn`).
    case pause
    /// The context window is full.
    case contextFull
    /// The model wrote a tool call that cannot be read (Gemini `MALFORMED_FUNCTION_CALL`).
    case malformedToolCall
}
