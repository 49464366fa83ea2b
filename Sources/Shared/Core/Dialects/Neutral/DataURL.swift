import Formats

/// `data:` URLs (RFC 2397) in requests: how OpenAI's dialects carry images and files.
package enum DataURL {
    /// - Throws: `TranslationFault` for a `data:` URL that is not valid base64 and for any scheme but http(s).
    package static func source(_ url: String, field: String) throws -> NeutralMedia.Source {
        if let (mediaType, data) = try split(url, field: field) { return .base64(mediaType: mediaType, data: data) }
        let start = url.prefix(8).lowercased()
        guard start.hasPrefix("https://") || start.hasPrefix("http://") else {
            throw TranslationFault(field, "must be an http(s) URL or a base64 data URL")
        }
        return .url(url)
    }

    /// A file: a `data:` URL, or bare base64 whose kind its name tells. Plain text comes out as text.
    package static func document(_ data: String, name: String?, field: String) throws -> NeutralPart.Content {
        let source: (mediaType: String, data: String)
        if let found = try split(data, field: field) {
            source = found
        } else {
            guard Base64.isValid(data) else { throw TranslationFault(field, "is not valid base64") }
            let isText = name.map { $0.hasSuffix(".txt") || $0.hasSuffix(".md") } ?? false
            source = (isText ? "text/plain" : "application/pdf", data)
        }
        if source.mediaType.hasPrefix("image/") {
            return .image(NeutralMedia(.base64(mediaType: source.mediaType, data: source.data), field: field))
        }
        if source.mediaType.hasPrefix("text/"), let bytes = Base64.decode(source.data) {
            let text = String(decoding: bytes, as: UTF8.self)
            return .document(NeutralMedia(.text(text), title: name, field: field))
        }
        return .document(
            NeutralMedia(.base64(mediaType: source.mediaType, data: source.data), title: name, field: field)
        )
    }

    /// Nil for what is no `data:` URL.
    private static func split(_ url: String, field: String) throws -> (mediaType: String, data: String)? {
        guard url.prefix(5).lowercased() == "data:" else { return nil }
        guard let comma = url.utf8.firstIndex(of: UInt8(ascii: ",")) else {
            throw TranslationFault(field, "is not a base64 data URL")
        }
        let head = url[url.index(url.startIndex, offsetBy: 5)..<comma].split(separator: ";")
        let data = String(url[url.index(after: comma)...])
        guard let mediaType = head.first, mediaType.contains("/"), head.last == "base64" else {
            throw TranslationFault(field, "is not a base64 data URL")
        }
        guard Base64.isValid(data) else { throw TranslationFault(field, "is not valid base64") }
        return (mediaType.lowercased(), data)
    }

    package static func text(mediaType: String, data: String) -> String { "data:\(mediaType);base64,\(data)" }
}
