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
    private static let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    /// A new key.
    /// - Parameter random: a source of unpredictable bytes, which is asked again if it happens not to suffice.
    package static func generate(random: (Int) -> [UInt8]) -> String {
        var key = Array(prefix.utf8)
        while key.count < length - checksumCharacters {
            // Only 248 of 256 byte values share out evenly among 62 digits; the others are thrown away.
            for byte in random(randomCharacters + 5) where byte < 248 && key.count < length - checksumCharacters {
                key.append(digits[Int(byte) % digits.count])
            }
        }
        let checksum = key.withUnsafeBytes { checksumDigits(of: $0) }
        return String(decoding: key + checksum, as: UTF8.self)
    }

    /// Whether these bytes have the form of a key. Says nothing about whether that key exists.
    package static func isWellFormed(_ key: UnsafeRawBufferPointer) -> Bool {
        guard key.count == length, key.starts(with: prefix.utf8) else { return false }
        let body = UnsafeRawBufferPointer(rebasing: key[..<(length - checksumCharacters)])
        return body.dropFirst(prefix.utf8.count).allSatisfy(isDigit)
            && key.suffix(checksumCharacters).elementsEqual(checksumDigits(of: body))
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

    private static func checksumDigits(of bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var rest = Int(CRC32.checksum(bytes))
        var checksum = [UInt8](repeating: 0, count: checksumCharacters)
        for index in checksum.indices.reversed() {
            checksum[index] = digits[rest % digits.count]
            rest /= digits.count
        }
        return checksum
    }
}
