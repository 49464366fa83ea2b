/// COPY's text format: columns end in tabs, rows in newlines, and a backslash escapes what would be taken for either.
///
/// Source: PostgreSQL 15 documentation, COPY, "Text Format".
extension [UInt8] {
    /// - Throws: `PostgresError.server` for text with a NUL character.
    mutating func appendCopyRow(_ row: [PostgresParameter]) throws(PostgresError) {
        for (index, value) in row.enumerated() {
            if index > 0 { append(UInt8(ascii: "\t")) }
            guard !value.hasNul else { throw .nulInText }
            switch value {
            case .null:
                append(UInt8(ascii: "\\"))
                append(UInt8(ascii: "N"))
            case .text(let text): appendCopyText(text)
            case .integer(let number): append(contentsOf: String(number).utf8)
            case .bool(let isTrue): append(isTrue ? UInt8(ascii: "t") : UInt8(ascii: "f"))
            case .bytes(let bytes): appendCopyHexadecimal(bytes)
            }
        }
        append(UInt8(ascii: "\n"))
    }

    private mutating func appendCopyText(_ text: String) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"):
                append(byte)
                append(byte)
            case UInt8(ascii: "\n"):
                append(UInt8(ascii: "\\"))
                append(UInt8(ascii: "n"))
            case UInt8(ascii: "\r"):
                append(UInt8(ascii: "\\"))
                append(UInt8(ascii: "r"))
            case UInt8(ascii: "\t"):
                append(UInt8(ascii: "\\"))
                append(UInt8(ascii: "t"))
            default:
                append(byte)
            }
        }
    }

    /// bytea in its hexadecimal form, whose own backslash is escaped.
    private mutating func appendCopyHexadecimal(_ bytes: [UInt8]) {
        append(contentsOf: "\\\\x".utf8)
        for byte in bytes {
            append(Self.hexDigit(byte >> 4))
            append(Self.hexDigit(byte & 15))
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") &+ value : UInt8(ascii: "a") &+ value &- 10
    }
}
