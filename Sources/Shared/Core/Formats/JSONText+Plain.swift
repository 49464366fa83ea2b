import Bytes
import CSimdJSON

extension JSONText {
    /// What the inside of a JSON string up to its closing quote amounts to.
    package enum Inside {
        /// The bytes themselves, so many of them.
        case plain(length: Int)
        /// What was decoded into the buffer, from so many bytes.
        case decoded(length: Int)
    }

    /// Reads the inside of a JSON string at the start of `bytes`.
    ///
    /// - Parameter buffer: gets the text where it has escapes; it is emptied first.
    /// - Returns: nil for what is not valid UTF-8 or not closed, and for `\u` escapes, which are left to a parser.
    package static func inside(_ bytes: UnsafeRawBufferPointer, _ buffer: inout [UInt8]) -> Inside? {
        guard let base = bytes.baseAddress else { return nil }
        var at = 0
        var start = 0
        var hasEscape = false
        while at < bytes.count {
            let plain = JSONBytes.plainCount(base + at, of: bytes.count - at, onlyASCII: true)
            at += plain
            if plain == 8 || at == bytes.count { continue }
            let byte = bytes[at]
            switch byte {
            case UInt8(ascii: "\""):
                guard hasEscape else { return .plain(length: at) }
                buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[start..<at]))
                return .decoded(length: at)
            case UInt8(ascii: "\\"):
                guard at + 1 < bytes.count, let decoded = unescaped(bytes[at + 1]) else { return nil }
                if !hasEscape { buffer.removeAll(keepingCapacity: true) }
                hasEscape = true
                buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[start..<at]))
                buffer.append(decoded)
                at += 2
                start = at
            case 0..<0x80: return nil
            default:
                guard let length = scalarLength(UnsafeRawBufferPointer(rebasing: bytes[at...])) else { return nil }
                at += length
            }
        }
        return nil
    }

    /// Whether the inside of a valid JSON string, which is hardly ever escaped, is this text of printable ASCII.
    package static func inside(_ bytes: UnsafeRawBufferPointer, equals text: StaticString) -> Bool {
        if bytes.count == text.utf8CodeUnitCount { return bytes.equals(text) }
        // Only an escaped one is longer than the text.
        return bytes.count > text.utf8CodeUnitCount
            && tg_json_is_escaped(bytes.baseAddress, bytes.count, text.utf8Start, text.utf8CodeUnitCount)
    }

    private static func unescaped(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "n"): 0x0A
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): byte
        case UInt8(ascii: "t"): 0x09
        case UInt8(ascii: "r"): 0x0D
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        default: nil
        }
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
