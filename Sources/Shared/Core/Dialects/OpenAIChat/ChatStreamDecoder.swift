import Domain
import Formats

/// Reads a stream of Chat Completions (API reference: the chat completion chunk object).
internal final class ChatStreamDecoder: StreamDecoder {
    private var steps = AnswerSteps()
    private var usage = NeutralUsage()
    private var call: (index: Int64, id: String, name: String)?
    private var calledTool = false
    private var cites = false
    private var stop: NeutralStop?

    func receive(_ event: SSEEvent, _ parser: JSONParser, into sink: any NeutralSink) {
        guard event.hasData, event.isComplete, !steps.isOver, !event.data.isEmpty else { return }
        if event.data.elementsEqual("[DONE]".utf8) { return end(sink) }
        do {
            try parser.parse(event.data) { receive($0.root, sink) }
        } catch {
            steps.fail(NeutralError(.upstream, "The upstream sent an event that is not valid JSON."), sink)
        }
    }

    /// Some upstreams leave out `[DONE]`; a reason to finish says as much.
    func finish(into sink: any NeutralSink) {
        if stop != nil { end(sink) }
    }

    private func end(_ sink: any NeutralSink) {
        guard !steps.isOver else { return }
        guard stop != nil else {
            return steps.fail(NeutralError(.upstream, "The upstream's answer is incomplete."), sink)
        }
        steps.end(sink)
    }

    private func receive(_ chunk: JSONValue, _ sink: any NeutralSink) {
        if let error = chunk["error"], !error.isNull {
            return steps.fail(OpenAIErrorText.error(error, status: nil), sink)
        }
        if !steps.isStarted {
            let nothing = LentText(UnsafeRawBufferPointer(start: nil, count: 0))
            steps.start(id: chunk["id"]?.lent ?? nothing, model: chunk["model"]?.lent ?? nothing, sink)
        }
        if let choices = chunk["choices"] {
            for choice in choices.elements where choice["index"]?.int64 ?? 0 == 0 { receive(choice: choice, sink) }
        }
        if let reported = chunk["usage"], reported.isObject {
            let isCounted = ChatUsage.update(&usage, from: reported, of: chunk)
            usage.tokens.webSearches = ChatSearches.count(model: chunk["model"], cites: cites)
            // Some upstreams count along: only what comes with the end, or after it, is the last word.
            usage.isFinal = isCounted && (stop != nil || chunk["choices"]?.count ?? 0 == 0)
            steps.usage(usage, sink)
        }
    }

    private func receive(choice: JSONValue, _ sink: any NeutralSink) {
        if let delta = choice["delta"] {
            for (key, value) in delta.members where !value.isNull { receive(key, value, sink) }
        }
        guard let reason = choice["finish_reason"]?.string, stop == nil else { return }
        let reached = ChatAnswerDecoder.stop(reason, calledTool: calledTool)
        stop = reached
        steps.stop(reached, sink)
    }

    private func receive(_ key: JSONKey, _ value: JSONValue, _ sink: any NeutralSink) {
        if key == "content" {
            if let text = value.lent, !text.isEmpty { steps.text(text, sink) }
        } else if key == "tool_calls" {
            for call in value.elements { receive(call: call, sink) }
        } else if key == "reasoning_content" || key == "reasoning" {
            if let text = value.lent, !text.isEmpty { steps.thinking(text, sink) }
        } else if key == "refusal" {
            if let text = value.lent, !text.isEmpty { steps.refusal(text, sink) }
        } else if key == "annotations" {
            if ChatSearches.cites(value) { cites = true }
            for annotation in value.elements {
                if let citation = ChatAnswerDecoder.citation(annotation) { steps.citation(citation, sink) }
            }
        } else if key == "function_call" {
            receive(function: value, id: "call_0", index: 0, sink)
        }
    }

    private func receive(call delta: JSONValue, _ sink: any NeutralSink) {
        guard let function = delta["function"] else { return }
        let id = delta["id"]?.string ?? ""
        receive(function: function, id: id, index: delta["index"]?.int64 ?? call?.index ?? 0, sink, delta)
    }

    /// A new index, a new id or another name begins a call. Some upstreams give parallel calls the same index, and some of
    /// them no ids.
    private func receive(
        function: JSONValue,
        id: String,
        index: Int64,
        _ sink: any NeutralSink,
        _ delta: JSONValue? = nil
    ) {
        let name = function["name"]?.string ?? ""
        if let call, call.index == index, id.isEmpty || id == call.id, name.isEmpty || name == call.name,
            steps.open == .toolUse
        {
            // Goes on.
        } else {
            guard !name.isEmpty else {
                // One call is told at a time in every other dialect; a piece of one that is over has no place.
                guard function["arguments"]?.lent?.isEmpty == false else { return }
                return steps.fail(NeutralError(.upstream, "The upstream mixed up its tool calls."), sink)
            }
            let id = id.isEmpty ? "call_\(index)" : id
            call = (index, id, name)
            calledTool = true
            let seal = delta.flatMap(ChatAnswerDecoder.seal)
            steps.begin(.toolUse(id: id, name: name, signature: seal), sink)
        }
        if let piece = function["arguments"]?.lent, !piece.isEmpty { steps.arguments(piece, sink) }
    }
}
