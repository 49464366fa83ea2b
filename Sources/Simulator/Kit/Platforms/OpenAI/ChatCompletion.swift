import Formats
import HTTPMessages

/// Writes an answer as `/v1/chat/completions` does: one JSON object, or chunks.
struct ChatCompletion: AnswerWriter {
    let answer: Answer
    let errors: any PlatformErrors
    let headers: OpenAIHeaders
    /// Whether a stream reports its usage.
    let includesUsage: Bool

    private var content: Generation { answer.content }

    func fields(isStream: Bool) -> HeaderFields {
        var fields = headers.fields(contentType: isStream ? "text/event-stream; charset=utf-8" : "application/json")
        headers.addLimits(to: &fields)
        return fields
    }

    private var finishReason: String {
        switch content.stopReason {
        case .end, .stopSequence, .refusal: "stop"
        case .maxTokens: "length"
        case .toolUse: "tool_calls"
        }
    }

    private func writeOpening(_ object: String, to text: inout JSONWriter) {
        text.member("id", "chatcmpl-sim\(answer.digest)")
        text.member("object", object)
        text.member("created", answer.now / 1_000_000)
        text.member("model", answer.model)
        text.member("service_tier", "default")
        text.member("system_fingerprint", "fp_sim")
    }

    private func writeUsage(to text: inout JSONWriter) {
        let usage = answer.usage
        let prompt = usage.input &+ usage.cacheRead &+ usage.cacheWrite5m
        text.objectMember("usage") { text in
            text.member("prompt_tokens", prompt)
            text.member("completion_tokens", usage.output)
            text.member("total_tokens", prompt &+ usage.output)
            text.objectMember("prompt_tokens_details") {
                $0.member("cached_tokens", usage.cacheRead)
                OpenAIMembers.writeInput(usage, to: &$0)
                if usage.audioInput == 0 { $0.member("audio_tokens", 0) }
            }
            text.objectMember("completion_tokens_details") {
                $0.member("reasoning_tokens", usage.reasoning)
                OpenAIMembers.writeOutput(usage, to: &$0)
                if usage.audioOutput == 0 { $0.member("audio_tokens", 0) }
                $0.member("accepted_prediction_tokens", 0)
                $0.member("rejected_prediction_tokens", 0)
            }
        }
    }

    // MARK: Whole

    func whole(hasContent: Bool) -> [UInt8] {
        JSONWriter.object { text in
            writeOpening("chat.completion", to: &text)
            text.arrayMember("choices") { text in
                guard hasContent else { return }
                text.object { text in
                    text.member("index", 0)
                    text.objectMember("message") { writeMessage(to: &$0) }
                    text.null("logprobs")
                    text.member("finish_reason", finishReason)
                }
            }
            writeUsage(to: &text)
        }
    }

    private func writeMessage(to text: inout JSONWriter) {
        text.member("role", "assistant")
        text.member("content", refusal == nil ? content.text : nil)
        text.member("refusal", refusal)
        text.arrayMember("annotations") { _ in }
        guard case .toolUse = content.stopReason else { return }
        text.arrayMember("tool_calls") { text in
            for case .toolUse(let id, let call) in content.blocks {
                text.object { Self.write(call, id, arguments: String(decoding: call.input, as: UTF8.self), to: &$0) }
            }
        }
    }

    private var refusal: String? {
        for case .refusal(let text) in content.blocks { return text }
        return nil
    }

    private static func write(_ call: ToolCall, _ id: String, arguments: String, to text: inout JSONWriter) {
        text.member("id", "call_\(id)")
        text.member("type", "function")
        text.objectMember("function") {
            $0.member("name", call.name)
            $0.member("arguments", arguments)
        }
    }

    // MARK: Streamed

    func stream(textEvents: Int?, hasContent: Bool) -> AnswerStream {
        var stream = AnswerStream()
        stream.bytes.reserveCapacity(2048 + (textEvents ?? 0) * 256)
        append(to: &stream) {
            $0.member("role", "assistant")
            $0.member("content", "")
            $0.null("refusal")
        }
        stream.startEnd = stream.bytes.count
        if hasContent { appendContent(textEvents, to: &stream) }
        append(finishReason: finishReason, to: &stream) { _ in }
        if includesUsage {
            SSEWriter.append(
                data: JSONWriter.object { text in
                    writeOpening("chat.completion.chunk", to: &text)
                    text.arrayMember("choices") { _ in }
                    writeUsage(to: &text)
                },
                to: &stream.bytes
            )
            stream.usage.append((stream.bytes.count, answer.usage))
        }
        SSEWriter.append(data: "[DONE]", to: &stream.bytes)
        return stream
    }

    private func appendContent(_ textEvents: Int?, to stream: inout AnswerStream) {
        var callIndex = 0
        for block in content.blocks {
            switch block {
            case .thinking: break
            case .text(let text):
                for part in AnswerStream.parts(of: text, count: textEvents) {
                    appendDelta(to: &stream) { $0.member("content", String(decoding: part, as: UTF8.self)) }
                }
            case .refusal(let text):
                for part in AnswerStream.parts(of: text, count: textEvents) {
                    appendDelta(to: &stream) { $0.member("refusal", String(decoding: part, as: UTF8.self)) }
                }
            case .toolUse(let id, let call):
                appendCall(at: callIndex, to: &stream) { Self.write(call, id, arguments: "", to: &$0) }
                for part in AnswerStream.parts(ofArguments: call.input) {
                    appendCall(at: callIndex, to: &stream) {
                        $0.objectMember("function") {
                            $0.member("arguments", String(decoding: part, as: UTF8.self))
                        }
                    }
                }
                callIndex += 1
            }
        }
    }

    private func appendCall(at index: Int, to stream: inout AnswerStream, _ members: (inout JSONWriter) -> Void) {
        appendDelta(to: &stream) { text in
            text.arrayMember("tool_calls") { text in
                text.object {
                    $0.member("index", index)
                    members(&$0)
                }
            }
        }
    }

    private func appendDelta(to stream: inout AnswerStream, _ members: (inout JSONWriter) -> Void) {
        let start = stream.bytes.count
        append(to: &stream, members)
        stream.noteDelta(from: start)
    }

    private func append(
        finishReason: String? = nil,
        to stream: inout AnswerStream,
        _ delta: (inout JSONWriter) -> Void
    ) {
        let data = JSONWriter.object { text in
            writeOpening("chat.completion.chunk", to: &text)
            text.arrayMember("choices") { text in
                text.object { text in
                    text.member("index", 0)
                    text.objectMember("delta", delta)
                    text.null("logprobs")
                    text.member("finish_reason", finishReason)
                }
            }
            if includesUsage { text.null("usage") }
        }
        SSEWriter.append(data: data, to: &stream.bytes)
    }

    func errorEvent(in stream: AnswerStream, at end: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        SSEWriter.append(
            data: OpenAIErrors.body(OpenAIErrors.serverError, "server_error", code: nil),
            to: &bytes
        )
        return bytes
    }
}
