import Dialects
import Domain
import Formats
import Providers

/// Reads the answer to a test call as it comes.
final class TestAnswer: NeutralSink {
    private let decoder: any StreamDecoder
    private let transform: (any AnswerTransform)?
    private let onText: (String) -> Void
    private let parser = JSONParser()
    private var events = SSEParser(maximumEventBytes: 4 << 20)

    private(set) var hasContent = false
    private(set) var hasEnded = false
    /// What the upstream says is wrong, or that its bytes are no answer.
    private(set) var fault: String?

    /// Nil when nothing reads that dialect.
    init?(_ dialect: Dialect, _ form: AnswerForm, onText: @escaping (String) -> Void) {
        guard let codec = DialectRegistry.codec(of: dialect) else { return nil }
        decoder = codec.makeStreamDecoder()
        transform = form.makeTransform()
        self.onText = onText
    }

    func feed(_ bytes: UnsafeRawBufferPointer) {
        guard fault == nil else { return }
        do {
            guard let transform else { return try events.feed(bytes) { take($0) } }
            var opened: [UInt8] = []
            try transform.feed(bytes, parser, into: &opened)
            try events.feed(opened) { take($0) }
        } catch {
            fault = "The answer could not be read."
        }
    }

    func finish() {
        guard fault == nil else { return }
        _ = try? events.finish { take($0) }
        decoder.finish(into: self)
        if fault == nil, !hasContent { fault = "The upstream answered without content." }
    }

    private func take(_ event: SSEEvent) { decoder.receive(event, parser, into: self) }

    func receive(_ event: NeutralEvent) {
        switch event {
        case .text(let text):
            guard !text.isEmpty else { return }
            hasContent = true
            onText(text.string)
        case .thinking, .arguments, .blockStart(.image), .blockStart(.toolUse), .blockStart(.redactedThinking):
            hasContent = true
        // An answer that was used up by thoughts is an answer as well; one that just ends is none.
        case .stop(let stop): if stop != .endTurn { hasContent = true }
        case .end: hasEnded = true
        case .error(let error): fault = error.message
        case .start, .blockStart, .signature, .citation, .blockEnd, .usage: break
        }
    }
}
