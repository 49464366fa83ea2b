extension JSONText {
    /// How many bytes at the start of `bytes` are the inside of a JSON string that needs no decoding, up to its closing
    /// quote: valid UTF-8 without escapes. Nil for anything else.
    package static func plainLength(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var at = 0
        while at < bytes.count {
            let byte = bytes[at]
            switch byte {
            case UInt8(ascii: "\""): return at
            case UInt8(ascii: "\\"), 0..<0x20: return nil
            case 0x20..<0x80: at += 1
            default:
                guard let length = scalarLength(UnsafeRawBufferPointer(rebasing: bytes[at...])) else { return nil }
                at += length
            }
        }
        return nil
    }

    /// The length of the UTF-8 sequence that begins here (Unicode 15, table 3-7); nil if it is not well formed.
    private static func scalarLength(_ bytes: UnsafeRawBufferPointer) -> Int? {
        func isTail(_ offset: Int, _ range: ClosedRange<UInt8> = 0x80...0xBF) -> Bool {
            offset < bytes.count && range.contains(bytes[offset])
        }
        switch bytes[0] {
        case 0xC2...0xDF: return isTail(1) ? 2 : nil
        case 0xE0: return isTail(1, 0xA0...0xBF) && isTail(2) ? 3 : nil
        case 0xED: return isTail(1, 0x80...0x9F) && isTail(2) ? 3 : nil
        case 0xE1...0xEF: return isTail(1) && isTail(2) ? 3 : nil
        case 0xF0: return isTail(1, 0x90...0xBF) && isTail(2) && isTail(3) ? 4 : nil
        case 0xF1...0xF3: return isTail(1) && isTail(2) && isTail(3) ? 4 : nil
        case 0xF4: return isTail(1, 0x80...0x8F) && isTail(2) && isTail(3) ? 4 : nil
        default: return nil
        }
    }
}
