import Domain
import Formats

/// Writes answers as the Gemini API gives them.
internal enum GeminiAnswerEncoder {
    static func encode(_ answer: NeutralAnswer, _ context: AnswerContext) -> [UInt8] {
        var json = JSONWriter(capacity: 1024)
        json.object { json in
            json.key("candidates")
            json.array { json in
                json.object { json in
                    json.key("content")
                    json.object { json in
                        json.key("parts")
                        json.array { json in for block in answer.blocks { write(block, to: &json) } }
                        json.member("role", "model")
                    }
                    json.member("finishReason", finishReason(answer.stop))
                    json.member("index", 0)
                    writeGrounding(citations(of: answer), to: &json)
                }
            }
            writeUsage(answer.usage, to: &json)
            json.member("modelVersion", context.model)
            json.member("responseId", answer.id.isEmpty ? context.requestID : answer.id)
        }
        return json.bytes
    }

    private static func write(_ block: NeutralAnswer.Block, to json: inout JSONWriter) {
        switch block {
        case .text(let text, _), .refusal(let text): json.object { $0.member("text", text) }
        case .thinking(let thinking): writeThought(thinking.text, thinking.signature, to: &json)
        case .redactedThinking(let seal): writeThought("", seal, isRedacted: true, to: &json)
        case .toolUse(let use): writeCall(use, to: &json)
        case .image(let mediaType, let data): writeImage(mediaType, data, to: &json)
        }
    }

    private static func citations(of answer: NeutralAnswer) -> [NeutralCitation] {
        answer.blocks.flatMap { block in
            if case .text(_, let citations) = block { citations } else { [NeutralCitation]() }
        }
    }

    // MARK: Parts

    static func writeThought(
        _ text: String,
        _ seal: NeutralSignature?,
        isRedacted: Bool = false,
        to json: inout JSONWriter
    ) {
        json.object {
            $0.member("text", text)
            $0.member("thought", true)
            if let seal { $0.member("thoughtSignature", GeminiSeal.text(seal, isRedacted: isRedacted)) }
        }
    }

    static func writeCall(_ use: NeutralToolUse, to json: inout JSONWriter) {
        writeCall(use, seal: use.signature.map { GeminiSeal.text($0) }, to: &json)
    }

    static func writeCall(_ use: NeutralToolUse, seal: String?, to json: inout JSONWriter) {
        json.object { json in
            json.key("functionCall")
            json.object {
                $0.member("id", use.id)
                $0.member("name", use.name)
                $0.key("args")
                $0.raw(use.arguments.bytes)
            }
            if let seal { json.member("thoughtSignature", seal) }
        }
    }

    static func writeImage(_ mediaType: String, _ data: String, to json: inout JSONWriter) {
        json.object { json in
            json.key("inlineData")
            json.object {
                $0.member("mimeType", mediaType)
                $0.member("data", data)
            }
        }
    }

    // MARK: The end

    static func writeGrounding(_ citations: [NeutralCitation], to json: inout JSONWriter) {
        guard !citations.isEmpty else { return }
        json.key("groundingMetadata")
        json.object { json in
            json.key("groundingChunks")
            json.array { json in
                for citation in citations {
                    json.object { json in
                        json.key("web")
                        json.object {
                            $0.member("uri", citation.url)
                            if let title = citation.title { $0.member("title", title) }
                        }
                    }
                }
            }
        }
    }

    /// Google counts what came from the cache as part of the prompt, and thoughts apart from the answer.
    static func writeUsage(_ usage: NeutralUsage, to json: inout JSONWriter) {
        let thoughts = min(max(0, usage.reasoning ?? 0), max(0, usage.tokens.output))
        json.key("usageMetadata")
        json.object {
            $0.member("promptTokenCount", usage.allInput)
            if usage.tokens.cacheRead > 0 { $0.member("cachedContentTokenCount", usage.tokens.cacheRead) }
            $0.member("candidatesTokenCount", usage.tokens.output - thoughts)
            if thoughts > 0 { $0.member("thoughtsTokenCount", thoughts) }
            $0.member("totalTokenCount", usage.allInput &+ usage.tokens.output)
        }
    }

    static func finishReason(_ stop: NeutralStop) -> String {
        switch stop {
        case .endTurn, .stopSequence, .toolUse, .pause: "STOP"
        case .maxTokens, .contextFull: "MAX_TOKENS"
        case .refusal: "SAFETY"
        case .malformedToolCall: "MALFORMED_FUNCTION_CALL"
        }
    }
}
