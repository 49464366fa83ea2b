import Domain
import Formats

/// Writes streams of Chat Completions (API reference: the chat completion chunk object).
internal final class ChatStreamEncoder: StreamEncoder {
    /// Longer thoughts, in bytes, go out without their seal rather than fill the memory.
    private static let maximumThought = 4 << 20

    private let context: AnswerContext
    /// What every chunk begins with, up to and including `"delta":`.
    private var head: [UInt8] = []
    /// What follows the delta of a chunk in the middle.
    private var tail: [UInt8] = []
    private var text = PieceFrame()
    private var thinking = PieceFrame()
    private var arguments = PieceFrame()

    private var open: NeutralBlock?
    private var hasArguments = false
    private var calls = 0
    private var thoughts = 0
    /// The open thought's text, which stands beside its seal when that comes.
    private var thought: [UInt8] = []
    /// Characters of the answer's text so far: citations say where they belong.
    private var characters = 0
    private var blockStart = 0
    private var citations: [NeutralCitation] = []
    private var usage = NeutralUsage()
    private var stop = NeutralStop.endTurn

    init(_ context: AnswerContext) { self.context = context }

    func encode(_ event: NeutralEvent, into out: inout [UInt8]) {
        switch event {
        case .text(let piece):
            characters += Self.characters(piece)
            text.append(piece.bytes, to: &out)
        case .thinking(let piece):
            if thought.count <= Self.maximumThought { thought.append(contentsOf: piece.bytes) }
            thinking.append(piece.bytes, to: &out)
        case .arguments(let piece):
            hasArguments = true
            arguments.append(piece.bytes, to: &out)
        case .start(let id, _): start(id.string, into: &out)
        case .blockStart(let block): begin(block, into: &out)
        case .signature(let seal):
            // A seal on a part of a thought would be refused.
            guard thought.count <= Self.maximumThought else { return }
            let text = String(decoding: thought, as: UTF8.self)
            writeDelta(into: &out) { json in
                json.key("reasoning_details")
                json.array { ChatReasoning.writeDetail(text: text, seal, index: thoughts, to: &$0) }
            }
        case .citation(let citation):
            // Where the text ends that it stands for is known with the block's end.
            citations.append(citation)
        case .blockEnd: end(into: &out)
        case .usage(let report): usage = report
        case .stop(let reason): stop = reason
        case .end: finish(into: &out)
        case .error(let error):
            SSEText.append(to: &out) { OpenAIErrorText.write(error, to: &$0) }
        }
    }

    private static func characters(_ piece: LentText) -> Int {
        var count = 0
        for byte in piece.bytes where byte & 0xC0 != 0x80 { count &+= 1 }
        return count
    }

    // MARK: Pieces

    /// - Parameters:
    ///   - delta: its text up to where the piece begins.
    ///   - end: the rest of it.
    private func frame(_ delta: String, _ end: String) -> PieceFrame {
        PieceFrame(head + Array(#"[{"index":0,"delta":"#.utf8) + Array(delta.utf8), Array(end.utf8) + tail)
    }

    private func start(_ id: String, into out: inout [UInt8]) {
        var json = JSONWriter(capacity: 256)
        json.beginObject()
        json.member("id", AnswerIDs.id(id, prefix: "chatcmpl-", context))
        json.member("object", "chat.completion.chunk")
        json.member("created", context.created)
        json.member("model", context.model)
        json.key("choices")
        head = Array("data: ".utf8) + json.bytes
        tail = Array(#","logprobs":null,"finish_reason":null}]"#.utf8)
        // A caller who wants the usage sees the field in every chunk.
        if context.options.includesUsage { tail += Array(#","usage":null"#.utf8) }
        tail += Array("}\n\n".utf8)
        text = frame(#"{"content":""#, #""}"#)
        thinking = frame(#"{"reasoning_content":""#, #""}"#)
        writeDelta(into: &out) {
            $0.member("role", "assistant")
            $0.member("content", "")
            $0.null("refusal")
        }
    }

    /// A chunk with the members of its delta.
    private func writeDelta(into out: inout [UInt8], _ members: (inout JSONWriter) -> Void) {
        out.append(contentsOf: head)
        out.append(contentsOf: #"[{"index":0,"delta":"#.utf8)
        var json = JSONWriter(capacity: 128)
        json.object(members)
        out.append(contentsOf: json.bytes)
        out.append(contentsOf: tail)
    }

    // MARK: Blocks

    private func begin(_ block: NeutralBlock, into out: inout [UInt8]) {
        open = block
        blockStart = characters
        switch block {
        case .text: text = frame(#"{"content":""#, #""}"#)
        case .refusal: text = frame(#"{"refusal":""#, #""}"#)
        case .thinking: thought.removeAll(keepingCapacity: true)
        case .redactedThinking(let seal):
            writeDelta(into: &out) { json in
                json.key("reasoning_details")
                json.array { ChatReasoning.writeRedacted(seal, index: thoughts, to: &$0) }
            }
        case .toolUse(let id, let name, let seal):
            hasArguments = false
            arguments = frame("{\"tool_calls\":[{\"index\":\(calls),\"function\":{\"arguments\":\"", #""}}]}"#)
            writeDelta(into: &out) { json in
                json.key("tool_calls")
                json.array { json in
                    let call = NeutralToolUse(id: id, name: name, arguments: RawJSON(trusted: []), signature: seal)
                    ChatMessageWriter.writeCall(call, index: calls, to: &json)
                }
            }
        case .image(let mediaType, let data):
            text = frame(#"{"content":""#, #""}"#)
            LentText.lending(MarkdownImage.text(mediaType: mediaType, data: data)) {
                text.append($0.bytes, to: &out)
            }
        }
    }

    private func end(into out: inout [UInt8]) {
        if !citations.isEmpty {
            let range = blockStart..<characters
            writeDelta(into: &out) { json in
                json.key("annotations")
                json.array { for citation in citations { ChatAnswerEncoder.write(citation, range, to: &$0) } }
            }
            citations = []
        }
        switch open {
        case .toolUse:
            // Clients parse the arguments, and nothing is not JSON.
            if !hasArguments {
                LentText.lending("{}") { arguments.append($0.bytes, to: &out) }
            }
            calls += 1
        case .thinking, .redactedThinking: thoughts += 1
        case .text, .refusal, .image, nil: break
        }
        open = nil
    }

    // MARK: End

    private func finish(into out: inout [UInt8]) {
        out.append(contentsOf: head)
        out.append(contentsOf: #"[{"index":0,"delta":{},"logprobs":null,"finish_reason":""#.utf8)
        out.append(contentsOf: ChatAnswerEncoder.finishReason(stop).utf8)
        out.append(contentsOf: #""}]"#.utf8)
        if context.options.includesUsage { out.append(contentsOf: #","usage":null"#.utf8) }
        out.append(contentsOf: "}\n\n".utf8)
        if context.options.includesUsage {
            var json = JSONWriter(capacity: 256)
            ChatUsage.write(usage, to: &json)
            out.append(contentsOf: head)
            out.append(contentsOf: #"[],"usage":"#.utf8)
            out.append(contentsOf: json.bytes)
            out.append(contentsOf: "}\n\n".utf8)
        }
        out.append(contentsOf: "data: [DONE]\n\n".utf8)
    }
}
