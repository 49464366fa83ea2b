import Domain
import Formats

/// Writes whole answers of Chat Completions, and the pieces that streams have in common with them.
internal enum ChatAnswerEncoder {
    static func encode(_ answer: NeutralAnswer, _ context: AnswerContext) -> [UInt8] {
        var json = JSONWriter(capacity: 1024)
        json.object { json in
            json.member("id", AnswerIDs.id(answer.id, prefix: "chatcmpl-", context))
            json.member("object", "chat.completion")
            json.member("created", context.created)
            json.member("model", context.model)
            json.key("choices")
            json.array { json in
                json.object { json in
                    json.member("index", 0)
                    json.key("message")
                    writeMessage(answer.blocks, to: &json)
                    json.null("logprobs")
                    json.member("finish_reason", finishReason(answer.stop))
                }
            }
            json.key("usage")
            ChatUsage.write(answer.usage, to: &json)
        }
        return json.bytes
    }

    private static func writeMessage(_ blocks: [NeutralAnswer.Block], to json: inout JSONWriter) {
        var text = ""
        var hasText = false
        var refusal = ""
        var reasoning = ""
        var calls: [NeutralToolUse] = []
        var citations: [(NeutralCitation, Range<Int>)] = []
        for block in blocks {
            switch block {
            case .text(let piece, let sources):
                hasText = true
                let start = text.unicodeScalars.count
                text += piece
                if !sources.isEmpty {
                    let range = start..<text.unicodeScalars.count
                    citations += sources.map { ($0, range) }
                }
            case .image(let mediaType, let data):
                hasText = true
                text += MarkdownImage.text(mediaType: mediaType, data: data)
            case .refusal(let piece): refusal += piece
            case .thinking(let thinking): reasoning += thinking.text
            case .redactedThinking: break
            case .toolUse(let use): calls.append(use)
            }
        }
        json.object { json in
            json.member("role", "assistant")
            if hasText { json.member("content", text) } else { json.null("content") }
            if refusal.isEmpty { json.null("refusal") } else { json.member("refusal", refusal) }
            if !reasoning.isEmpty { json.member("reasoning_content", reasoning) }
            writeDetails(blocks, to: &json)
            if !calls.isEmpty {
                json.key("tool_calls")
                json.array { for call in calls { ChatMessageWriter.writeCall(call, to: &$0) } }
            }
            json.key("annotations")
            json.array { for (citation, range) in citations { write(citation, range, to: &$0) } }
        }
    }

    /// Thoughts with a seal, so that a caller who sends the message back sends the seal too.
    private static func writeDetails(_ blocks: [NeutralAnswer.Block], to json: inout JSONWriter) {
        let sealed = blocks.filter {
            switch $0 {
            case .thinking(let thinking): thinking.signature != nil
            case .redactedThinking: true
            default: false
            }
        }
        guard !sealed.isEmpty else { return }
        json.key("reasoning_details")
        json.array { json in
            for (index, block) in sealed.enumerated() {
                switch block {
                case .thinking(let thinking):
                    ChatReasoning.writeDetail(text: thinking.text, thinking.signature, index: index, to: &json)
                case .redactedThinking(let seal): ChatReasoning.writeRedacted(seal, index: index, to: &json)
                default: break
                }
            }
        }
    }

    static func write(_ citation: NeutralCitation, _ range: Range<Int>, to json: inout JSONWriter) {
        json.object { json in
            json.member("type", "url_citation")
            json.key("url_citation")
            json.object {
                $0.member("start_index", range.lowerBound)
                $0.member("end_index", range.upperBound)
                $0.member("title", citation.title ?? "")
                $0.member("url", citation.url)
            }
        }
    }

    static func finishReason(_ stop: NeutralStop) -> String {
        switch stop {
        case .endTurn, .stopSequence, .pause, .malformedToolCall: "stop"
        case .maxTokens, .contextFull: "length"
        case .toolUse: "tool_calls"
        case .refusal: "content_filter"
        }
    }
}
