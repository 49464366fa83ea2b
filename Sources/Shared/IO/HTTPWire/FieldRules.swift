import HTTPMessages

/// What both versions of HTTP, and both directions, agree on about fields.
package enum FieldRules {
    /// Whether the bytes can stand as a field's value: no control characters but the tab (RFC 9110, 5.5). Where this
    /// does not hold, a CR or LF could start a field of its own.
    package static func isValue(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let count = bytes.count
        guard count >= 8 else { return !hasControl(bytes, in: 0..<count) }
        var index = 0
        // The last word may overlap the one before it.
        while index < count &- 8 {
            if mayHaveControl(bytes, at: index), hasControl(bytes, in: index..<index &+ 8) { return false }
            index &+= 8
        }
        index = count &- 8
        return !mayHaveControl(bytes, at: index) || !hasControl(bytes, in: index..<count)
    }

    /// Looks at eight bytes at once: one below 0x20, or 0x7f, sets its high bit in `suspects`. Borrows can only make more
    /// suspects, never fewer, and tabs are among them; then the bytes have to be looked at one by one.
    @inline(__always)
    private static func mayHaveControl(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Bool {
        let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        let deleted = word ^ 0x7f7f_7f7f_7f7f_7f7f
        let below = (word &- 0x2020_2020_2020_2020) & ~word
        let suspects = below | ((deleted &- 0x0101_0101_0101_0101) & ~deleted)
        return suspects & 0x8080_8080_8080_8080 != 0
    }

    /// Whether the bytes can stand as a field's name: a token (RFC 9110, 5.1).
    package static func isName(_ bytes: UnsafeRawBufferPointer) -> Bool {
        !bytes.isEmpty && bytes.allSatisfy(ByteClass.isToken)
    }

    @inline(__always)
    private static func hasControl(_ bytes: UnsafeRawBufferPointer, in range: Range<Int>) -> Bool {
        for index in range {
            let byte = bytes[index]
            if (byte < ByteClass.space && byte != ByteClass.tab) || byte == 0x7f { return true }
        }
        return false
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
