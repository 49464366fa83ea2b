package import CNGHTTP2
package import HTTPMessages

/// Heads as nghttp2 takes them: an array of pointers into the bytes that are there already.
///
/// Fields that belong to one HTTP/1 connection (RFC 9113, 8.2.2) are left out.
package enum HTTP2Fields {
    /// Lends the fields of a request, `host` having become `:authority`.
    package static func withRequest<Value>(
        _ head: HTTPRequestHead,
        scheme: StaticString,
        authority: String,
        _ body: (UnsafePointer<nghttp2_nv>, Int) throws -> Value
    ) rethrows -> Value {
        var method = head.method
        var target = head.target
        var authority = authority
        return try method.withUTF8 { method in
            try target.withUTF8 { target in
                try authority.withUTF8 { authority in
                    try withFields(head.headers, pseudo: 4, leavesOutHost: true) { fields in
                        fields.append(":method", UnsafeRawBufferPointer(method))
                        fields.append(
                            ":scheme",
                            UnsafeRawBufferPointer(start: scheme.utf8Start, count: scheme.utf8CodeUnitCount)
                        )
                        fields.append(":authority", UnsafeRawBufferPointer(authority))
                        fields.append(":path", UnsafeRawBufferPointer(target))
                    } body: {
                        try body($0, $1)
                    }
                }
            }
        }
    }

    /// Lends the fields of a response. `date`, when given, is added.
    package static func withResponse<Value>(
        _ head: HTTPResponseHead,
        date: UnsafeRawBufferPointer? = nil,
        _ body: (UnsafePointer<nghttp2_nv>, Int) throws -> Value
    ) rethrows -> Value {
        let code = UInt32(truncatingIfNeeded: min(max(head.status, 100), 999))
        // Three digits in memory order, whatever the byte order of the machine.
        var digits = (
            UInt8(truncatingIfNeeded: 0x30 + code / 100),
            UInt8(truncatingIfNeeded: 0x30 + code / 10 % 10),
            UInt8(truncatingIfNeeded: 0x30 + code % 10)
        )
        return try withUnsafeBytes(of: &digits) { digits in
            try withFields(head.headers, pseudo: 2, leavesOutHost: false) { fields in
                fields.append(":status", digits)
                if let date { fields.append("date", date) }
            } body: {
                try body($0, $1)
            }
        }
    }

    /// The array while it is being filled.
    private struct Writer {
        let fields: UnsafeMutableBufferPointer<nghttp2_nv>
        var count = 0

        mutating func append(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
            append(UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), value)
        }

        mutating func append(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
            guard count < fields.count else { return }
            // nghttp2 only reads through these pointers; its C types do not say so. It takes no null pointer, not even
            // for an empty value.
            let empty = UnsafeRawPointer(fields.baseAddress)
            fields.initializeElement(
                at: count,
                to: nghttp2_nv(
                    name: Self.pointer(name.baseAddress ?? empty),
                    value: Self.pointer(value.baseAddress ?? empty),
                    namelen: name.count,
                    valuelen: value.count,
                    flags: 0
                )
            )
            count += 1
        }

        private static func pointer(_ raw: UnsafeRawPointer?) -> UnsafeMutablePointer<UInt8>? {
            UnsafeMutableRawPointer(mutating: raw)?.assumingMemoryBound(to: UInt8.self)
        }
    }

    private static func withFields<Value>(
        _ headers: HeaderFields,
        pseudo: Int,
        leavesOutHost: Bool,
        first: (inout Writer) -> Void,
        body: (UnsafePointer<nghttp2_nv>, Int) throws -> Value
    ) rethrows -> Value {
        try withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: headers.count + pseudo) { space in
            var writer = Writer(fields: space)
            first(&writer)
            return try headers.withFields { name, value in
                if !isConnectionField(name), !(leavesOutHost && isHost(name)) { writer.append(name, value) }
            } then: {
                guard let base = space.baseAddress else { preconditionFailure("a head without pseudo fields") }
                return try body(UnsafePointer(base), writer.count)
            }
        }
    }

    /// `connection`, `upgrade`, `keep-alive`, `proxy-connection`, `transfer-encoding`.
    private static func isConnectionField(_ name: UnsafeRawBufferPointer) -> Bool {
        let name = FieldBytes(raw: name)
        return switch name.raw.count {
        case 7: name.equals("upgrade")
        case 10: name.equals("connection") || name.equals("keep-alive")
        case 16: name.equals("proxy-connection")
        case 17: name.equals("transfer-encoding")
        default: false
        }
    }

    private static func isHost(_ name: UnsafeRawBufferPointer) -> Bool { FieldBytes(raw: name).equals("host") }
}
