/// Web addresses within a text.
enum WebAddress {
    private static let longest = 2048

    /// The first http(s) URL, JSON's escapes in it decoded: texts can be JSON within JSON.
    static func first(in text: String) -> String? {
        let bytes = Array(JSONEscapes.decoded(text).utf8)
        var at = 0
        while let start = Self.start(in: bytes, from: at) {
            var end = start
            while end < bytes.count, isPart(bytes[end]) { end += 1 }
            guard end - start <= longest else {
                // Not an address, and neither is what else begins in it.
                at = end
                continue
            }
            // What closes a sentence or a bracket is not the address' own.
            while end > start, isClosing(bytes[end - 1]) { end -= 1 }
            let url = String(decoding: bytes[start..<end], as: UTF8.self)
            if let scheme = url.firstRange(of: "://"), scheme.upperBound < url.endIndex {
                return url
            }
            at = start + 4
        }
        return nil
    }

    private static func start(in bytes: [UInt8], from: Int) -> Int? {
        guard from < bytes.count else { return nil }
        return bytes.indices[from...].first { at in
            guard bytes[at] | 0x20 == UInt8(ascii: "h") else { return false }
            return has("http://", bytes, at) || has("https://", bytes, at)
        }
    }

    private static func has(_ scheme: String, _ bytes: [UInt8], _ at: Int) -> Bool {
        let scheme = scheme.utf8
        return at + scheme.count <= bytes.count
            && zip(scheme, bytes[at...]).allSatisfy { $0 == ($1 &- 0x41 < 26 ? $1 | 0x20 : $1) }
    }

    private static let delimiters = Array("\"'<>`\\{}|^".utf8)
    private static let closings = Array(".,;:!?)]*".utf8)

    private static func isPart(_ byte: UInt8) -> Bool { byte > 0x20 && byte < 0x7f && !delimiters.contains(byte) }
    private static func isClosing(_ byte: UInt8) -> Bool { closings.contains(byte) }
}
