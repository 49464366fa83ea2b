import Domain
import Formats

/// Writes whole answers of the Messages API, and the pieces that streams have in common with them.
internal enum AnthropicAnswerEncoder {
    static func encode(_ answer: NeutralAnswer, _ context: AnswerContext) -> [UInt8] {
        var json = JSONWriter(capacity: 1024)
        json.object { json in
            json.member("id", AnswerIDs.id(answer.id, prefix: "msg_", context))
            json.member("type", "message")
            json.member("role", "assistant")
            json.member("model", context.model)
            json.key("content")
            json.array { for block in answer.blocks { write(block, to: &$0) } }
            write(answer.stop, to: &json)
            json.key("usage")
            write(answer.usage, to: &json)
        }
        return json.bytes
    }

    private static func write(_ block: NeutralAnswer.Block, to json: inout JSONWriter) {
        if case .toolUse(let use) = block, let seal = use.signature { writeRedacted(seal, to: &json) }
        if case .redactedThinking(let seal) = block { return writeRedacted(seal, to: &json) }
        json.object { json in
            switch block {
            case .text(let text, let citations):
                json.member("type", "text")
                json.member("text", text)
                guard !citations.isEmpty else { return }
                json.key("citations")
                json.array { for citation in citations { write(citation, to: &$0) } }
            case .refusal(let text):
                json.member("type", "text")
                json.member("text", text)
            case .thinking(let thinking):
                json.member("type", "thinking")
                json.member("thinking", thinking.text)
                json.member("signature", thinking.signature?.carried(by: .anthropic) ?? "")
            case .toolUse(let use): AnthropicMessageWriter.write(use, to: &json)
            case .image(let mediaType, let data):
                json.member("type", "text")
                json.member("text", MarkdownImage.text(mediaType: mediaType, data: data))
            case .redactedThinking: break
            }
        }
    }

    private static func writeRedacted(_ seal: NeutralSignature, to json: inout JSONWriter) {
        json.object {
            $0.member("type", "redacted_thinking")
            $0.member("data", seal.carried(by: .anthropic))
        }
    }

    static func write(_ citation: NeutralCitation, to json: inout JSONWriter) {
        json.object {
            $0.member("type", "web_search_result_location")
            $0.member("url", citation.url)
            $0.member("title", citation.title)
            $0.member("cited_text", citation.text ?? "")
            $0.member("encrypted_index", "")
        }
    }

    /// The members `stop_reason` and `stop_sequence`.
    static func write(_ stop: NeutralStop, to json: inout JSONWriter) {
        var sequence: String?
        switch stop {
        case .endTurn, .malformedToolCall: json.member("stop_reason", "end_turn")
        case .maxTokens: json.member("stop_reason", "max_tokens")
        case .stopSequence(let found):
            json.member("stop_reason", "stop_sequence")
            sequence = found
        case .toolUse: json.member("stop_reason", "tool_use")
        case .refusal: json.member("stop_reason", "refusal")
        case .pause: json.member("stop_reason", "pause_turn")
        case .contextFull: json.member("stop_reason", "model_context_window_exceeded")
        }
        json.member("stop_sequence", sequence)
    }

    static func write(_ usage: NeutralUsage, to json: inout JSONWriter) {
        let tokens = usage.tokens
        json.object { json in
            json.member("input_tokens", tokens.input)
            json.member("cache_creation_input_tokens", tokens.cacheWrite)
            json.member("cache_read_input_tokens", tokens.cacheRead)
            if tokens.cacheWrite > 0 {
                json.key("cache_creation")
                json.object {
                    $0.member("ephemeral_5m_input_tokens", tokens.cacheWrite5m)
                    $0.member("ephemeral_1h_input_tokens", tokens.cacheWrite1h)
                }
            }
            json.member("output_tokens", tokens.output)
            if let reasoning = usage.reasoning {
                json.key("output_tokens_details")
                json.object { $0.member("thinking_tokens", reasoning) }
            }
            if tokens.webSearches > 0 {
                json.key("server_tool_use")
                json.object {
                    $0.member("web_search_requests", tokens.webSearches)
                    $0.member("web_fetch_requests", 0)
                }
            }
        }
    }
}
