/// Base 16 (RFC 4648, 8), in lower case.
package enum Hex {
    /// The digit of the low four bits.
    internal static func digit(_ value: UInt8) -> UInt8 {
        let value = value & 0xF
        return value < 10 ? 0x30 + value : 0x57 + value
    }

    @inlinable @inline(__always)
    package static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x41...0x46: digit - 0x37
        case 0x61...0x66: digit - 0x57
        default: nil
        }
    }

    package static func encode(_ bytes: UnsafeRawBufferPointer) -> String {
        String(unsafeUninitializedCapacity: bytes.count * 2) { out in
            for (at, byte) in bytes.enumerated() {
                out[2 * at] = digit(byte >> 4)
                out[2 * at + 1] = digit(byte)
            }
            return bytes.count * 2
        }
    }

    package static func encode(_ bytes: [UInt8]) -> String { bytes.withUnsafeBytes { encode($0) } }

    /// Digits of either case; nil for an odd number of them or any other character.
    package static func decode(_ text: some StringProtocol) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count / 2)
        var high: UInt8?
        for character in text.utf8 {
            guard let value = value(character) else { return nil }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return high == nil ? bytes : nil
    }
}
