import Formats

/// The form of the keys that callers present: `tg-`, 43 random characters, 6 characters of checksum, all base 62.
///
/// 43 characters hold 256 bits. The checksum is the CRC-32 of what stands before it: it keeps no secret, it only tells
/// mistyped and invented keys from real ones without asking anybody.
package enum APIKeyFormat {
    package static let prefix = "tg-"
    package static let length = 52
    private static let randomCharacters = 43
    private static let checksumCharacters = 6

    /// A new key.
    /// - Parameter random: a source of unpredictable bytes, which is asked again if it happens not to suffice.
    package static func generate(random: (Int) -> [UInt8]) -> String {
        var key = Array(prefix.utf8)
        while key.count < length - checksumCharacters {
            // Only 248 of 256 byte values share out evenly among 62 digits; the others are thrown away.
            for byte in random(randomCharacters + 5) where byte < 248 && key.count < length - checksumCharacters {
                key.append(digit(UInt32(byte % 62)))
            }
        }
        var rest = CRC32.checksum(key)
        var checksum: [UInt8] = []
        for _ in 0..<checksumCharacters {
            checksum.append(digit(rest % 62))
            rest /= 62
        }
        return String(decoding: key + checksum.reversed(), as: UTF8.self)
    }

    /// Whether these bytes have the form of a key. Says nothing about whether that key exists.
    package static func isWellFormed(_ key: UnsafeRawBufferPointer) -> Bool {
        guard key.count == length, key[0] == UInt8(ascii: "t"), key[1] == UInt8(ascii: "g"), key[2] == UInt8(ascii: "-")
        else { return false }
        for at in 3..<(length - checksumCharacters) where !isDigit(key[at]) { return false }
        var rest = CRC32.checksum(UnsafeRawBufferPointer(rebasing: key[..<(length - checksumCharacters)]))
        for at in ((length - checksumCharacters)..<length).reversed() {
            guard key[at] == digit(rest % 62) else { return false }
            rest /= 62
        }
        return true
    }

    package static func isWellFormed(_ key: String) -> Bool {
        var key = key
        return key.withUTF8 { isWellFormed(UnsafeRawBufferPointer($0)) }
    }

    /// What is stored in place of the key: its SHA-256 in hexadecimal. The key is random, so no salt is needed.
    package static func hash(_ key: UnsafeRawBufferPointer) -> String { SHA256.hex(key) }
    package static func hash(_ key: String) -> String { SHA256.hex(key) }

    /// What people know a key by: its first ten characters and an ellipsis, `tg-AbC1234…`.
    package static func displayPrefix(_ key: String) -> String { key.prefix(10) + "…" }

    private static func isDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: false
        }
    }

    /// The digit of a value below 62: `0–9 A–Z a–z`.
    private static func digit(_ value: UInt32) -> UInt8 {
        let value = UInt8(truncatingIfNeeded: value)
        return value < 10 ? 0x30 + value : value < 36 ? 0x41 + value - 10 : 0x61 + value - 36
    }
}
