import Domain
import Formats

/// Writes streams of the Gemini API as Server-Sent Events: each is an answer with what is new.
///
/// A call of a function is told when it is whole: clients of this dialect do not put arguments together.
internal final class GeminiStreamEncoder: StreamEncoder {
    /// Arguments beyond this, in bytes, are cut, and then told as text.
    private static let maximumArgumentBytes = 16 << 20

    private let context: AnswerContext
    private var partsHead: [UInt8] = []
    /// What follows the parts of a chunk in the middle.
    private var tail: [UInt8] = []
    private var text = PieceFrame()
    private var thought = PieceFrame()
    /// Members that every chunk ends with.
    private var names: [UInt8] = []

    private var open: NeutralBlock?
    private var arguments: [UInt8] = []
    private var citations: [NeutralCitation] = []
    private var usage = NeutralUsage()
    private var stop = NeutralStop.endTurn

    init(_ context: AnswerContext) { self.context = context }

    func encode(_ event: NeutralEvent, into out: inout [UInt8]) {
        switch event {
        case .text(let piece): text.append(piece.bytes, to: &out)
        case .thinking(let piece): thought.append(piece.bytes, to: &out)
        case .arguments(let piece):
            let room = Self.maximumArgumentBytes - arguments.count
            arguments.append(contentsOf: piece.bytes.prefix(max(0, room)))
        case .start(let id, _): start(id.string)
        case .blockStart(let block): begin(block, into: &out)
        case .signature(let seal): writePart(into: &out) { GeminiAnswerEncoder.writeThought("", seal, to: &$0) }
        case .citation(let citation): citations.append(citation)
        case .blockEnd: end(into: &out)
        case .usage(let report): usage = report
        case .stop(let reason): stop = reason
        case .end: finish(into: &out)
        case .error(let error):
            SSEText.append(to: &out) { GeminiErrorText.write(error, status: error.status, to: &$0) }
        }
    }

    private func writePart(into out: inout [UInt8], _ part: (inout JSONWriter) -> Void) {
        var json = JSONWriter(capacity: 256)
        part(&json)
        out.append(contentsOf: partsHead)
        out.append(contentsOf: json.bytes)
        out.append(contentsOf: tail)
    }

    private func start(_ id: String) {
        var json = JSONWriter(capacity: 128)
        json.object {
            $0.member("modelVersion", context.model)
            $0.member("responseId", id.isEmpty ? context.requestID : id)
        }
        names = Array(json.bytes.dropFirst())
        partsHead = Array(#"data: {"candidates":[{"content":{"parts":["#.utf8)
        tail = Array(#"],"role":"model"},"index":0}],"#.utf8) + names + Array("\n\n".utf8)
        let head = partsHead + Array(#"{"text":""#.utf8)
        text = PieceFrame(head, Array(#""}"#.utf8) + tail)
        thought = PieceFrame(head, Array(#"","thought":true}"#.utf8) + tail)
    }

    private func begin(_ block: NeutralBlock, into out: inout [UInt8]) {
        open = block
        switch block {
        case .text, .refusal, .thinking: break
        case .redactedThinking(let seal):
            writePart(into: &out) { GeminiAnswerEncoder.writeThought("", seal, isRedacted: true, to: &$0) }
        case .toolUse: arguments.removeAll(keepingCapacity: true)
        case .image(let mediaType, let data):
            writePart(into: &out) { GeminiAnswerEncoder.writeImage(mediaType, data, to: &$0) }
        }
    }

    private func end(into out: inout [UInt8]) {
        if case .toolUse(let id, let name, let seal) = open {
            // Models lay arguments out in lines.
            let object = ToolArguments.object(fromModel: arguments).onOneLine
            let use = NeutralToolUse(id: id, name: name, arguments: object, signature: seal)
            writePart(into: &out) { GeminiAnswerEncoder.writeCall(use, to: &$0) }
        }
        open = nil
    }

    private func finish(into out: inout [UInt8]) {
        out.append(contentsOf: partsHead)
        out.append(contentsOf: #"{"text":""}],"role":"model"},"finishReason":""#.utf8)
        out.append(contentsOf: GeminiAnswerEncoder.finishReason(stop).utf8)
        out.append(contentsOf: #"","index":0"#.utf8)
        // Whole objects but for their braces, behind a comma.
        appendMembers(into: &out) { GeminiAnswerEncoder.writeGrounding(citations, to: &$0) }
        out.append(contentsOf: "}]".utf8)
        appendMembers(into: &out) { GeminiAnswerEncoder.writeUsage(usage, to: &$0) }
        out.append(UInt8(ascii: ","))
        out.append(contentsOf: names)
        out.append(contentsOf: "\n\n".utf8)
    }

    private func appendMembers(into out: inout [UInt8], _ members: (inout JSONWriter) -> Void) {
        var json = JSONWriter(capacity: 256)
        json.object(members)
        guard json.bytes.count > 2 else { return }
        out.append(UInt8(ascii: ","))
        out.append(contentsOf: json.bytes.dropFirst().dropLast())
    }
}
