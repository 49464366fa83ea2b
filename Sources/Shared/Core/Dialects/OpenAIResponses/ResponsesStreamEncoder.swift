import Bytes
import Domain
import Formats

/// Writes streams of the Responses API (API reference: Streaming events). Every block is an output item.
///
/// The last event repeats the whole answer, so that all of it is kept until then; beyond `maximumBytes` the stream fails.
internal final class ResponsesStreamEncoder: StreamEncoder {
    private static let maximumBytes = 64 << 20
    /// What an item takes beside its text, about.
    private static let itemBytes = 512

    private let context: AnswerContext
    private var object: ResponsesObject
    private var sequence = 0
    private var items: [[UInt8]] = []
    private var item: ResponsesItem?
    /// The open item's text. It joins the item at its end: reached through an optional it would cost more.
    private var text: [UInt8] = []
    /// What delta events of the open item begin and end with.
    private var delta = PieceFrame()
    private var isStarted = false
    private var hasFailed = false
    private var total = 0
    private var usage = NeutralUsage()
    private var stop = NeutralStop.endTurn

    init(_ context: AnswerContext) {
        self.context = context
        object = ResponsesObject(id: AnswerIDs.id("", prefix: "resp_", context), context: context)
    }

    func encode(_ event: NeutralEvent, into out: inout [UInt8]) {
        guard !hasFailed else { return }
        switch event {
        case .text(let piece), .arguments(let piece): writeDelta(piece, into: &out)
        case .thinking(let piece):
            if text.isEmpty { openSummary(into: &out) }
            writeDelta(piece, into: &out)
        case .start(let id, _): start(id.string, into: &out)
        case .blockStart(let block): begin(block, into: &out)
        case .signature(let seal): item?.seal = seal
        case .citation(let citation): write(citation, into: &out)
        case .blockEnd: end(into: &out)
        case .usage(let report): usage = report
        case .stop(let reason): stop = reason
        case .end: finish(into: &out)
        case .error(let error): fail(error, into: &out)
        }
    }

    // MARK: Deltas

    private func writeDelta(_ piece: LentText, into out: inout [UInt8]) {
        total += piece.bytes.count
        guard total <= Self.maximumBytes else {
            return fail(NeutralError(.upstream, "The upstream's answer is too large."), into: &out)
        }
        text.append(atMost: piece.bytes.count) { $0.write(piece.bytes) }
        let end: StaticString = "}\n\n"
        delta.append(piece.bytes, to: &out, atMost: 20 + end.utf8CodeUnitCount) {
            $0.write(decimal: Int64(sequence))
            $0.write(end)
        }
        sequence += 1
    }

    private func prepareDeltas(_ event: StaticString, _ place: StaticString, _ tail: StaticString = "") {
        guard let item else { return }
        let head =
            "event: \(event)\ndata: {\"type\":\"\(event)\",\"item_id\":\"\(item.id)\",\"output_index\":\(items.count),"
            + "\(place)\"delta\":\""
        delta = PieceFrame(Array(head.utf8), Array("\"\(tail),\"sequence_number\":".utf8))
    }

    // MARK: Items

    private func begin(_ block: NeutralBlock, into out: inout [UInt8]) {
        if case .toolUse(_, _, let seal?) = block {
            // The API has no seal on a call; it travels as a sealed thought before it.
            begin(.redactedThinking(seal), into: &out)
            end(into: &out)
        }
        let item = ResponsesItem(block, number: items.count, context)
        self.item = item
        writeEvent("response.output_item.added", into: &out) { json in
            json.member("output_index", items.count)
            json.key("item")
            item.write(isDone: false, to: &json)
        }
        switch block {
        case .text:
            writePart("response.content_part.added", into: &out)
            prepareDeltas("response.output_text.delta", "\"content_index\":0,", ",\"logprobs\":[]")
        case .refusal:
            writePart("response.content_part.added", into: &out)
            prepareDeltas("response.refusal.delta", "\"content_index\":0,")
        case .thinking: prepareDeltas("response.reasoning_summary_text.delta", "\"summary_index\":0,")
        case .toolUse: prepareDeltas("response.function_call_arguments.delta", "")
        case .redactedThinking, .image: break
        }
    }

    private func end(into out: inout [UInt8]) {
        item?.text = text
        text = []
        guard let item else { return }
        switch item.block {
        case .text, .refusal:
            let isText = item.block == .text
            writeEvent(isText ? "response.output_text.done" : "response.refusal.done", into: &out) { json in
                writePlace(to: &json)
                json.member("content_index", 0)
                json.key(isText ? "text" : "refusal")
                json.string(item.string)
                if isText {
                    json.key("logprobs")
                    json.array { _ in }
                }
            }
            writePart("response.content_part.done", into: &out)
        case .thinking: if !item.text.isEmpty { closeSummary(item, into: &out) }
        case .toolUse(_, let name, _):
            writeEvent("response.function_call_arguments.done", into: &out) { json in
                writePlace(to: &json)
                json.member("name", name)
                json.member("arguments", item.arguments)
            }
        case .redactedThinking, .image: break
        }
        writeEvent("response.output_item.done", into: &out) { json in
            json.member("output_index", items.count)
            json.key("item")
            item.write(isDone: true, to: &json)
        }
        total += item.text.count + Self.itemBytes
        keep(item)
        guard total > Self.maximumBytes else { return }
        fail(NeutralError(.upstream, "The upstream's answer is too large."), into: &out)
    }

    private func keep(_ item: ResponsesItem) {
        var json = JSONWriter(capacity: item.text.count + 128)
        item.write(isDone: true, to: &json)
        items.append(json.bytes)
        self.item = nil
    }

    private func writePart(_ event: StaticString, into out: inout [UInt8]) {
        writeEvent(event, into: &out) { json in
            writePlace(to: &json)
            json.member("content_index", 0)
            json.key("part")
            item?.writePart(to: &json)
        }
    }

    private func openSummary(into out: inout [UInt8]) {
        writeEvent("response.reasoning_summary_part.added", into: &out) { json in
            writePlace(to: &json)
            json.member("summary_index", 0)
            json.key("part")
            ResponsesInputWriter.writeSummary("", to: &json)
        }
    }

    private func closeSummary(_ item: ResponsesItem, into out: inout [UInt8]) {
        writeEvent("response.reasoning_summary_text.done", into: &out) { json in
            writePlace(to: &json)
            json.member("summary_index", 0)
            json.member("text", item.string)
        }
        writeEvent("response.reasoning_summary_part.done", into: &out) { json in
            writePlace(to: &json)
            json.member("summary_index", 0)
            json.key("part")
            ResponsesInputWriter.writeSummary(item.string, to: &json)
        }
    }

    private func write(_ citation: NeutralCitation, into out: inout [UInt8]) {
        item?.citations.append(citation)
        guard let item, item.block == .text else { return }
        writeEvent("response.output_text.annotation.added", into: &out) { json in
            writePlace(to: &json)
            json.member("content_index", 0)
            json.member("annotation_index", item.citations.count - 1)
            json.key("annotation")
            item.write(citation, to: &json)
        }
    }

    // MARK: Response

    private func start(_ id: String, into out: inout [UInt8]) {
        isStarted = true
        object = ResponsesObject(id: AnswerIDs.id(id, prefix: "resp_", context), context: context)
        writeResponse("response.created", .inProgress, into: &out)
        writeResponse("response.in_progress", .inProgress, into: &out)
    }

    private func finish(into out: inout [UInt8]) {
        switch ResponsesObject.status(of: stop) {
        case .incomplete(let reason): writeResponse("response.incomplete", .incomplete(reason: reason), into: &out)
        case let status: writeResponse("response.completed", status, into: &out)
        }
    }

    private func fail(_ error: NeutralError, into out: inout [UInt8]) {
        hasFailed = true
        guard isStarted else {
            return writeEvent("error", into: &out) { json in
                json.member("code", error.code ?? "server_error")
                json.member("message", error.message)
                json.member("param", error.field)
            }
        }
        writeResponse("response.failed", .failed(error), into: &out)
    }

    private func writeResponse(_ event: StaticString, _ status: ResponsesObject.Status, into out: inout [UInt8]) {
        let reported: NeutralUsage? = if case .inProgress = status { nil } else { usage }
        writeEvent(event, into: &out) { json in
            json.key("response")
            object.write(status, output: items, usage: reported, to: &json)
        }
    }

    private func writePlace(to json: inout JSONWriter) {
        json.member("item_id", item?.id ?? "")
        json.member("output_index", items.count)
    }

    private func writeEvent(_ name: StaticString, into out: inout [UInt8], _ members: (inout JSONWriter) -> Void) {
        SSEText.append(event: name, to: &out) { json in
            json.object {
                $0.key("type")
                $0.string("\(name)")
                members(&$0)
                $0.member("sequence_number", sequence)
            }
        }
        sequence += 1
    }

    // MARK: Whole answers

    /// Takes a whole answer in, without writing its events.
    func collect(_ answer: NeutralAnswer) {
        object = ResponsesObject(id: AnswerIDs.id(answer.id, prefix: "resp_", context), context: context)
        usage = answer.usage
        for block in answer.blocks {
            if case .toolUse(let use) = block, let seal = use.signature {
                keep(ResponsesItem(NeutralBlock.redactedThinking(seal), number: items.count, context))
            }
            keep(ResponsesItem(block, number: items.count, context))
        }
    }

    func response(_ stop: NeutralStop) -> [UInt8] {
        var json = JSONWriter(capacity: 1024)
        object.write(ResponsesObject.status(of: stop), output: items, usage: usage, to: &json)
        return json.bytes
    }
}
