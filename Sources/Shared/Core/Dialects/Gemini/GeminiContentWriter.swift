import Domain
import Formats

/// Writes `contents`. Turns of one role in a row become one: all results of one turn's calls must stand together.
internal struct GeminiContentWriter {
    /// What Google's documentation names for calls that another model made ("Thought signatures").
    private static let foreignSeal = "skip_thought_signature_validator"

    private let needsSeals: Bool

    init(needsSeals: Bool) { self.needsSeals = needsSeals }

    func write(_ messages: [NeutralMessage], to json: inout JSONWriter) throws {
        var names: [String: String] = [:]
        var rest = messages[...]
        try json.array { json in
            while let first = rest.first {
                let turn = rest.prefix { $0.role == first.role }
                rest = rest.dropFirst(turn.count)
                var parts = JSONWriter(capacity: 512)
                try parts.array { parts in
                    var isFirstCall = true
                    for part in turn.lazy.flatMap(\.parts) { try write(part, &names, &isFirstCall, to: &parts) }
                }
                // A turn of thoughts that only another model can read leaves nothing.
                guard parts.bytes.count > 2 else { continue }
                json.object {
                    $0.member("role", first.role == .assistant ? "model" : "user")
                    $0.key("parts")
                    $0.raw(parts.bytes)
                }
            }
        }
    }

    private func write(
        _ part: NeutralPart,
        _ names: inout [String: String],
        _ isFirstCall: inout Bool,
        to json: inout JSONWriter
    ) throws {
        switch part.content {
        case .text(let text), .refusal(let text):
            if !text.isEmpty { json.object { $0.member("text", text) } }
        case .image(let media): try write(media, kind: "image/jpeg", to: &json)
        case .audio(let media): try write(media, kind: "audio/wav", to: &json)
        case .document(let media): try write(media, kind: "application/pdf", to: &json)
        case .toolUse(let use):
            names[use.id] = use.name
            write(use, isFirst: isFirstCall, to: &json)
            isFirstCall = false
        case .toolResult(let result): try write(result, names, to: &json)
        case .thinking(let thinking):
            guard let seal = thinking.signature, seal.origin == .gemini, !thinking.text.isEmpty else { return }
            json.object {
                $0.member("text", thinking.text)
                $0.member("thought", true)
                $0.member("thoughtSignature", seal.value)
            }
        case .redactedThinking: break
        }
    }

    private func write(_ use: NeutralToolUse, isFirst: Bool, to json: inout JSONWriter) {
        let own = use.signature.flatMap { $0.origin == .gemini ? $0.value : nil }
        let seal = own ?? (needsSeals && isFirst ? Self.foreignSeal : nil)
        GeminiAnswerEncoder.writeCall(use, seal: seal, to: &json)
    }

    private func write(_ result: NeutralToolResult, _ names: [String: String], to json: inout JSONWriter) throws {
        guard let name = result.name ?? names[result.id] else {
            throw TranslationFault(.messages, "a tool's result must follow the call that it answers")
        }
        json.object { json in
            json.key("functionResponse")
            json.object { json in
                json.member("id", result.id)
                json.member("name", name)
                json.key("response")
                json.object {
                    let texts = result.parts.compactMap(\.text).joined(separator: "\n")
                    if result.isError { $0.member("error", texts) } else { $0.member("output", texts) }
                }
            }
        }
        // Beside the result, where every model of the line takes them.
        for part in result.parts where part.text == nil {
            var ignored: [String: String] = [:]
            var isFirstCall = false
            try write(part, &ignored, &isFirstCall, to: &json)
        }
    }

    // MARK: Media

    /// - Parameter kind: of media at a URL that does not tell.
    private func write(_ media: NeutralMedia, kind: StaticString, to json: inout JSONWriter) throws {
        try media.refuseCitations()
        switch media.source {
        case .base64(let mediaType, let data):
            json.object { json in
                json.key("inlineData")
                json.object {
                    $0.member("mimeType", mediaType)
                    $0.member("data", data)
                }
            }
        case .url(let url):
            json.object { json in
                json.key("fileData")
                json.object {
                    $0.member("fileUri", url)
                    $0.member("mimeType", Self.mediaType(of: url) ?? "\(kind)")
                }
            }
        case .text(let text):
            for piece in [media.title, media.context, text] {
                if let piece, !piece.isEmpty { json.object { $0.member("text", piece) } }
            }
        case .file:
            throw TranslationFault(media.field, "files of another provider are not available to this model")
        }
    }

    private static func mediaType(of url: String) -> String? {
        let path = url.prefix { $0 != "?" && $0 != "#" }
        guard let dot = path.lastIndex(of: "."), path[dot...].utf8.count <= 6 else { return nil }
        return switch path[dot...].lowercased() {
        case ".jpg", ".jpeg": "image/jpeg"
        case ".png": "image/png"
        case ".webp": "image/webp"
        case ".gif": "image/gif"
        case ".heic": "image/heic"
        case ".pdf": "application/pdf"
        case ".mp3": "audio/mp3"
        case ".wav": "audio/wav"
        case ".txt", ".md": "text/plain"
        case ".csv": "text/csv"
        case ".html": "text/html"
        default: nil
        }
    }
}
