/// A text in parts of about the same size, none of which ends within a character; as many as asked for, or as many as
/// the text has characters. An empty text has one empty part.
struct UTF8Parts: Sequence, IteratorProtocol {
    private let bytes: [UInt8]
    private let count: Int
    private var index = 0
    private var start = 0

    init(_ text: String, count: Int) {
        bytes = Array(text.utf8)
        self.count = Swift.max(1, Swift.min(count, bytes.count))
    }

    mutating func next() -> ArraySlice<UInt8>? {
        while index < count {
            index += 1
            // Both factors are bounded by the length of a text in memory, far below 2^31.
            var end = bytes.count * index / count
            while end < bytes.count, bytes[end] & 0xc0 == 0x80 { end += 1 }
            if end > start || bytes.isEmpty {
                defer { start = end }
                return bytes[start..<end]
            }
        }
        return nil
    }
}
