import Bytes

/// The classes of bytes that HTTP's grammar is made of (RFC 9110, 5.5 and 5.6), tested without a table in memory.
enum ByteClass {
    static let tab = UInt8(ascii: "\t")
    static let lineFeed = UInt8(ascii: "\n")
    static let carriageReturn = UInt8(ascii: "\r")
    static let space = UInt8(ascii: " ")
    static let colon = UInt8(ascii: ":")
    static let semicolon = UInt8(ascii: ";")

    /// Letters, digits and ``!#$%&'*+-.^_`|~``: what names and methods consist of.
    @inline(__always)
    static func isToken(_ byte: UInt8) -> Bool {
        isIn(byte, low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_c7ff_fffe)
    }

    /// How many bytes at the start are a token's.
    @inline(__always)
    static func tokenLength(_ bytes: UnsafeRawBufferPointer) -> Int {
        var index = 0
        // Most names are letters and dashes.
        while index &+ 8 <= bytes.count {
            let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self).littleEndian
            let plain = ASCIIWord.neitherLettersNorDashes(word).trailingZeroBitCount &>> 3
            index &+= plain
            if plain < 8 {
                guard isToken(bytes[index]) else { return index }
                index &+= 1
            }
        }
        while index < bytes.count, isToken(bytes[index]) { index &+= 1 }
        return index
    }

    /// What an authority may contain: unreserved, sub-delims but the comma, percent escapes, brackets, colon.
    @inline(__always)
    static func isAuthority(_ byte: UInt8) -> Bool {
        isIn(byte, low: 0x2fff_6ff2_0000_0000, high: 0x47ff_fffe_afff_fffe)
    }

    @inline(__always)
    private static func isIn(_ byte: UInt8, low: UInt64, high: UInt64) -> Bool {
        byte < 128 && ((byte < 64 ? low : high) >> UInt64(byte & 63)) & 1 == 1
    }
}
