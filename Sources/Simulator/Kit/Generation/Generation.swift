/// What the model says: content blocks, why it stops, and what it costs.
///
/// The text names the digest of the request's body and repeats the user's last words, so a test can tell which request
/// it answers: `[sim 0123456789abcdef] Hello`.
package struct Generation {
    package enum Block: Equatable {
        case thinking(String)
        case text(String)
        /// `id` is without the prefix that a platform's ids have.
        case toolUse(id: String, ToolCall)
        /// The model refuses.
        case refusal(String)
    }

    /// Why it ends, in no dialect's words.
    package enum StopReason: Equatable {
        case end, maxTokens, toolUse, refusal
        case stopSequence(String)
    }

    package var blocks: [Block] = []
    package var stopReason = StopReason.end
    /// Bytes of the thinking, also when it is not shown.
    private var thinkingBytes = 0

    /// - Parameters:
    ///   - digest: of the request's body.
    ///   - words: decide the length of the text.
    package init(answering request: GenerationRequest, digest: String, words: ControlWords) {
        guard request.maxTokens != 0 else {
            stopReason = .maxTokens
            return
        }
        if words.isRefusing {
            blocks = [.refusal("[sim \(digest)] I cannot help with that.")]
            stopReason = .refusal
            return
        }
        if request.isThinking || words.isThinking {
            let thinking = "Thinking [sim \(digest)] about: \(request.lastUserText.prefixOfUTF8(64))"
            blocks.append(.thinking(request.showsThinking ? thinking : ""))
            thinkingBytes = thinking.utf8.count
        }
        if request.calls.isEmpty {
            blocks.append(.text(text(for: request, digest: digest, words: words)))
        } else {
            let names = request.calls.map(\.name).joined(separator: ", ")
            blocks.append(.text("[sim \(digest)] Calling \(names)."))
            for (index, call) in request.calls.enumerated() {
                blocks.append(.toolUse(id: "sim\(digest)\(index)", call))
            }
            stopReason = .toolUse
        }
    }

    private mutating func text(for request: GenerationRequest, digest: String, words: ControlWords) -> String {
        var text: String
        if let structured = request.structuredAnswer {
            text = String(decoding: structured, as: UTF8.self)
        } else if request.toolResults.isEmpty {
            text = "[sim \(digest)] \(request.lastUserText)"
        } else {
            text = "[sim \(digest)] Tool results:"
            for result in request.toolResults { text += " \(result.id)=\(result.text.prefixOfUTF8(1024));" }
        }
        if case .hugeEvent(let mebibytes)? = words.fault {
            text = Self.fitted(text, to: mebibytes << 20)
        } else if let bytes = words.bytes {
            text = Self.fitted(text, to: bytes)
        } else if let events = words.events {
            text = Self.fitted(text, to: max(text.utf8.count, events * Self.eventBytes))
        } else if let most = request.maxTokens, Prompt.tokens(text.utf8.count) > most {
            // As many bytes as so many tokens have at most; no overflow, since the text is longer.
            text = text.prefixOfUTF8(most * 4)
            stopReason = .maxTokens
        }
        cut(&text, before: request.stopSequences)
        return text
    }

    private mutating func cut(_ text: inout String, before sequences: [String]) {
        var earliest: (at: String.Index, sequence: String)?
        for sequence in sequences where !sequence.isEmpty {
            guard let found = text.firstRange(of: sequence) else { continue }
            if earliest.map({ found.lowerBound < $0.at }) ?? true { earliest = (found.lowerBound, sequence) }
        }
        guard let earliest else { return }
        text = String(text[..<earliest.at])
        stopReason = .stopSequence(earliest.sequence)
    }

    /// Bytes of an event's text, when the number of events is asked for and the number of bytes is not.
    private static let eventBytes = 16

    private static let filler = Array(" one two three four five six seven eight nine ten".utf8)

    /// The text, cut or continued to exactly so many bytes.
    static func fitted(_ text: String, to count: Int) -> String {
        var bytes = Array(text.prefixOfUTF8(count).utf8)
        bytes.reserveCapacity(count)
        while bytes.count < count { bytes.append(contentsOf: filler.prefix(count - bytes.count)) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The signature that a thinking with this text has, and must have when it comes back.
    package static func signature(of thinking: String) -> String {
        var digest = Digest()
        digest.update(thinking)
        return (0..<4).reduce(into: "EsimA") { signature, round in
            digest.update("\(round)")
            signature += digest.hex
        }
    }

    /// The shown thinking; nil without any.
    var thinking: String? {
        for case .thinking(let thinking) in blocks { return thinking }
        return nil
    }

    /// The text of all blocks that are text.
    var text: String {
        blocks.reduce(into: "") { text, block in
            if case .text(let more) = block { text += more }
        }
    }

    /// Bytes of everything that was generated; four are a token.
    var generatedBytes: Int {
        blocks.reduce(thinkingBytes) { bytes, block in
            switch block {
            case .thinking: bytes
            case .text(let text), .refusal(let text): bytes + text.utf8.count
            case .toolUse(_, let call): bytes + call.name.utf8.count + call.input.count
            }
        }
    }

    var outputTokens: Int { blocks.isEmpty ? 0 : max(1, Prompt.tokens(generatedBytes)) }

    var thinkingTokens: Int { Prompt.tokens(thinkingBytes) }
}
