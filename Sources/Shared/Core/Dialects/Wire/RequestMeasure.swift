package import Domain
package import Formats

/// How much a request gives a model to read, as far as its body tells.
package struct RequestMeasure: Hashable, Sendable {
    /// Of the body, without media in base64.
    package private(set) var textBytes: Int
    package private(set) var media = MediaTokens()

    /// - Parameter summary: as it was read from the request.
    package init(of request: JSONOutline, _ summary: CallSummary, _ dialect: Dialect) {
        let reader = MediaReader(dialect, request)
        textBytes = max(0, request.source.count - reader.bytes)
        media = reader.tokens
        if summary.goesOnFromStored || reader.namesStored { media += .unseen }
    }
}

/// Finds media where a dialect puts them: what stands elsewhere is text, even if it looks like base64.
private struct MediaReader {
    /// Of base64.
    private(set) var bytes = 0
    private(set) var tokens = MediaTokens()
    /// Whether an item of an earlier conversation is given by its id.
    private(set) var namesStored = false
    private let image: MediaTokens

    private static let anthropic: [StaticString] = ["source"]
    private static let chat: [StaticString] = ["image_url", "video_url", "input_audio", "file"]
    private static let responses: [StaticString] = [
        "image_url", "input_audio", "file_data", "file_url", "file_id", "id",
    ]
    private static let gemini: [StaticString] = ["inlineData", "inline_data", "fileData", "file_data"]

    init(_ dialect: Dialect, _ outline: JSONOutline) {
        switch dialect {
        case .anthropic:
            image = .image
            outline.forEachMember(of: Self.anthropic) { readSource($0) }
        case .openaiChat:
            image = .detailedImage
            outline.forEachMember(of: Self.chat) { readChat(Self.chat[$0.key], $0.value) }
        case .openaiResponses:
            image = .detailedImage
            outline.forEachMember(of: Self.responses) { readResponses($0) }
        case .gemini:
            image = .image
            outline.forEachMember(of: Self.gemini) { readGemini($0.value) }
        }
    }

    // MARK: Dialects

    /// `{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"…"}}`
    private mutating func readSource(_ member: JSONOutline.Member) {
        guard let parts = Parts(member.value), let type = parts.type else { return }
        if parts.isAmbiguous { return tokens += .unseen }
        if type.equals("base64") { return add(parts.data, parts.mediaType) }
        // These have words or further blocks in them.
        if type.equals("text") || type.equals("content") { return }
        guard let block = member.object() else { return tokens += .unseen }
        // A tool's own arguments have no such type beside them.
        guard let kind = block["type"], kind.isString else { return }
        tokens += kind.equals("image") ? image : .unseen
    }

    /// `"image_url":{"url":"data:image/png;base64,…"}`, `"input_audio":{"data":"…"}`, `"file":{"file_id":"…"}`
    private mutating func readChat(_ key: StaticString, _ value: JSONSourceValue) {
        if value.text != nil { return key.equals("image_url") ? addURL(value, image) : () }
        guard let parts = Parts(value) else { return }
        if parts.isAmbiguous { return tokens += .unseen }
        if key.equals("input_audio") {
            addRecording(parts.data)
        } else if key.equals("file") {
            if parts.data != nil { addURL(parts.data, .unseen) } else if parts.reference != nil { tokens += .unseen }
        } else {
            addURL(parts.data, key.equals("image_url") ? image : .unseen)
        }
    }

    /// `{"type":"input_file","file_data":"data:application/pdf;base64,…"}`
    private mutating func readResponses(_ member: JSONOutline.Member) {
        let (key, value) = (Self.responses[member.key], member.value)
        guard value.isString else {
            guard key.equals("input_audio"), let parts = Parts(value) else { return }
            // Its own name of the data alone: the others are looked for by themselves, and would count twice.
            if parts.isAmbiguous { tokens += .unseen } else { addRecording(value["data"]) }
            return
        }
        if key.equals("image_url") { return addURL(value, image) }
        guard let item = member.object() else {
            if !key.equals("id") { tokens += .unseen }
            return
        }
        let type = item["type"].flatMap { $0.isNull ? nil : $0 }
        if key.equals("id") {
            let isNamed = type?.equals("item_reference") ?? (item["role"] == nil)
            if isNamed, item.isElement { namesStored = true }
        } else if let type, type.isString {
            if key.equals("file_data") { return addURL(value, .unseen) }
            tokens += type.equals("input_file") ? .unseen : image
        }
    }

    /// `"inlineData":{"mimeType":"image/png","data":"…"}`, `"fileData":{"fileUri":"…"}`
    private mutating func readGemini(_ value: JSONSourceValue) {
        guard let parts = Parts(value) else { return }
        if parts.isAmbiguous { return tokens += .unseen }
        if parts.data != nil { return add(parts.data, parts.mediaType) }
        if parts.reference != nil { tokens += Self.isOf("image", parts.mediaType) ? image : .unseen }
    }

    // MARK: Pieces

    /// What can stand in an object that is a piece of media.
    private struct Parts {
        private(set) var type: JSONSourceValue?
        private(set) var mediaType: UnsafeRawBufferPointer?
        private(set) var data: JSONSourceValue?
        private(set) var reference: JSONSourceValue?
        /// One of them stands twice: who reads the other one sees another thing.
        private(set) var isAmbiguous = false

        /// Nil for what is no object.
        init?(_ value: JSONSourceValue) {
            guard value.isObject else { return nil }
            for (name, value) in value.members where value.isString {
                func isNamed(_ names: StaticString...) -> Bool {
                    names.contains { JSONText.inside(name, equals: $0) }
                }
                if isNamed("type") {
                    isAmbiguous = isAmbiguous || type != nil
                    type = value
                } else if isNamed("media_type", "mimeType", "mime_type") {
                    isAmbiguous = isAmbiguous || mediaType != nil
                    mediaType = value.text
                } else if isNamed("data", "url", "file_data") {
                    isAmbiguous = isAmbiguous || data != nil
                    data = value
                } else if isNamed("file_id", "fileUri", "file_uri") {
                    isAmbiguous = isAmbiguous || reference != nil
                    reference = value
                }
            }
        }
    }

    /// Media in base64.
    private mutating func add(_ data: JSONSourceValue?, _ mediaType: UnsafeRawBufferPointer?) {
        guard let count = data?.text?.count else { return }
        bytes += count
        if Self.isOf("image", mediaType) {
            tokens += image
        } else if Self.isOf("audio", mediaType) || Self.isOf("video", mediaType) {
            tokens += .recording(count)
        } else {
            tokens += .document(count)
        }
    }

    private mutating func addRecording(_ data: JSONSourceValue?) {
        guard let count = data?.text?.count else { return }
        bytes += count
        tokens += .recording(count)
    }

    /// - Parameter elsewhere: what it counts for where it has no data in it.
    private mutating func addURL(_ url: JSONSourceValue?, _ elsewhere: MediaTokens) {
        guard let text = url?.text else { return }
        guard text.prefix(5).elementsEqual("data:".utf8) else { return tokens += elsewhere }
        add(url, UnsafeRawBufferPointer(rebasing: text.dropFirst(5)))
    }

    /// Whether a media type is of this kind. What follows it may be written `\/`.
    private static func isOf(_ kind: StaticString, _ mediaType: UnsafeRawBufferPointer?) -> Bool {
        guard let mediaType, mediaType.count > kind.utf8CodeUnitCount else { return false }
        return UnsafeRawBufferPointer(rebasing: mediaType.prefix(kind.utf8CodeUnitCount)).equals(kind)
    }
}

extension StaticString {
    fileprivate func equals(_ other: StaticString) -> Bool {
        UnsafeRawBufferPointer(start: utf8Start, count: utf8CodeUnitCount).equals(other)
    }
}
