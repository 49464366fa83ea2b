import HTTPMessages

/// What both versions of HTTP, and both directions, agree on about fields.
package enum FieldRules {
    /// Whether the bytes can stand as a field's value: no control characters but the tab (RFC 9110, 5.5). Where this
    /// does not hold, a CR or LF could start a field of its own.
    package static func isValue(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index + 16 <= bytes.count {
            let block = bytes.loadUnaligned(fromByteOffset: index, as: SIMD16<UInt8>.self)
            let isBad = ((block .< ByteClass.space) .& (block .!= ByteClass.tab)) .| (block .== 0x7f)
            if any(isBad) { return false }
            index += 16
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
