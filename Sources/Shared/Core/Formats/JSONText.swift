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
        guard let base = utf8.baseAddress else { return }
        var start = 0
        var at = 0
        while at < utf8.count {
            let plain = JSONBytes.plainCount(base + at, of: utf8.count - at)
            at += plain
            if plain == 8 || at == utf8.count { continue }
            out.append(contentsOf: UnsafeRawBufferPointer(rebasing: utf8[start..<at]))
            appendEscape(utf8[at], to: &out)
            at += 1
            start = at
        }
        out.append(contentsOf: UnsafeRawBufferPointer(rebasing: utf8[start...]))
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
