import Bytes

/// JSON strings from bytes, for paths on which a `String` would cost more than its text.
package enum JSONText {
    /// Appends bytes as a JSON string.
    ///
    /// - Parameter utf8: valid UTF-8, as `JSONValue.stringBytes` gives it.
    package static func append(_ utf8: UnsafeRawBufferPointer, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "\""))
        appendInside(utf8, to: &out)
        out.append(UInt8(ascii: "\""))
    }

    /// The same without the quotes.
    package static func appendInside(_ utf8: UnsafeRawBufferPointer, to out: inout [UInt8]) {
        var start = 0
        var at = 0
        while at < utf8.count {
            // Eight bytes at a time while none of them needs an escape.
            if at + 8 <= utf8.count, !hasEscape(utf8.loadUnaligned(fromByteOffset: at, as: UInt64.self)) {
                at += 8
                continue
            }
            let byte = utf8[at]
            if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                out.append(contentsOf: UnsafeRawBufferPointer(rebasing: utf8[start..<at]))
                appendEscape(byte, to: &out)
                start = at + 1
            }
            at += 1
        }
        out.append(contentsOf: UnsafeRawBufferPointer(rebasing: utf8[start...]))
    }

    /// A string's inside between what comes before and after it: pieces of streams are short and many.
    package static func append(
        _ head: [UInt8],
        inside utf8: UnsafeRawBufferPointer,
        _ tail: [UInt8],
        to out: inout [UInt8]
    ) {
        guard utf8.count <= 1024 else {
            out.append(contentsOf: head)
            appendInside(utf8, to: &out)
            return out.append(contentsOf: tail)
        }
        out.append(atMost: head.count + 6 * utf8.count + tail.count) { text in
            head.withUnsafeBytes { text.write($0) }
            text.write(escaping: utf8)
            tail.withUnsafeBytes { text.write($0) }
        }
    }

    package static func append(_ number: Int, to out: inout [UInt8]) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var start = digits.count
            var rest = number.magnitude
            repeat {
                start -= 1
                digits[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            } while rest > 0
            if number < 0 { out.append(UInt8(ascii: "-")) }
            out.append(contentsOf: UnsafeBufferPointer(rebasing: digits[start...]))
        }
    }

    /// Whether one of eight bytes is a quote, a backslash or below space (Hacker's Delight, 6-1: a zero byte in a word).
    static func hasEscape(_ word: UInt64) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        let quote = word ^ (ones &* 0x22)
        let backslash = word ^ (ones &* 0x5C)
        let control = (word &- ones &* 0x20) & ~word
        return ((quote &- ones) & ~quote | (backslash &- ones) & ~backslash | control) & highs != 0
    }

    private static func appendEscape(_ byte: UInt8, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\n"): out.append(UInt8(ascii: "n"))
        case UInt8(ascii: "\r"): out.append(UInt8(ascii: "r"))
        case UInt8(ascii: "\t"): out.append(UInt8(ascii: "t"))
        case 0..<0x20:
            out.append(contentsOf: "u00".utf8)
            out.append(Hex.digit(byte >> 4))
            out.append(Hex.digit(byte & 0xF))
        default: out.append(byte)
        }
    }
}
