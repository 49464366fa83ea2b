package import HTTPMessages

/// Gathers one received header block. nghttp2 has checked order, duplicates and characters (RFC 9113, 8.1 to 8.3).
package struct HTTP2HeadCollector {
    package private(set) var method = ""
    package private(set) var path = ""
    package private(set) var scheme = ""
    package private(set) var authority = ""
    /// 0 until `:status` was read.
    package private(set) var status = 0
    package private(set) var headers = HeaderFields()
    /// As SETTINGS_MAX_HEADER_LIST_SIZE counts: names and values and 32 bytes a field (RFC 9113, 6.5.2).
    package private(set) var byteCount = 0

    package init() {}

    package mutating func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        byteCount = byteCount &+ name.count &+ value.count &+ 32
        guard name.first == UInt8(ascii: ":") else {
            if headers.isEmpty { headers.reserve(bytes: 512, fields: 16) }
            return headers.add(name, value)
        }
        let field = FieldBytes(raw: name)
        switch name.count {
        case 5 where field.equals(":path"): path = FieldBytes(raw: value).string
        case 7 where field.equals(":method"): method = FieldBytes(raw: value).string
        case 7 where field.equals(":scheme"): scheme = FieldBytes(raw: value).string
        case 7 where field.equals(":status"): status = Self.status(value)
        case 10 where field.equals(":authority"): authority = FieldBytes(raw: value).string
        default: break
        }
    }

    private static func status(_ text: UnsafeRawBufferPointer) -> Int {
        guard text.count == 3, text.allSatisfy({ $0 &- 0x30 < 10 }) else { return 0 }
        return text.reduce(0) { $0 * 10 + Int($1 &- 0x30) }
    }

    /// Two fields name the host of the request, and not the same one (RFC 9113, 8.3.1).
    package var isHostAmbiguous: Bool {
        guard !authority.isEmpty else { return false }
        return headers.withValue("host") { !FieldBytes(raw: $0).equals(authority) } ?? false
    }

    /// The request, its authority in `host` where HTTP/1 has it.
    package consuming func makeRequest() -> HTTPRequestHead {
        if !authority.isEmpty, !headers.contains("host") { headers.add("host", authority) }
        return HTTPRequestHead(method: method, target: path, headers: headers)
    }

    /// The response, in no more memory than it needs: it is held as long as its stream. What it was gathered in serves
    /// the next head.
    package mutating func takeResponse() -> HTTPResponseHead {
        defer { reset() }
        return HTTPResponseHead(status: status, headers: headers.compacted())
    }

    /// Forgets a response's head.
    package mutating func reset() {
        status = 0
        byteCount = 0
        if headers.byteCount > 4096 { headers = HeaderFields() } else { headers.removeAll() }
    }
}
