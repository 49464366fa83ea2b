import HTTPMessages

/// What both versions of HTTP, and both directions, agree on about fields.
package enum FieldRules {
    /// Whether the bytes can stand as a field's value: no control characters but the tab (RFC 9110, 5.5). Where this
    /// does not hold, a CR or LF could start a field of its own.
    package static func isValue(_ bytes: UnsafeRawBufferPointer) -> Bool {
        // Eight bytes at a time: `below` has the high bit of each byte under a space, `delete` of each 0x7f, and now and
        // then of its neighbour. Only what looks suspicious is looked at byte by byte.
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        var index = 0
        while index + 8 <= bytes.count {
            let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            let below = (word &- ones &* 0x20) & ~word & highs
            let turned = word ^ (ones &* 0x7f)
            let delete = (turned &- ones) & ~turned & highs
            guard below | delete == 0 else { break }
            index += 8
        }
        while index < bytes.count {
            let byte = bytes[index]
            if (byte < ByteClass.space && byte != ByteClass.tab) || byte == 0x7f { return false }
            index += 1
        }
        return true
    }

    /// Whether a field of this lower-case name says something about one connection and is never passed on:
    /// `connection`, `upgrade`, `keep-alive`, `proxy-connection`, `transfer-encoding` (RFC 9110, 7.6.1).
    package static func isConnectionField(_ name: UnsafeRawBufferPointer) -> Bool {
        let field = FieldBytes(raw: name)
        return switch name.count {
        case 7: field.equals("upgrade")
        case 10: field.equals("connection") || field.equals("keep-alive")
        case 16: field.equals("proxy-connection")
        case 17: field.equals("transfer-encoding")
        default: false
        }
    }
}
