/// A whole answer: what its events amount to.
package struct NeutralAnswer: Hashable, Sendable {
    package enum Block: Hashable, Sendable {
        case text(String, citations: [NeutralCitation])
        case refusal(String)
        case thinking(NeutralThinking)
        case redactedThinking(NeutralSignature)
        case toolUse(NeutralToolUse)
        case image(mediaType: String, data: String)
    }

    package var id = ""
    package var model = ""
    package var blocks: [Block] = []
    package var usage = NeutralUsage()
    package var stop = NeutralStop.endTurn

    package init() {}
}

/// Folds events into an answer: the one way from steps to a whole, whichever dialects are at its ends.
package final class NeutralFold: NeutralSink {
    /// More text than this, in bytes, is no answer but an attack on our memory.
    package static let maximumBytes = 64 << 20

    package private(set) var answer = NeutralAnswer()
    package private(set) var error: NeutralError?
    package private(set) var hasEnded = false
    private var open: NeutralBlock?
    private var text: [UInt8] = []
    private var signature: NeutralSignature?
    private var citations: [NeutralCitation] = []
    private var total = 0

    package init() {}

    package func receive(_ event: NeutralEvent) {
        guard error == nil else { return }
        switch event {
        case .start(let id, let model):
            answer.id = id.string
            answer.model = model.string
        case .blockStart(let block): open = block
        case .text(let piece), .thinking(let piece), .arguments(let piece): append(piece)
        case .signature(let value): signature = value
        case .citation(let citation): citations.append(citation)
        case .blockEnd: close()
        case .usage(let usage): answer.usage = usage
        case .stop(let stop): answer.stop = stop
        case .end:
            close()
            hasEnded = true
        case .error(let fault): error = fault
        }
    }

    private func append(_ piece: LentText) {
        total += piece.bytes.count
        guard total <= Self.maximumBytes else {
            error = NeutralError(.upstream, "The upstream's answer is too large.")
            return
        }
        text.append(contentsOf: piece.bytes)
    }

    private func close() {
        guard let block = open else { return }
        switch block {
        case .text: answer.blocks.append(.text(String(decoding: text, as: UTF8.self), citations: citations))
        case .refusal: answer.blocks.append(.refusal(String(decoding: text, as: UTF8.self)))
        case .thinking:
            let thinking = NeutralThinking(text: String(decoding: text, as: UTF8.self), signature: signature)
            answer.blocks.append(.thinking(thinking))
        case .redactedThinking(let signature): answer.blocks.append(.redactedThinking(signature))
        case .toolUse(let id, let name, let signature):
            let arguments = ToolArguments.object(fromModel: text)
            answer.blocks.append(
                .toolUse(NeutralToolUse(id: id, name: name, arguments: arguments, signature: signature))
            )
        case .image(let mediaType, let data): answer.blocks.append(.image(mediaType: mediaType, data: data))
        }
        open = nil
        text.removeAll(keepingCapacity: true)
        signature = nil
        citations = []
    }
}
