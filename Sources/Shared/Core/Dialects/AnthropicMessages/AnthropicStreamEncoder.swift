import Domain
import Formats

/// Writes streams of the Messages API (docs: Streaming messages).
internal final class AnthropicStreamEncoder: StreamEncoder {
    private let context: AnswerContext
    private var index = 0
    /// What a `content_block_delta` event of the open block has round its piece.
    private var delta = PieceFrame()
    private var usage = NeutralUsage()
    private var stop: NeutralStop?

    init(_ context: AnswerContext) { self.context = context }

    func encode(_ event: NeutralEvent, into out: inout [UInt8]) {
        switch event {
        case .text(let piece), .thinking(let piece), .arguments(let piece): delta.append(piece.bytes, to: &out)
        case .start(let id, _): writeStart(id, into: &out)
        case .blockStart(let block): begin(block, into: &out)
        case .signature(let seal):
            writeBlockEvent("content_block_delta", into: &out) { json in
                json.key("delta")
                json.object {
                    $0.member("type", "signature_delta")
                    $0.member("signature", seal.carried(by: .anthropic))
                }
            }
        case .citation(let citation):
            writeBlockEvent("content_block_delta", into: &out) { json in
                json.key("delta")
                json.object {
                    $0.member("type", "citations_delta")
                    $0.key("citation")
                    AnthropicAnswerEncoder.write(citation, to: &$0)
                }
            }
        case .blockEnd:
            writeBlockEvent("content_block_stop", into: &out) { _ in }
            index += 1
        case .usage(let report): usage = report
        case .stop(let reason): stop = reason
        case .end:
            writeStop(into: &out)
            out.append(contentsOf: "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".utf8)
        case .error(let error):
            SSEText.append(event: "error", to: &out) {
                AnthropicMessagesCodec.write(error, requestID: context.requestID, to: &$0)
            }
        }
    }

    // MARK: Deltas

    private func prepareDeltas(_ type: StaticString, _ field: StaticString) {
        let head =
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":\(index),"
            + "\"delta\":{\"type\":\"\(type)\",\"\(field)\":\""
        delta = PieceFrame(Array(head.utf8), Array("\"}}\n\n".utf8))
    }

    // MARK: Blocks

    private func begin(_ block: NeutralBlock, into out: inout [UInt8]) {
        switch block {
        case .text, .refusal: prepareDeltas("text_delta", "text")
        case .thinking: prepareDeltas("thinking_delta", "thinking")
        case .toolUse(_, _, let seal):
            // The API has no seal on a call; it travels as a sealed thought before it.
            if let seal {
                writeStart(of: .redactedThinking(seal), into: &out)
                writeBlockEvent("content_block_stop", into: &out) { _ in }
                index += 1
            }
            prepareDeltas("input_json_delta", "partial_json")
        case .redactedThinking, .image: break
        }
        writeStart(of: block, into: &out)
        if case .image(let mediaType, let data) = block {
            prepareDeltas("text_delta", "text")
            LentText.lending(MarkdownImage.text(mediaType: mediaType, data: data)) { delta.append($0.bytes, to: &out) }
        }
    }

    private func writeStart(of block: NeutralBlock, into out: inout [UInt8]) {
        writeBlockEvent("content_block_start", into: &out) { json in
            json.key("content_block")
            json.object { json in
                switch block {
                case .text, .refusal, .image:
                    json.member("type", "text")
                    json.member("text", "")
                case .thinking:
                    json.member("type", "thinking")
                    json.member("thinking", "")
                    json.member("signature", "")
                case .redactedThinking(let seal):
                    json.member("type", "redacted_thinking")
                    json.member("data", seal.carried(by: .anthropic))
                case .toolUse(let id, let name, _):
                    json.member("type", "tool_use")
                    json.member("id", ToolIDs.sanitized(id))
                    json.member("name", name)
                    json.key("input")
                    json.object { _ in }
                }
            }
        }
    }

    private func writeBlockEvent(
        _ name: StaticString,
        into out: inout [UInt8],
        _ members: (inout JSONWriter) -> Void
    ) {
        SSEText.append(event: name, to: &out) { json in
            json.object {
                $0.key("type")
                $0.string("\(name)")
                $0.member("index", index)
                members(&$0)
            }
        }
    }

    // MARK: Message

    private func writeStart(_ id: LentText, into out: inout [UInt8]) {
        SSEText.append(event: "message_start", to: &out) { json in
            json.object { json in
                json.member("type", "message_start")
                json.key("message")
                json.object { json in
                    json.member("id", AnswerIDs.id(id.string, prefix: "msg_", context))
                    json.member("type", "message")
                    json.member("role", "assistant")
                    json.member("model", context.model)
                    json.key("content")
                    json.array { _ in }
                    json.null("stop_reason")
                    json.null("stop_sequence")
                    json.key("usage")
                    AnthropicAnswerEncoder.write(usage, to: &json)
                }
            }
        }
    }

    private func writeStop(into out: inout [UInt8]) {
        SSEText.append(event: "message_delta", to: &out) { json in
            json.object { json in
                json.member("type", "message_delta")
                json.key("delta")
                json.object { AnthropicAnswerEncoder.write(stop ?? .endTurn, to: &$0) }
                json.key("usage")
                AnthropicAnswerEncoder.write(usage, to: &json)
            }
        }
    }
}
