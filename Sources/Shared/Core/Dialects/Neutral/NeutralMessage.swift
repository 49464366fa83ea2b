package import Domain

package struct NeutralMessage: Hashable, Sendable {
    package enum Role: Hashable, Sendable {
        /// A system or developer prompt in the middle of the conversation.
        case system
        case user
        case assistant
    }

    package var role: Role
    package var parts: [NeutralPart]

    package init(_ role: Role, _ parts: [NeutralPart]) {
        self.role = role
        self.parts = parts
    }
}

/// A piece of a message, with the mark that a prompt cache may end after it.
package struct NeutralPart: Hashable, Sendable {
    package enum Content: Hashable, Sendable {
        case text(String)
        /// The model declined, in words (OpenAI `refusal`).
        case refusal(String)
        case image(NeutralMedia)
        case audio(NeutralMedia)
        case document(NeutralMedia)
        case toolUse(NeutralToolUse)
        case toolResult(NeutralToolResult)
        case thinking(NeutralThinking)
        /// Thoughts that only their maker can read.
        case redactedThinking(NeutralSignature)
    }

    package var content: Content
    package var cache: NeutralCacheMark?

    package init(_ content: Content, cache: NeutralCacheMark? = nil) {
        self.content = content
        self.cache = cache
    }

    package static func text(_ text: String) -> NeutralPart { NeutralPart(.text(text)) }

    /// The text of a text part.
    package var text: String? { if case .text(let text) = content { text } else { nil } }
}

/// Anthropic's `cache_control: {"type":"ephemeral","ttl"}`.
package struct NeutralCacheMark: Hashable, Sendable {
    /// `5m` or `1h`; nil is the upstream's default.
    package var ttl: String?
    package init(ttl: String? = nil) { self.ttl = ttl }
}

/// An image, a recording or a document in a request.
package struct NeutralMedia: Hashable, Sendable {
    package enum Source: Hashable, Sendable {
        /// `data` is valid base 64 in the standard alphabet.
        case base64(mediaType: String, data: String)
        case url(String)
        /// A file that lies with the provider: only its own dialect can name it.
        case file(id: String)
        /// A plain-text document.
        case text(String)
    }

    package var source: Source
    package var title: String?
    /// Text that goes with a document without being cited (Anthropic `context`).
    package var context: String?
    /// The field of the caller's request that asks for citations of a document; nil where none does.
    package var citations: String?
    /// OpenAI `detail`: `low`, `high`, `auto`.
    package var detail: String?
    /// Where it stands in the caller's request: faults name it so.
    package var field: String

    package init(_ source: Source, title: String? = nil, detail: String? = nil, field: String) {
        self.source = source
        self.title = title
        self.detail = detail
        self.field = field
    }

    /// For upstreams whose answers point at no passages of documents.
    func refuseCitations() throws {
        if let citations { throw TranslationFault(citations, "this model cannot cite documents") }
    }
}

package struct NeutralToolUse: Hashable, Sendable {
    package var id: String
    package var name: String
    /// A JSON object. An argument text that is none is kept as the member `_raw` of one.
    package var arguments: RawJSON
    /// What the maker needs back with the call (Gemini `thoughtSignature`).
    package var signature: NeutralSignature?

    package init(id: String, name: String, arguments: RawJSON, signature: NeutralSignature? = nil) {
        self.id = id
        self.name = name
        self.arguments = arguments
        self.signature = signature
    }
}

package struct NeutralToolResult: Hashable, Sendable {
    /// The id of the tool use it answers.
    package var id: String
    /// The tool's name where the dialect says it (Gemini); others find it by the id.
    package var name: String?
    /// Text, images and documents.
    package var parts: [NeutralPart]
    package var isError: Bool

    package init(id: String, name: String? = nil, parts: [NeutralPart], isError: Bool = false) {
        self.id = id
        self.name = name
        self.parts = parts
        self.isError = isError
    }
}

package struct NeutralThinking: Hashable, Sendable {
    package var text: String
    package var signature: NeutralSignature?

    package init(text: String, signature: NeutralSignature? = nil) {
        self.text = text
        self.signature = signature
    }
}

/// A maker's seal on its thoughts. Only the dialect it came from can read it.
///
/// A caller of another dialect carries it in its own field for such seals, as `tg1.<dialect>.<value>`, and gives it back
/// with the next turn. A seal that meets an upstream of another dialect is dropped together with what it seals: to
/// that upstream it is no more than noise, and it would refuse it.
package struct NeutralSignature: Hashable, Sendable {
    private static let mark = "tg1."
    private static let redactedMark = "tg1r."

    package var origin: Dialect
    package var value: String

    package init(_ value: String, from origin: Dialect) {
        self.value = value
        self.origin = origin
    }

    /// Reads what stands in a caller's field.
    ///
    /// - Parameter carrier: the dialect of that field, where an unmarked value comes from.
    package init(carried text: String, by carrier: Dialect) {
        self.init(text, from: carrier)
        guard Self.isMarked(text), let first = text.firstIndex(of: ".") else { return }
        let rest = text[text.index(after: first)...]
        guard let dot = rest.firstIndex(of: "."), let origin = Dialect(rawValue: String(rest[..<dot])) else { return }
        self.init(String(rest[rest.index(after: dot)...]), from: origin)
    }

    /// What a caller's field holds.
    ///
    /// - Parameter isRedacted: whether the seal is all there is of the thought, in dialects that have no other way to
    ///   tell.
    package func carried(by carrier: Dialect, isRedacted: Bool = false) -> String {
        if origin == carrier { return value }
        return "\(isRedacted ? Self.redactedMark : Self.mark)\(origin.rawValue).\(value)"
    }

    /// Whether a field of a caller holds a redacted thought of another dialect.
    package static func isRedacted(carried text: String) -> Bool { text.hasPrefix(redactedMark) }

    private static func isMarked(_ text: String) -> Bool { text.hasPrefix(mark) || text.hasPrefix(redactedMark) }
}

extension [NeutralPart] {
    /// A seal of Gemini stands on the tool call itself. Other dialects have no place for it there, so their encoders
    /// write it as a thought without text before the call; this puts it back.
    package var withToolSignaturesAttached: [NeutralPart] {
        var result: [NeutralPart] = []
        result.reserveCapacity(count)
        for var part in self {
            if case .toolUse(var use) = part.content, use.signature == nil, let seal = result.last?.bareToolSignature {
                use.signature = seal
                part.content = .toolUse(use)
                result[result.count - 1] = part
            } else {
                result.append(part)
            }
        }
        return result
    }
}

extension NeutralPart {
    fileprivate var bareToolSignature: NeutralSignature? {
        switch content {
        case .redactedThinking(let seal) where seal.origin == .gemini: seal
        case .thinking(let thinking) where thinking.text.isEmpty && thinking.signature?.origin == .gemini:
            thinking.signature
        default: nil
        }
    }
}
