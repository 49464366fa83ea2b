import Domain
import Formats

/// Reads `contents`: the turns of a conversation and their parts.
internal struct GeminiContentDecoder {
    private let root: FieldReader

    init(_ root: FieldReader) { self.root = root }

    /// Calls need no ids in this dialect; a result belongs to the first open call of its name. Ids that are missing are
    /// made from the call's place, so that the same conversation always has the same.
    private struct Calls {
        private struct Queue {
            var calls: [Int] = []
            var next = 0
        }
        private var calls: [(id: String, isOpen: Bool)] = []
        private var byName: [String: Queue] = [:]
        private var byID: [String: [Int]] = [:]

        mutating func begin(_ name: String, id: String?, content: Int, part: Int) -> String {
            let id = id.flatMap { $0.isEmpty ? nil : $0 } ?? "call_\(content)_\(part)"
            byName[name, default: Queue()].calls.append(calls.count)
            byID[id, default: []].append(calls.count)
            calls.append((id, true))
            return id
        }

        mutating func answer(_ name: String, id: String?) -> String? {
            if let id, !id.isEmpty {
                for call in byID.removeValue(forKey: id) ?? [] { calls[call].isOpen = false }
                return id
            }
            while let queue = byName[name], queue.next < queue.calls.count {
                let call = queue.calls[queue.next]
                byName[name]?.next += 1
                guard calls[call].isOpen else { continue }
                calls[call].isOpen = false
                return calls[call].id
            }
            return nil
        }
    }

    func messages() throws -> [NeutralMessage] {
        guard let contents = try root.objects("contents") else { throw root.fault("contents", "field required") }
        var calls = Calls()
        return try contents.enumerated().compactMap { index, content in
            let role: NeutralMessage.Role =
                switch try content.string("role") {
                case nil, "", "user", "function", "tool": .user
                case "model", "assistant": .assistant
                case "system": .system
                default: throw content.fault("role", "must be user or model")
                }
            var parts: [NeutralPart] = []
            for (at, part) in (try content.objects("parts") ?? []).enumerated() {
                try read(part, role, (index, at), &calls, into: &parts)
            }
            return parts.isEmpty ? nil : NeutralMessage(role, parts)
        }
    }

    private func read(
        _ part: FieldReader,
        _ role: NeutralMessage.Role,
        _ place: (content: Int, part: Int),
        _ calls: inout Calls,
        into parts: inout [NeutralPart]
    ) throws {
        let seal = try part.string(try part.either("thoughtSignature", "thought_signature")).flatMap {
            $0.isEmpty ? nil : GeminiSeal.read($0)
        }
        if try part.bool("thought") == true {
            return readThought(try part.string("text") ?? "", seal, into: &parts)
        }
        if let text = try part.string("text") {
            if !text.isEmpty { parts.append(.text(text)) }
            return
        }
        if let call = try part.object(try part.either("functionCall", "function_call")) {
            guard role == .assistant else { throw TranslationFault(part.path, "only the model calls functions") }
            let name = try call.requiredString("name")
            let id = calls.begin(name, id: try call.string("id"), content: place.content, part: place.part)
            let arguments = try call.rawObject("args") ?? .emptyObject
            let use = NeutralToolUse(id: id, name: name, arguments: arguments, signature: seal?.seal)
            return parts.append(NeutralPart(.toolUse(use)))
        }
        if let response = try part.object(try part.either("functionResponse", "function_response")) {
            guard role == .user else { throw TranslationFault(part.path, "the model does not answer calls") }
            return parts.append(NeutralPart(.toolResult(try result(response, &calls))))
        }
        if let content = try media(part) { return parts.append(NeutralPart(content)) }
        // What code the model ran stands in its texts as well.
        for (camel, snake) in [
            ("executableCode", "executable_code"), ("codeExecutionResult", "code_execution_result"),
        ] as [(StaticString, StaticString)] where part.has(try part.either(camel, snake)) { return }
        guard seal == nil, part.value.count > 0 else { return }
        throw TranslationFault(part.path, "this content is not available on the platform that serves this key")
    }

    /// Pieces of one thought stand in parts of their own; the seal stands with the last.
    private func readThought(
        _ text: String,
        _ seal: (seal: NeutralSignature, isRedacted: Bool)?,
        into parts: inout [NeutralPart]
    ) {
        if let seal, seal.isRedacted { return parts.append(NeutralPart(.redactedThinking(seal.seal))) }
        if case .thinking(var open) = parts.last?.content, open.signature == nil {
            // Its only owner, so that the text is not copied for each piece.
            parts.removeLast()
            open.text += text
            open.signature = seal?.seal
            parts.append(NeutralPart(.thinking(open)))
        } else if !text.isEmpty || seal != nil {
            parts.append(NeutralPart(.thinking(NeutralThinking(text: text, signature: seal?.seal))))
        }
    }

    // MARK: Results

    private func result(_ response: FieldReader, _ calls: inout Calls) throws -> NeutralToolResult {
        let name = try response.requiredString("name")
        guard let id = calls.answer(name, id: try response.string("id")) else {
            throw response.fault("name", "answers a call that is not there")
        }
        var result = NeutralToolResult(id: id, name: name, parts: [])
        if let value = try response.object("response") {
            result.isError = value.value.count == 1 && value.has("error")
            result.parts.append(.text(text(value)))
        }
        for part in try response.objects("parts") ?? [] {
            if let content = try media(part) { result.parts.append(NeutralPart(content)) }
        }
        return result
    }

    /// A lone text is itself; anything else is told as JSON.
    private func text(_ response: FieldReader) -> String {
        if response.value.count == 1 {
            for key in ["result", "output", "error", "content"] as [StaticString] {
                guard let value = response[key] else { continue }
                return value.string ?? response.source.raw(value).text
            }
        }
        return response.source.raw(response.value).text
    }

    // MARK: Media

    private func media(_ part: FieldReader) throws -> NeutralPart.Content? {
        if let blob = try part.object(try part.either("inlineData", "inline_data")) {
            let type = try blob.requiredString(try blob.either("mimeType", "mime_type")).lowercased()
            guard let data = GeminiBase64.standard(try blob.requiredString("data")) else {
                throw blob.fault("data", "is not valid base64")
            }
            return try content(.base64(mediaType: type, data: data), type, blob)
        }
        guard let file = try part.object(try part.either("fileData", "file_data")) else { return nil }
        let uri = try file.requiredString(try file.either("fileUri", "file_uri"))
        let type = try file.string(try file.either("mimeType", "mime_type"))?.lowercased() ?? ""
        let start = uri.prefix(8).lowercased()
        let isWeb = start.hasPrefix("https://") || start.hasPrefix("http://")
        let isGoogles = uri.firstRange(of: "generativelanguage.googleapis.com/") != nil
        return try content(isWeb && !isGoogles ? .url(uri) : .file(id: uri), type, file)
    }

    private func content(_ source: NeutralMedia.Source, _ type: String, _ holder: FieldReader) throws
        -> NeutralPart.Content
    {
        let title = try holder.string(try holder.either("displayName", "display_name"))
        var media = NeutralMedia(source, title: title, field: holder.path)
        if type.hasPrefix("image/") { return .image(media) }
        if type.hasPrefix("audio/") { return .audio(media) }
        if type.hasPrefix("video/") {
            throw holder.fault("mimeType", "this kind is not available on the platform that serves this key")
        }
        if type.hasPrefix("text/"), case .base64(_, let data) = source, let bytes = Base64.decode(data) {
            media.source = .text(String(decoding: bytes, as: UTF8.self))
        }
        return .document(media)
    }
}
