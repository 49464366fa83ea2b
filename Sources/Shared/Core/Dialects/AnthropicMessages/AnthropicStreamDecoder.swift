import Bytes
import Domain
import Formats
import Glibc

/// Reads a stream of the Messages API (docs: Streaming messages).
///
/// Blocks of server tools are left out: their findings stand in the texts, their number in the usage.
internal final class AnthropicStreamDecoder: StreamDecoder {
    private var steps = AnswerSteps()
    private var usage = NeutralUsage()
    private var isSkipping = false
    /// What the data of a text or thinking delta of the open block begins with, as Anthropic writes it.
    private var plainHead = OwnedBytes()
    private var decoded: [UInt8] = []

    func receive(_ event: SSEEvent, _ parser: JSONParser, into sink: any NeutralSink) {
        guard event.hasData, event.isComplete, !steps.isOver, !event.data.isEmpty else { return }
        if receivePlain(event.data, sink) { return }
        do {
            try parser.parse(event.data) { receive($0.root, sink) }
        } catch {
            steps.fail(NeutralError(.upstream, "The upstream sent an event that is not valid JSON."), sink)
        }
    }

    func finish(into sink: any NeutralSink) {}

    // MARK: Most events

    /// Takes in a text or thinking delta that is written in the usual way. Most events of most streams are such, and
    /// finding the text costs a third of what parsing the event does.
    private func receivePlain(_ data: UnsafeRawBufferPointer, _ sink: any NeutralSink) -> Bool {
        let head = plainHead.count
        guard head > 0, data.count > head, let base = data.baseAddress,
            plainHead.withBytes({ memcmp(base, $0.baseAddress.unsafelyUnwrapped, head) }) == 0
        else { return false }
        let rest = UnsafeRawBufferPointer(rebasing: data[head...])
        switch JSONText.inside(rest, &decoded) {
        case nil: return false
        case .plain(let length):
            guard Self.closes(rest, after: length) else { return false }
            emit(LentText(UnsafeRawBufferPointer(rebasing: rest[..<length])), sink)
        case .decoded(let length):
            guard Self.closes(rest, after: length) else { return false }
            decoded.withUnsafeBytes { emit(LentText($0), sink) }
        }
        return true
    }

    private func emit(_ text: LentText, _ sink: any NeutralSink) {
        guard !text.isEmpty else { return }
        if steps.open == .thinking { steps.thinking(text, sink) } else { steps.text(text, sink) }
    }

    /// Whether two braces and nothing but spaces follow the closing quote.
    private static func closes(_ rest: UnsafeRawBufferPointer, after quote: Int) -> Bool {
        var braces = 0
        for byte in rest[(quote + 1)...] {
            if byte == UInt8(ascii: "}") { braces += 1 } else if byte != 0x20 { return false }
        }
        return braces == 2
    }

    private func expectPlainDeltas(_ index: JSONValue?) {
        plainHead = OwnedBytes()
        guard let index = index?.int64, steps.open == .text || steps.open == .thinking else { return }
        let field = steps.open == .text ? "text" : "thinking"
        let head =
            "{\"type\":\"content_block_delta\",\"index\":\(index),\"delta\":{\"type\":\"\(field)_delta\",\"\(field)\":\""
        plainHead = OwnedBytes(Array(head.utf8))
    }

    // MARK: All events

    private func receive(_ event: JSONValue, _ sink: any NeutralSink) {
        guard let type = event["type"] else { return }
        if type.equals("content_block_delta") {
            if let delta = event["delta"], !isSkipping { receiveDelta(delta, sink) }
        } else if type.equals("content_block_start") {
            isSkipping = false
            if let block = event["content_block"] { isSkipping = !begin(block, sink) }
            expectPlainDeltas(event["index"])
        } else if type.equals("content_block_stop") {
            isSkipping = false
            plainHead = OwnedBytes()
            steps.close(sink)
        } else if type.equals("message_start") {
            guard let message = event["message"] else { return }
            AnthropicAnswerDecoder.start(message, &steps, sink)
            report(message["usage"], isFinal: false, sink)
        } else if type.equals("message_delta") {
            if let delta = event["delta"], let stop = AnthropicAnswerDecoder.stop(delta) { steps.stop(stop, sink) }
            report(event["usage"], isFinal: true, sink)
        } else if type.equals("message_stop") {
            steps.end(sink)
        } else if type.equals("error") {
            steps.fail(AnthropicMessagesCodec.error(event["error"], status: nil), sink)
        }
    }

    private func receiveDelta(_ delta: JSONValue, _ sink: any NeutralSink) {
        guard let type = delta["type"] else { return }
        if type.equals("text_delta") {
            if let text = delta["text"]?.lent, !text.isEmpty { steps.text(text, sink) }
        } else if type.equals("input_json_delta") {
            if let piece = delta["partial_json"]?.lent, !piece.isEmpty { steps.arguments(piece, sink) }
        } else if type.equals("thinking_delta") {
            if let text = delta["thinking"]?.lent, !text.isEmpty { steps.thinking(text, sink) }
        } else if type.equals("signature_delta") {
            if let seal = delta["signature"]?.string, !seal.isEmpty {
                steps.signature(NeutralSignature(seal, from: .anthropic), sink)
            }
        } else if type.equals("citations_delta") {
            if let citation = delta["citation"].flatMap(AnthropicAnswerDecoder.citation) {
                steps.citation(citation, sink)
            }
        }
    }

    /// Whether the block is one that others can be told of.
    private func begin(_ block: JSONValue, _ sink: any NeutralSink) -> Bool {
        AnthropicAnswerDecoder.begin(block, &steps, sink)
    }

    private func report(_ object: JSONValue?, isFinal: Bool, _ sink: any NeutralSink) {
        guard let object, object.isObject else { return }
        usage.isFinal = AnthropicAnswerDecoder.update(&usage, from: object) && isFinal
        steps.usage(usage, sink)
    }
}
