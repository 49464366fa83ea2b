import Formats
import HTTPMessages

/// Writes an answer as `/v1/responses` does: one JSON object, or a stream of events.
struct ResponsesAnswer: AnswerWriter {
    let answer: Answer
    let errors: any PlatformErrors
    let headers: OpenAIHeaders
    let echo: ResponsesRequest.Echo

    var id: String { "resp_sim\(answer.digest)" }
    private var content: Generation { answer.content }

    func fields(isStream: Bool) -> HeaderFields {
        var fields = headers.fields(contentType: isStream ? "text/event-stream; charset=utf-8" : "application/json")
        headers.addLimits(to: &fields)
        return fields
    }

    /// Ids of the calls that wait for their outputs.
    var openCalls: [String] {
        content.blocks.compactMap { if case .toolUse(let id, _) = $0 { "call_\(id)" } else { nil } }
    }

    // MARK: The response

    private enum Status: String {
        case inProgress = "in_progress"
        case completed, incomplete, failed
    }

    private var finalStatus: Status { content.stopReason == .maxTokens ? .incomplete : .completed }

    func whole(hasContent: Bool) -> [UInt8] {
        JSONWriter.object { write(finalStatus, hasOutput: hasContent, to: &$0) }
    }

    private func write(_ status: Status, hasOutput: Bool, to text: inout JSONWriter) {
        text.member("id", id)
        text.member("object", "response")
        text.member("created_at", answer.now / 1_000_000)
        text.member("status", status.rawValue)
        text.member("background", false)
        if status == .failed {
            text.objectMember("error") {
                $0.member("code", "server_error")
                $0.member("message", OpenAIErrors.serverError)
            }
        } else {
            text.null("error")
        }
        if status == .incomplete {
            text.objectMember("incomplete_details") { $0.member("reason", "max_output_tokens") }
        } else {
            text.null("incomplete_details")
        }
        writeEcho(to: &text)
        text.member("model", answer.model)
        text.arrayMember("output") { text in
            guard hasOutput else { return }
            for item in items { text.object { write(item, isDone: true, to: &$0) } }
        }
        let isOver = status == .completed || status == .incomplete
        if isOver { writeUsage(to: &text) } else { text.null("usage") }
        text.null("user")
        text.objectMember("metadata") { _ in }
    }

    private func writeEcho(to text: inout JSONWriter) {
        text.member("instructions", echo.instructions)
        text.key("max_output_tokens")
        if let tokens = echo.maxTokens { text.int(tokens) } else { text.null() }
        text.member("parallel_tool_calls", echo.isParallel)
        text.member("previous_response_id", echo.previousID)
        text.objectMember("reasoning") {
            $0.member("effort", echo.effort)
            $0.member("summary", echo.summary)
        }
        text.member("service_tier", "default")
        text.member("store", echo.isStored)
        text.member("temperature", 1.0)
        text.objectMember("text") {
            $0.key("format")
            $0.raw(echo.format)
        }
        text.key("tool_choice")
        text.raw(echo.toolChoice)
        text.key("tools")
        text.raw(echo.tools)
        text.member("top_p", 1.0)
        text.member("truncation", "disabled")
    }

    private func writeUsage(to text: inout JSONWriter) {
        let usage = answer.usage
        let input = usage.input &+ usage.cacheRead
        text.objectMember("usage") {
            $0.member("input_tokens", input)
            $0.objectMember("input_tokens_details") { $0.member("cached_tokens", usage.cacheRead) }
            $0.member("output_tokens", usage.output)
            $0.objectMember("output_tokens_details") { $0.member("reasoning_tokens", usage.reasoning) }
            $0.member("total_tokens", input &+ usage.output)
        }
    }

    // MARK: Items

    private enum Item {
        case search(Int)
        case reasoning(String)
        case message(String, isRefusal: Bool)
        case call(id: String, ToolCall)
    }

    private var items: [Item] {
        (0..<min(answer.usage.webSearches, 1_000)).map { .search($0) }
            + content.blocks.map { block in
                switch block {
                case .thinking(let thinking): .reasoning(thinking)
                case .text(let text): .message(text, isRefusal: false)
                case .refusal(let text): .message(text, isRefusal: true)
                case .toolUse(let id, let call): .call(id: id, call)
                }
            }
    }

    private func id(of item: Item) -> String {
        switch item {
        case .search(let number): "ws_sim\(answer.digest)\(number)"
        case .reasoning: "rs_sim\(answer.digest)"
        case .message: "msg_sim\(answer.digest)"
        case .call(let id, _): "fc_\(id)"
        }
    }

    /// The members of an item, as it is when it begins or when it is done.
    private func write(_ item: Item, isDone: Bool, to text: inout JSONWriter) {
        text.member("id", id(of: item))
        let status = isDone ? "completed" : "in_progress"
        switch item {
        case .search(let number):
            text.member("type", "web_search_call")
            text.member("status", status)
            text.objectMember("action") {
                $0.member("type", "search")
                $0.member("query", "sim \(number)")
            }
        case .reasoning(let summary):
            text.member("type", "reasoning")
            text.arrayMember("summary") { text in
                guard isDone, !summary.isEmpty else { return }
                text.object { Self.writePart("summary_text", "text", summary, to: &$0) }
            }
            if isDone, echo.includesEncryptedReasoning {
                text.member("encrypted_content", Generation.signature(of: summary))
            }
        case .message(let content, let isRefusal):
            text.member("type", "message")
            text.member("status", status)
            text.arrayMember("content") { text in
                guard isDone else { return }
                text.object { Self.writeContent(content, isRefusal, to: &$0) }
            }
            text.member("role", "assistant")
        case .call(let id, let call):
            text.member("type", "function_call")
            text.member("status", status)
            text.member("arguments", isDone ? String(decoding: call.input, as: UTF8.self) : "")
            text.member("call_id", "call_\(id)")
            text.member("name", call.name)
        }
    }

    private static func writePart(_ type: String, _ name: StaticString, _ value: String, to text: inout JSONWriter) {
        text.member("type", type)
        text.member(name, value)
    }

    private static func writeContent(_ content: String, _ isRefusal: Bool, to text: inout JSONWriter) {
        if isRefusal { return writePart("refusal", "refusal", content, to: &text) }
        text.member("type", "output_text")
        text.arrayMember("annotations") { _ in }
        text.arrayMember("logprobs") { _ in }
        text.member("text", content)
    }

    // MARK: Streamed

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
