import Bytes
import Glibc

package enum HTTPVersion: Sendable { case http1, http2 }

/// The head of a request (RFC 9110).
package struct HTTPRequestHead: Sendable, Equatable {
    package var method: String
    /// Path and query as they stood in the request line or `:path`: `/v1/messages?beta=true`.
    package var target: String
    package var headers: HeaderFields

    package init(method: String, target: String, headers: HeaderFields = HeaderFields()) {
        self.method = method
        self.target = target
        self.headers = headers
    }

    /// The target up to its query.
    package var path: Substring { queryMark.map { target[..<$0] } ?? target[...] }

    /// What follows the `?`, undecoded; empty without one.
    package var query: Substring {
        queryMark.map { target[target.utf8.index(after: $0)...] } ?? ""
    }

    /// Where the `?` is.
    private var queryMark: String.Index? {
        var text = target
        let offset = text.withUTF8 { bytes -> Int? in
            guard let start = bytes.baseAddress, let mark = memchr(start, 0x3F, bytes.count) else { return nil }
            return UnsafeRawPointer(mark) - UnsafeRawPointer(start)
        }
        return offset.map { text.utf8.index(text.startIndex, offsetBy: $0) }
    }

    /// The method for a log, in short: anybody can send one of any length.
    package var shownMethod: String { method.shown(20) }

    /// The path for a log, in short, without the query, where a key may stand.
    package var shownPath: String { path.shown(200) }

    /// The first value of a query parameter, percent-decoded, `+` as a space.
    package func queryValue(_ name: String) -> String? {
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if let first = parts.first, PercentCoding.decodeForm(first) == name {
                return parts.count > 1 ? PercentCoding.decodeForm(parts[1]) : ""
            }
        }
        return nil
    }
}

/// The head of a response (RFC 9110).
package struct HTTPResponseHead: Sendable, Equatable {
    package var status: Int
    package var headers: HeaderFields

    package init(status: Int, headers: HeaderFields = HeaderFields()) {
        self.status = status
        self.headers = headers
    }
}

/// Percent-encoding of URL parts (RFC 3986, 2.1).
package enum PercentCoding {
    /// Decodes `%XX`; a malformed escape stays as it is, bytes that are not UTF-8 are replaced.
    package static func decode(_ text: some StringProtocol) -> String { decode(text, isForm: false) }

    /// Decodes names and values of queries and forms (`application/x-www-form-urlencoded`), in which `+` is a space.
    package static func decodeForm(_ text: some StringProtocol) -> String { decode(text, isForm: true) }

    private static func decode(_ text: some StringProtocol, isForm: Bool) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if isForm, byte == UInt8(ascii: "+") {
                bytes.append(UInt8(ascii: " "))
            } else if byte == UInt8(ascii: "%"), let high = rest.first.flatMap(hexDigit),
                let low = rest.dropFirst().first.flatMap(hexDigit)
            {
                bytes.append(high << 4 | low)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }

    /// Encodes everything but unreserved characters.
    package static func encode(_ text: some StringProtocol) -> String {
        var out = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e:
                out.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                out += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return out
    }
}
