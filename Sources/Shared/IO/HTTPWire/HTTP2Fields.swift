package import CNGHTTP2
package import HTTPMessages

/// Heads as nghttp2 takes them: an array of pointers into the bytes that are there already.
///
/// Fields that belong to one HTTP/1 connection (RFC 9113, 8.2.2) are left out, and so are fields whose value would break
/// the message. What is lent is gone afterwards; only nghttp2's own answer, a stream or an error, comes back.
package enum HTTP2Fields {
    /// Lends the fields of a request, `host` having become `:authority`.
    ///
    /// - Parameters:
    ///   - prefersHost: `authority` is only for heads without `host`; else it takes the place of what the head says.
    ///   - contentLength: takes the place of what the head says; 0 is not said. Nil keeps what it says.
    package static func withRequest(
        _ head: HTTPRequestHead,
        scheme: StaticString,
        authority: String,
        prefersHost: Bool = false,
        contentLength: Int? = nil,
        _ body: (UnsafePointer<nghttp2_nv>, Int) -> Int32
    ) -> Int32 {
        var method = head.method
        var target = head.target
        var authority = authority
        return method.withUTF8 { method in
            target.withUTF8 { target in
                authority.withUTF8 { authority in
                    withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { digits in
                        let length = contentLength.map { writeDecimal(max($0, 0), endingAt: 32, of: digits) }
                        let left = LeftOut(host: true, contentLength: contentLength != nil)
                        return withFields(head.headers, first: 5, leavingOut: left) { fields in
                            fields.append(":method", UnsafeRawBufferPointer(method))
                            fields.append(
                                ":scheme",
                                UnsafeRawBufferPointer(start: scheme.utf8Start, count: scheme.utf8CodeUnitCount)
                            )
                            fields.appendAuthority(UnsafeRawBufferPointer(authority), yieldsToHost: prefersHost)
                            fields.append(":path", UnsafeRawBufferPointer(target))
                            if contentLength != 0, let length { fields.append("content-length", length) }
                        } body: {
                            body($0, $1)
                        }
                    }
                }
            }
        }
    }

    /// Lends the fields of a response.
    ///
    /// - Parameters:
    ///   - date: added where the head has none.
    ///   - contentLength: takes the place of what the head says.
    package static func withResponse(
        _ head: HTTPResponseHead,
        date: UnsafeRawBufferPointer? = nil,
        contentLength: Int? = nil,
        _ body: (UnsafePointer<nghttp2_nv>, Int) -> Int32
    ) -> Int32 {
        // The digits of both numbers, right-aligned in their own parts of one small space.
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { digits in
            let status = writeDecimal(min(max(head.status, 100), 999), endingAt: 3, of: digits)
            let length = contentLength.map { writeDecimal(max($0, 0), endingAt: 32, of: digits) }
            let left = LeftOut(contentLength: contentLength != nil)
            return withFields(head.headers, first: 3, leavingOut: left) { fields in
                fields.append(":status", status)
                if let date, !head.headers.contains("date") { fields.append("date", date) }
                if let length { fields.append("content-length", length) }
            } body: {
                body($0, $1)
            }
        }
    }

    /// Lends the fields of an interim response (1xx), which has none but its status.
    package static func withInterim(_ status: Int, _ body: (UnsafePointer<nghttp2_nv>, Int) -> Void) {
        _ = withResponse(HTTPResponseHead(status: status)) { fields, count in
            body(fields, count)
            return 0
        }
    }

    private static func writeDecimal(
        _ value: Int,
        endingAt end: Int,
        of space: UnsafeMutableRawBufferPointer
    ) -> UnsafeRawBufferPointer {
        var start = end
        var rest = value
        repeat {
            start -= 1
            space[start] = UInt8(truncatingIfNeeded: 0x30 + rest % 10)
            rest /= 10
        } while rest > 0
        return UnsafeRawBufferPointer(rebasing: space[start..<end])
    }

    /// The array while it is being filled.
    private struct Writer {
        let fields: UnsafeMutableBufferPointer<nghttp2_nv>
        var count = 0
        /// Where a `host` goes.
        private var hostPlace: Int?

        init(_ fields: UnsafeMutableBufferPointer<nghttp2_nv>) { self.fields = fields }

        /// A literal's bytes are always there: nghttp2 need not copy them.
        mutating func append(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
            append(
                UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount),
                value,
                NGHTTP2_NV_FLAG_NO_COPY_NAME
            )
        }

        mutating func appendAuthority(_ value: UnsafeRawBufferPointer, yieldsToHost: Bool) {
            if yieldsToHost { hostPlace = count }
            append(":authority", value)
        }

        mutating func append(
            _ name: UnsafeRawBufferPointer,
            _ value: UnsafeRawBufferPointer,
            _ flags: nghttp2_nv_flag = NGHTTP2_NV_FLAG_NONE
        ) {
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
                    flags: UInt8(truncatingIfNeeded: flags.rawValue)
                )
            )
            count += 1
        }

        /// The authority becomes the first `host`, if it yields to one.
        mutating func takeHost(_ value: UnsafeRawBufferPointer) {
            guard let place = hostPlace, place < count else { return }
            hostPlace = nil
            fields[place].value = Self.pointer(value.baseAddress ?? UnsafeRawPointer(fields.baseAddress))
            fields[place].valuelen = value.count
        }

        private static func pointer(_ raw: UnsafeRawPointer?) -> UnsafeMutablePointer<UInt8>? {
            UnsafeMutableRawPointer(mutating: raw)?.assumingMemoryBound(to: UInt8.self)
        }
    }

    private static func withFields(
        _ headers: HeaderFields,
        first count: Int,
        leavingOut left: LeftOut,
        _ start: (inout Writer) -> Void,
        body: (UnsafePointer<nghttp2_nv>, Int) -> Int32
    ) -> Int32 {
        withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: headers.count + count) { space in
            var writer = Writer(space)
            start(&writer)
            return headers.withFields { name, value in
                if left.covers(name) {
                    if FieldBytes(raw: name).equals("host") { writer.takeHost(value) }
                } else if FieldRules.isValue(value) {
                    writer.append(name, value, isUnique(name) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)
                }
            } then: {
                guard let base = space.baseAddress else { preconditionFailure("a head without pseudo fields") }
                return body(UnsafePointer(base), writer.count)
            }
        }
    }

    /// Whether no other message has the same value, so that remembering it (RFC 7541, 6.2) would only cost.
    private static func isUnique(_ name: UnsafeRawBufferPointer) -> Bool {
        let field = FieldBytes(raw: name)
        return switch name.count {
        case 10: field.equals("request-id")
        case 12: field.equals("x-request-id")
        default: false
        }
    }

    /// Which fields of a head do not go on the wire.
    private struct LeftOut {
        var host = false
        var contentLength = false

        func covers(_ name: UnsafeRawBufferPointer) -> Bool {
            let field = FieldBytes(raw: name)
            return switch name.count {
            case 4: host && field.equals("host")
            case 14: contentLength && field.equals("content-length")
            default: FieldRules.isConnectionField(name)
            }
        }
    }
}
