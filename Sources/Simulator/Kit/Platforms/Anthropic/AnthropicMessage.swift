import Formats
import HTTPMessages

/// How the events of a stream are written.
enum AnthropicFraming {
    case serverSentEvents
    /// Chunks of Bedrock's event stream.
    case chunks
}

/// Writes an answer as the Messages API does: one JSON object, or a stream of events.
struct AnthropicMessage: AnswerWriter {
    let answer: Answer
    let errors: any PlatformErrors
    let headers: AnthropicHeaders
    var framing = AnthropicFraming.serverSentEvents
    var idPrefix = "msg_"

    private var id: String { "\(idPrefix)sim\(answer.digest)" }
    private var content: Generation { answer.content }
    private var usage: ReportedUsage { answer.usage }

    func fields(isStream: Bool) -> HeaderFields {
        var fields = headers.fields(contentType: isStream ? "text/event-stream; charset=utf-8" : "application/json")
        headers.addLimits(to: &fields)
        return fields
    }

    // MARK: Whole

    func whole(hasContent: Bool) -> [UInt8] {
        JSONWriter.object { text in
            writeOpening(to: &text)
            text.arrayMember("content") {
                for block in hasContent ? content.blocks : [] { Self.write(block, to: &$0) }
            }
            writeStop(to: &text)
            text.key("usage")
            writeUsage(output: usage.output, to: &text)
        }
    }

    private func writeOpening(to text: inout JSONWriter) {
        text.member("model", answer.model)
        text.member("id", id)
        text.member("type", "message")
        text.member("role", "assistant")
    }

    private var stopReason: String {
        switch content.stopReason {
        case .end: "end_turn"
        case .maxTokens: "max_tokens"
        case .toolUse: "tool_use"
        case .stopSequence: "stop_sequence"
        case .refusal: "refusal"
        }
    }

    private func writeStop(to text: inout JSONWriter) {
        text.member("stop_reason", stopReason)
        if case .stopSequence(let sequence) = content.stopReason {
            text.member("stop_sequence", sequence)
        } else {
            text.null("stop_sequence")
        }
        text.null("stop_details")
    }

    private func writeUsage(output: Int, to text: inout JSONWriter) {
        text.object {
            writeInputUsage(to: &$0)
            $0.objectMember("cache_creation") {
                $0.member("ephemeral_5m_input_tokens", usage.cacheWrite5m)
                $0.member("ephemeral_1h_input_tokens", usage.cacheWrite1h)
            }
            $0.member("output_tokens", output)
            if output == usage.output { writeThinking(to: &$0) }
            writeServerTools(to: &$0)
            $0.member("service_tier", "standard")
            $0.member("inference_geo", answer.serving.inferenceGeo ?? "global")
            if let speed = answer.serving.speed { $0.member("speed", speed) }
        }
    }

    private func writeThinking(to text: inout JSONWriter) {
        guard content.thinkingTokens > 0 else { return }
        text.objectMember("output_tokens_details") {
            $0.member("thinking_tokens", min(content.thinkingTokens, usage.output))
        }
    }

    private func writeInputUsage(to text: inout JSONWriter) {
        text.member("input_tokens", usage.input)
        text.member("cache_creation_input_tokens", usage.cacheWrite5m &+ usage.cacheWrite1h)
        text.member("cache_read_input_tokens", usage.cacheRead)
    }

    private func writeServerTools(to text: inout JSONWriter) {
        guard usage.webSearches > 0 else { return }
        text.objectMember("server_tool_use") { $0.member("web_search_requests", usage.webSearches) }
    }

    private static func write(_ block: Generation.Block, to text: inout JSONWriter) {
        text.object {
            switch block {
            case .thinking(let thinking):
                $0.member("type", "thinking")
                $0.member("thinking", thinking)
                $0.member("signature", Generation.signature(of: thinking))
            case .text(let content), .refusal(let content):
                $0.member("type", "text")
                $0.member("text", content)
            case .toolUse(let id, let call):
                $0.member("type", "tool_use")
                $0.member("id", "toolu_\(id)")
                $0.member("name", call.name)
                $0.key("input")
                $0.raw(call.input)
            }
        }
    }

    // MARK: Streamed

    /// Output tokens that `message_start` reports, long before they are known.
    private var firstOutput: Int { min(1, usage.output) }

    /// What `message_start` reports.
    var firstUsage: ReportedUsage {
        var first = usage
        first.output = firstOutput
        first.webSearches = 0
        return first
    }

    func stream(textEvents: Int?, hasContent: Bool) -> AnswerStream {
        var stream = AnswerStream()
        stream.bytes.reserveCapacity(2048 + (textEvents ?? 0) * 144)
        append("message_start", to: &stream.bytes) { text in
            text.objectMember("message") { text in
                writeOpening(to: &text)
                text.arrayMember("content") { _ in }
                text.null("stop_reason")
                text.null("stop_sequence")
                text.null("stop_details")
                text.key("usage")
                var start = self
                start.dropServerTools()
                start.writeUsage(output: firstOutput, to: &text)
            }
        }
        stream.startEnd = stream.bytes.count
        stream.usage.append((stream.startEnd, firstUsage))
        if hasContent {
            for (index, block) in content.blocks.enumerated() {
                append(block, index: index, textEvents: textEvents, to: &stream)
            }
        }
        append("message_delta", to: &stream.bytes) { text in
            text.objectMember("delta") { writeStop(to: &$0) }
            text.objectMember("usage") {
                writeInputUsage(to: &$0)
                $0.member("output_tokens", hasContent ? usage.output : firstOutput)
                if hasContent { writeThinking(to: &$0) }
                writeServerTools(to: &$0)
            }
        }
        stream.usage.append((stream.bytes.count, usage))
        append("message_stop", to: &stream.bytes) {
            if framing == .chunks { BedrockAnswer.write(metrics: usage, to: &$0) }
        }
        return stream
    }

    private mutating func dropServerTools() {
        var answer = answer
        answer.usage.webSearches = 0
        self = AnthropicMessage(answer: answer, errors: errors, headers: headers, idPrefix: idPrefix)
    }

    private func append(_ block: Generation.Block, index: Int, textEvents: Int?, to stream: inout AnswerStream) {
        append("content_block_start", to: &stream.bytes) { text in
            text.member("index", index)
            text.objectMember("content_block") {
                switch block {
                case .thinking:
                    $0.member("type", "thinking")
                    $0.member("thinking", "")
                    $0.member("signature", "")
                case .text, .refusal:
                    $0.member("type", "text")
                    $0.member("text", "")
                case .toolUse(let id, let call):
                    $0.member("type", "tool_use")
                    $0.member("id", "toolu_\(id)")
                    $0.member("name", call.name)
                    $0.objectMember("input") { _ in }
                }
            }
        }
        if index == 0 { append("ping", to: &stream.bytes) { _ in } }
        switch block {
        case .thinking(let thinking):
            for part in UTF8Parts(thinking, count: 3) where !part.isEmpty {
                append(delta: "thinking_delta", "thinking", part, index, to: &stream)
            }
            let signature = Array(Generation.signature(of: thinking).utf8)
            append(delta: "signature_delta", "signature", signature[...], index, to: &stream)
        case .text(let content), .refusal(let content):
            for part in AnswerStream.parts(of: content, count: textEvents) {
                append(delta: "text_delta", "text", part, index, to: &stream)
            }
        case .toolUse(_, let call):
            // Like the API: an empty delta first, then the text of the JSON, cut anywhere.
            append(delta: "input_json_delta", "partial_json", [], index, to: &stream)
            for part in AnswerStream.parts(ofArguments: call.input) {
                append(delta: "input_json_delta", "partial_json", part, index, to: &stream)
            }
        }
        append("content_block_stop", to: &stream.bytes) { $0.member("index", index) }
    }

    private func append(
        delta type: StaticString,
        _ field: StaticString,
        _ text: ArraySlice<UInt8>,
        _ index: Int,
        to stream: inout AnswerStream
    ) {
        let start = stream.bytes.count
        append("content_block_delta", to: &stream.bytes) {
            $0.member("index", index)
            $0.objectMember("delta") {
                $0.member("type", "\(type)")
                $0.key(field)
                $0.string(String(decoding: text, as: UTF8.self))
            }
        }
        stream.deltas.append(start..<stream.bytes.count)
    }

    func errorEvent(in stream: AnswerStream, at end: Int) -> [UInt8] {
        Array("event: error\ndata: ".utf8) + AnthropicErrors.body("overloaded_error", "Overloaded", headers.requestID)
            + [0x0a, 0x0a]
    }

    /// Appends an event; its data is an object whose first member is its type.
    private func append(_ name: StaticString, to bytes: inout [UInt8], _ members: (inout JSONWriter) -> Void) {
        let data = JSONWriter.object {
            $0.member("type", "\(name)")
            members(&$0)
        }
        switch framing {
        case .serverSentEvents: SSEWriter.append(event: name, data: data, to: &bytes)
        case .chunks: BedrockAnswer.append(chunk: data, to: &bytes)
        }
    }
}
