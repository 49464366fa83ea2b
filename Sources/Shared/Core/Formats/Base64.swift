/// Base 64 (RFC 4648, 4 and 5).
package enum Base64 {
    package enum Alphabet: Sendable {
        /// `+` and `/`, padded with `=`.
        case standard
        /// `-` and `_`, without padding.
        case url
    }

    package static func encode(_ bytes: [UInt8], _ alphabet: Alphabet = .standard) -> String {
        String(decoding: encodedBytes(bytes, alphabet), as: UTF8.self)
    }

    package static func encodedBytes(_ bytes: [UInt8], _ alphabet: Alphabet = .standard) -> [UInt8] {
        bytes.withUnsafeBytes { encodedBytes($0, alphabet) }
    }

    package static func encodedBytes(_ bytes: UnsafeRawBufferPointer, _ alphabet: Alphabet = .standard) -> [UInt8] {
        let digits = alphabet == .standard ? standardDigits : urlDigits
        return [UInt8](unsafeUninitializedCapacity: (bytes.count + 2) / 3 * 4) { out, count in
            digits.withUnsafeBufferPointer { digits in
                var at = 0
                while at + 3 <= bytes.count {
                    let word = Int(bytes[at]) << 16 | Int(bytes[at + 1]) << 8 | Int(bytes[at + 2])
                    out[count] = digits[word >> 18]
                    out[count + 1] = digits[word >> 12 & 63]
                    out[count + 2] = digits[word >> 6 & 63]
                    out[count + 3] = digits[word & 63]
                    at += 3
                    count += 4
                }
                let rest = bytes.count - at
                guard rest > 0 else { return }
                let word = Int(bytes[at]) << 16 | (rest == 2 ? Int(bytes[at + 1]) << 8 : 0)
                out[count] = digits[word >> 18]
                out[count + 1] = digits[word >> 12 & 63]
                count += 2
                if rest == 2 {
                    out[count] = digits[word >> 6 & 63]
                    count += 1
                }
                guard alphabet == .standard else { return }
                for _ in rest..<3 {
                    out[count] = UInt8(ascii: "=")
                    count += 1
                }
            }
        }
    }

    /// Decodes the one canonical encoding of some bytes: padding must be complete in the standard alphabet and absent
    /// in the other, unused bits zero, no white space. Nil for anything else.
    package static func decode(_ text: some StringProtocol, _ alphabet: Alphabet = .standard) -> [UInt8]? {
        if let decoded = text.utf8.withContiguousStorageIfAvailable({ decode(UnsafeRawBufferPointer($0), alphabet) }) {
            return decoded
        }
        return Array(text.utf8).withUnsafeBytes { decode($0, alphabet) }
    }

    package static func decode(_ text: UnsafeRawBufferPointer, _ alphabet: Alphabet = .standard) -> [UInt8]? {
        var count = text.count
        if alphabet == .standard {
            guard count % 4 == 0 else { return nil }
            for _ in 0..<2 where count > 0 && text[count - 1] == UInt8(ascii: "=") { count -= 1 }
        }
        let rest = count % 4
        guard rest != 1 else { return nil }
        let values = alphabet == .standard ? standardValues : urlValues
        var isValid = true
        let decoded = [UInt8](unsafeUninitializedCapacity: count / 4 * 3 + 2) { out, written in
            values.withUnsafeBufferPointer { values in
                // Every digit is below 64, so the high bits of all of them stay clear unless one is not a digit.
                var seen: UInt8 = 0
                var at = 0
                while at + 4 <= count {
                    let a = values[Int(text[at])]
                    let b = values[Int(text[at + 1])]
                    let c = values[Int(text[at + 2])]
                    let d = values[Int(text[at + 3])]
                    seen |= a | b | c | d
                    out[written] = a << 2 | b >> 4
                    out[written + 1] = b << 4 | c >> 2
                    out[written + 2] = c << 6 | d
                    at += 4
                    written += 3
                }
                if rest >= 2 {
                    let a = values[Int(text[at])]
                    let b = values[Int(text[at + 1])]
                    let c = rest == 3 ? values[Int(text[at + 2])] : 0
                    seen |= a | b | c
                    out[written] = a << 2 | b >> 4
                    written += 1
                    if rest == 3 {
                        out[written] = b << 4 | c >> 2
                        written += 1
                    }
                    if (rest == 2 ? b & 0xF : c & 0x3) != 0 { isValid = false }
                }
                if seen & 0xC0 != 0 { isValid = false }
            }
        }
        return isValid ? decoded : nil
    }

    private static let standardDigits = digits(endingIn: "+/")
    private static let urlDigits = digits(endingIn: "-_")
    private static let standardValues = values(of: standardDigits)
    private static let urlValues = values(of: urlDigits)

    private static func digits(endingIn last: String) -> [UInt8] {
        Array(0x41...0x5A) + Array(0x61...0x7A) + Array(0x30...0x39) + Array(last.utf8)
    }

    private static func values(of digits: [UInt8]) -> [UInt8] {
        var values = [UInt8](repeating: 0xFF, count: 256)
        for (value, digit) in digits.enumerated() { values[Int(digit)] = UInt8(value) }
        return values
    }
}
