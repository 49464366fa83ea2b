import Domain
import Formats

/// Reads a stream of the Messages API (docs: Streaming messages).
///
/// Blocks of server tools are left out: their findings stand in the texts, their number in the usage.
internal final class AnthropicStreamDecoder: StreamDecoder {
    private var steps = AnswerSteps()
    private var usage = NeutralUsage()
    private var isSkipping = false

    func receive(_ event: SSEEvent, _ parser: JSONParser, into sink: any NeutralSink) {
        guard event.hasData, event.isComplete, !steps.isOver else { return }
        do {
            try parser.parse(event.data) { receive($0.root, sink) }
        } catch {
            steps.fail(NeutralError(.upstream, "The upstream sent an event that is not valid JSON."), sink)
        }
    }

    func finish(into sink: any NeutralSink) {}

    private func receive(_ event: JSONValue, _ sink: any NeutralSink) {
        guard let type = event["type"] else { return }
        if type.equals("content_block_delta") {
            if let delta = event["delta"], !isSkipping { receiveDelta(delta, sink) }
        } else if type.equals("content_block_start") {
            isSkipping = false
            if let block = event["content_block"] { isSkipping = !begin(block, sink) }
        } else if type.equals("content_block_stop") {
            isSkipping = false
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
            if let text = delta["text"]?.lent { steps.text(text, sink) }
        } else if type.equals("input_json_delta") {
            if let piece = delta["partial_json"]?.lent, !piece.isEmpty { steps.arguments(piece, sink) }
        } else if type.equals("thinking_delta") {
            if let text = delta["thinking"]?.lent { steps.thinking(text, sink) }
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
        AnthropicAnswerDecoder.update(&usage, from: object)
        usage.isFinal = isFinal
        steps.usage(usage, sink)
    }
}
