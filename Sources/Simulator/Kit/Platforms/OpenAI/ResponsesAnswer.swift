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

    enum Status: String {
        case inProgress = "in_progress"
        case completed, incomplete, failed
    }

    var finalStatus: Status { content.stopReason == .maxTokens ? .incomplete : .completed }

    func whole(hasContent: Bool) -> [UInt8] {
        JSONWriter.object { write(finalStatus, hasOutput: hasContent, to: &$0) }
    }

    func write(_ status: Status, hasOutput: Bool, to text: inout JSONWriter) {
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
        let input = usage.input &+ usage.cacheRead &+ usage.cacheWrite5m
        text.objectMember("usage") {
            $0.member("input_tokens", input)
            $0.objectMember("input_tokens_details") {
                $0.member("cached_tokens", usage.cacheRead)
                OpenAIMembers.writeInput(usage, to: &$0)
            }
            $0.member("output_tokens", usage.output)
            $0.objectMember("output_tokens_details") {
                $0.member("reasoning_tokens", usage.reasoning)
                OpenAIMembers.writeOutput(usage, to: &$0)
            }
            $0.member("total_tokens", input &+ usage.output)
        }
    }

    // MARK: Items

    enum Item {
        case search(Int)
        case reasoning(String)
        case message(String, isRefusal: Bool)
        case call(id: String, ToolCall)
    }

    var items: [Item] {
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

    func id(of item: Item) -> String {
        switch item {
        case .search(let number): "ws_sim\(answer.digest)\(number)"
        case .reasoning: "rs_sim\(answer.digest)"
        case .message: "msg_sim\(answer.digest)"
        case .call(let id, _): "fc_\(id)"
        }
    }

    /// The members of an item, as it is when it begins or when it is done.
    func write(_ item: Item, isDone: Bool, to text: inout JSONWriter) {
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

    static func writePart(_ type: String, _ name: StaticString, _ value: String, to text: inout JSONWriter) {
        text.member("type", type)
        text.member(name, value)
    }

    static func writeContent(_ content: String, _ isRefusal: Bool, to text: inout JSONWriter) {
        if isRefusal { return writePart("refusal", "refusal", content, to: &text) }
        text.member("type", "output_text")
        text.arrayMember("annotations") { _ in }
        text.arrayMember("logprobs") { _ in }
        text.member("text", content)
    }
}
