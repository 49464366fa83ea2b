import Formats

/// The events of a stream, each with its number.
extension ResponsesAnswer {
    func stream(textEvents: Int?, hasContent: Bool) -> AnswerStream {
        var events = Events()
        events.stream.bytes.reserveCapacity(8192 + (textEvents ?? 0) * 256)
        for type in ["response.created", "response.in_progress"] {
            events.append(type) { text in
                text.objectMember("response") { write(.inProgress, hasOutput: false, to: &$0) }
            }
        }
        events.stream.startEnd = events.stream.bytes.count
        if hasContent {
            for (index, item) in items.enumerated() { append(item, index, textEvents, to: &events) }
        }
        events.append("response.\(finalStatus.rawValue)") { text in
            text.objectMember("response") { write(finalStatus, hasOutput: hasContent, to: &$0) }
        }
        if hasContent { events.stream.usage = [(events.stream.bytes.count, answer.usage)] }
        return events.stream
    }

    /// Events with their numbers.
    private struct Events {
        var stream = AnswerStream()
        var next = 0

        mutating func append(_ type: String, _ members: (inout JSONWriter) -> Void) {
            stream.bytes += Array("event: \(type)\ndata: ".utf8)
            stream.bytes += JSONWriter.object {
                $0.member("type", type)
                $0.member("sequence_number", next)
                members(&$0)
            }
            stream.bytes += [0x0a, 0x0a]
            next += 1
        }

        mutating func appendDelta(_ type: String, _ members: (inout JSONWriter) -> Void) {
            let start = stream.bytes.count
            append(type, members)
            stream.noteDelta(from: start)
        }
    }

    private func append(_ item: Item, _ index: Int, _ textEvents: Int?, to events: inout Events) {
        func append(item isDone: Bool) {
            events.append("response.output_item.\(isDone ? "done" : "added")") { text in
                text.member("output_index", index)
                text.objectMember("item") { write(item, isDone: isDone, to: &$0) }
            }
        }
        func place(_ text: inout JSONWriter) {
            text.member("item_id", id(of: item))
            text.member("output_index", index)
        }
        append(item: false)
        switch item {
        case .search:
            for step in ["in_progress", "searching", "completed"] {
                events.append("response.web_search_call.\(step)") { place(&$0) }
            }
        case .reasoning(let summary) where summary.isEmpty: break
        case .reasoning(let summary):
            appendPart(
                Part(names: "reasoning_summary_part", "reasoning_summary_text", index: "summary_index", field: "text"),
                summary,
                count: 3,
                to: &events,
                place
            ) { Self.writePart("summary_text", "text", $0, to: &$1) }
        case .message(let content, let isRefusal):
            let name = isRefusal ? "refusal" : "output_text"
            appendPart(
                Part(names: "content_part", name, index: "content_index", field: isRefusal ? "refusal" : "text"),
                content,
                count: textEvents,
                to: &events,
                place
            ) { Self.writeContent($0, isRefusal, to: &$1) }
        case .call(_, let call):
            for part in AnswerStream.parts(ofArguments: call.input) {
                events.appendDelta("response.function_call_arguments.delta") {
                    place(&$0)
                    $0.member("delta", String(decoding: part, as: UTF8.self))
                }
            }
            events.append("response.function_call_arguments.done") {
                place(&$0)
                $0.member("name", call.name)
                $0.member("arguments", String(decoding: call.input, as: UTF8.self))
            }
        }
        append(item: true)
    }

    /// How the events of one kind of part are called.
    private struct Part {
        var part: String
        var text: String
        var index: StaticString
        var field: StaticString

        init(names part: String, _ text: String, index: StaticString, field: StaticString) {
            self.part = part
            self.text = text
            self.index = index
            self.field = field
        }
    }

    private func appendPart(
        _ part: Part,
        _ content: String,
        count: Int?,
        to events: inout Events,
        _ place: (inout JSONWriter) -> Void,
        _ write: (String, inout JSONWriter) -> Void
    ) {
        func open(_ text: inout JSONWriter) {
            place(&text)
            text.key(part.index)
            text.int(0)
        }
        events.append("response.\(part.part).added") {
            open(&$0)
            $0.objectMember("part") { write("", &$0) }
        }
        for piece in AnswerStream.parts(of: content, count: count) {
            events.appendDelta("response.\(part.text).delta") {
                open(&$0)
                $0.member("delta", String(decoding: piece, as: UTF8.self))
                if part.text == "output_text" { $0.arrayMember("logprobs") { _ in } }
            }
        }
        events.append("response.\(part.text).done") {
            open(&$0)
            $0.key(part.field)
            $0.string(content)
            if part.text == "output_text" { $0.arrayMember("logprobs") { _ in } }
        }
        events.append("response.\(part.part).done") {
            open(&$0)
            $0.objectMember("part") { write(content, &$0) }
        }
    }

    /// The API says `error`; the backend of subscriptions ends the response as failed.
    func errorEvent(in stream: AnswerStream, at end: Int) -> [UInt8] {
        var events = Events()
        // JSON has no line feeds, so each empty line ends an event.
        let sent = stream.bytes[..<end]
        events.next = zip(sent, sent.dropFirst()).count { $0 == 0x0a && $1 == 0x0a }
        if headers.isSubscription {
            events.append("response.failed") { text in
                text.objectMember("response") { write(.failed, hasOutput: false, to: &$0) }
            }
        } else {
            events.append("error") {
                $0.member("code", "server_error")
                $0.member("message", OpenAIErrors.serverError)
                $0.null("param")
            }
        }
        return events.stream.bytes
    }
}
