import CGatewayShims

/// Looks for words byte by byte: bodies of errors can be long, and characters are slow to walk.
enum Words {
    /// - Parameter words: an empty text is in every other.
    static func contains(_ text: some Collection<UInt8>, _ words: String) -> Bool {
        let found = text.withContiguousStorageIfAvailable { contains(UnsafeRawBufferPointer($0), words) }
        return found ?? Array(text).withUnsafeBytes { contains($0, words) }
    }

    static func contains(_ text: String, _ words: String) -> Bool { contains(text.utf8, words) }

    static func contains(_ text: String, anyOf words: [String]) -> Bool { words.contains { contains(text, $0) } }

    private static func contains(_ text: UnsafeRawBufferPointer, _ words: String) -> Bool {
        var words = words
        return words.withUTF8 { words in
            guard let start = words.baseAddress, !words.isEmpty else { return true }
            guard let base = text.baseAddress, text.count >= words.count else { return false }
            return tg_memmem(base, text.count, start, words.count) != nil
        }
    }
}
