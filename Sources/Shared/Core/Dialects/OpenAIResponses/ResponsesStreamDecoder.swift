import Domain
import Formats

/// Reads a stream of the Responses API (API reference: Streaming events).
///
/// Items come one after the other. What an item holds is taken from its deltas; from its `done` event only where no
/// delta came, for some upstreams send whole items.
internal final class ResponsesStreamDecoder: StreamDecoder {
    private var steps = AnswerSteps()
    private var webSearches: Int64 = 0
    private var calledTool = false
    /// Whether the open item has had a delta.
    private var hasDelta = false

    func receive(_ event: SSEEvent, _ parser: JSONParser, into sink: any NeutralSink) {
        guard event.hasData, event.isComplete, !steps.isOver, !event.data.isEmpty else { return }
        if event.data.elementsEqual("[DONE]".utf8) { return }
        do {
            try parser.parse(event.data) { receive($0.root, sink) }
        } catch {
            steps.fail(NeutralError(.upstream, "The upstream sent an event that is not valid JSON."), sink)
        }
    }

    func finish(into sink: any NeutralSink) {}

    private func receive(_ event: JSONValue, _ sink: any NeutralSink) {
        guard let type = event["type"] else {
            if let error = event["error"], !error.isNull { steps.fail(OpenAIErrorText.error(error, status: nil), sink) }
            return
        }
        if type.equals("response.output_text.delta") {
            delta(event).map { steps.text($0, sink) }
        } else if type.equals("response.function_call_arguments.delta") {
            delta(event).map { steps.arguments($0, sink) }
        } else if type.equals("response.reasoning_summary_text.delta") || type.equals("response.reasoning_text.delta") {
            delta(event).map { steps.thinking($0, sink) }
        } else if type.equals("response.refusal.delta") {
            delta(event).map { steps.refusal($0, sink) }
        } else if type.equals("response.output_item.added") {
            event["item"].map { added($0, sink) }
        } else if type.equals("response.output_item.done") {
            event["item"].map { done($0, sink) }
        } else {
            receiveRare(type, event, sink)
        }
    }

    private func receiveRare(_ type: JSONValue, _ event: JSONValue, _ sink: any NeutralSink) {
        if type.equals("response.created") || type.equals("response.in_progress") {
            event["response"].map { ResponsesAnswerDecoder.start($0, &steps, sink) }
        } else if type.equals("response.reasoning_summary_part.added") {
            // Parts of one summary are paragraphs.
            if event["summary_index"]?.int64 ?? 0 > 0 {
                LentText.lending("\n\n") { steps.thinking($0, sink) }
            }
        } else if type.equals("response.output_text.annotation.added") {
            if let citation = event["annotation"].flatMap(ResponsesAnswerDecoder.citation) {
                steps.citation(citation, sink)
            }
        } else if type.equals("response.completed") || type.equals("response.incomplete") {
            guard let response = event["response"] else { return }
            ResponsesAnswerDecoder.start(response, &steps, sink)
            ResponsesAnswerDecoder.finish(response, calledTool: calledTool, webSearches: webSearches, &steps, sink)
        } else if type.equals("response.failed") || type.equals("response.cancelled") {
            event["response"].map { ResponsesAnswerDecoder.fail($0, &steps, sink) }
        } else if type.equals("error") {
            // The fields stand in the event itself, or in an object as in other errors.
            let error = event["error"].flatMap { $0.isObject ? $0 : nil } ?? event
            steps.fail(OpenAIErrorText.error(error, status: nil), sink)
        }
    }

    private func delta(_ event: JSONValue) -> LentText? {
        guard let piece = event["delta"]?.lent, !piece.isEmpty else { return nil }
        hasDelta = true
        return piece
    }

    private func added(_ item: JSONValue, _ sink: any NeutralSink) {
        steps.close(sink)
        hasDelta = false
        guard item["type"]?.equals("function_call") == true else { return }
        calledTool = true
        ResponsesAnswerDecoder.begin(call: item, &steps, sink)
    }

    private func done(_ item: JSONValue, _ sink: any NeutralSink) {
        guard let type = item["type"] else { return }
        if type.equals("function_call") {
            if steps.open != .toolUse {
                calledTool = true
                ResponsesAnswerDecoder.begin(call: item, &steps, sink)
            }
            if !hasDelta, let text = item["arguments"]?.lent, !text.isEmpty { steps.arguments(text, sink) }
        } else if type.equals("reasoning") {
            ResponsesAnswerDecoder.read(reasoning: item, withText: !hasDelta, &steps, sink)
        } else if type.equals("message") {
            if !hasDelta { ResponsesAnswerDecoder.read(message: item, &steps, sink) }
        } else if type.equals("image_generation_call") {
            ResponsesAnswerDecoder.read(image: item, &steps, sink)
        } else if OpenAIResponsesWire.isSearch(item) {
            webSearches += 1
        }
        steps.close(sink)
        hasDelta = false
    }
}
