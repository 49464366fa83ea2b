/// One chunk-size line being read (RFC 9112, 7.1): hexadecimal digits, perhaps extensions, CRLF. Nothing else.
struct ChunkSize {
    private enum Part { case digits, extensions, lineFeed, complete }
    private var part = Part.digits
    private var digits = 0
    private(set) var value = 0

    var isComplete: Bool { part == .complete }

    /// Of all chunks of a message together: extensions mean nothing to us and cost the sender nothing.
    private static let maximumExtensionBytes = 4096

    /// Reads up to the end of the line; returns the number of bytes read.
    mutating func read(_ bytes: UnsafeRawBufferPointer, extensionBytes: inout Int) throws(HTTP1Error) -> Int {
        for index in bytes.indices {
            let byte = bytes[index]
            switch part {
            case .digits:
                if let digit = Self.hexDigit(byte) {
                    // 15 digits stay below 2^60.
                    digits += 1
                    guard digits <= 15 else { throw .malformed("chunk size") }
                    value = value << 4 | digit
                    continue
                }
                guard digits > 0 else { throw .malformed("chunk size") }
                switch byte {
                case ByteClass.carriageReturn: part = .lineFeed
                case ByteClass.semicolon: part = .extensions
                default: throw .malformed("chunk size")
                }
            case .extensions:
                extensionBytes += 1
                guard extensionBytes <= Self.maximumExtensionBytes else { throw .malformed("chunk extensions") }
                if byte == ByteClass.carriageReturn {
                    part = .lineFeed
                } else if (byte < ByteClass.space && byte != ByteClass.tab) || byte == 0x7f {
                    throw .malformed("chunk extension")
                }
            case .lineFeed:
                guard byte == ByteClass.lineFeed else { throw .malformed("chunk size") }
                part = .complete
                return index + 1
            case .complete:
                return index
            }
        }
        return bytes.count
    }

    private static func hexDigit(_ byte: UInt8) -> Int? {
        switch byte {
        case 0x30...0x39: Int(byte) - 0x30
        case 0x41...0x46: Int(byte) - 0x41 + 10
        case 0x61...0x66: Int(byte) - 0x61 + 10
        default: nil
        }
    }
}
