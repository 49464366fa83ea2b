import HTTPMessages
import HTTPWire

/// How an HTTP/1 answer's end is known to the caller (RFC 9112, 6.3).
enum HTTP1Framing: Equatable {
    /// HEAD, 204, 304: whatever is written is left out.
    case noBody
    case length(left: Int)
    case chunked
    /// HTTP/1.0 without a length: the connection's end.
    case untilClose
}

/// The bytes of an answer's status line and fields.
enum HTTP1AnswerHead {
    enum Connection {
        /// Nothing need be said.
        case implied
        case keepAlive
        case close
    }

    /// Appends the head to `out`. Fields that the server itself is responsible for are left out, and so are those whose
    /// value would break the message.
    ///
    /// - Parameter contentLength: takes the place of what the head says.
    static func encode(
        _ head: HTTPResponseHead,
        contentLength: Int?,
        isChunked: Bool,
        connection: Connection,
        date: [UInt8],
        into out: inout [UInt8]
    ) {
        statusLine(head.status, into: &out)
        var hasDate = false
        head.headers.forEach { name, value in
            let field = FieldBytes(raw: name)
            switch name.count {
            case 4 where field.equals("date"): hasDate = true
            case 14 where (contentLength != nil || isChunked) && field.equals("content-length"): return
            default: if FieldRules.isConnectionField(name) { return }
            }
            guard FieldRules.isValue(value) else { return }
            out.append(contentsOf: name)
            append(": ", to: &out)
            out.append(contentsOf: value)
            append("\r\n", to: &out)
        }
        if let contentLength {
            append("content-length: ", to: &out)
            appendDecimal(contentLength, to: &out)
            append("\r\n", to: &out)
        } else if isChunked {
            append("transfer-encoding: chunked\r\n", to: &out)
        }
        switch connection {
        case .implied: break
        case .keepAlive: append("connection: keep-alive\r\n", to: &out)
        case .close: append("connection: close\r\n", to: &out)
        }
        if !hasDate {
            append("date: ", to: &out)
            out.append(contentsOf: date)
            append("\r\n", to: &out)
        }
        append("\r\n", to: &out)
    }

    /// The size line of a chunk.
    static func appendChunkSize(_ size: Int, to out: inout [UInt8]) {
        var shift = (Int.bitWidth - max(size, 1).leadingZeroBitCount - 1) / 4 * 4
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: (size >> shift) & 0xf)
            out.append(digit < 10 ? 0x30 + digit : 0x61 + digit - 10)
            shift -= 4
        }
        append("\r\n", to: &out)
    }

    static func appendLineEnd(to out: inout [UInt8]) { append("\r\n", to: &out) }

    private static func append(_ text: StaticString, to out: inout [UInt8]) {
        out.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private static func appendDecimal(_ value: Int, to out: inout [UInt8]) {
        guard value >= 10 else { return out.append(UInt8(truncatingIfNeeded: 0x30 + max(value, 0))) }
        appendDecimal(value / 10, to: &out)
        out.append(UInt8(truncatingIfNeeded: 0x30 + value % 10))
    }

    private static func statusLine(_ status: Int, into out: inout [UInt8]) {
        if status == 200 { return append("HTTP/1.1 200 OK\r\n", to: &out) }
        append("HTTP/1.1 ", to: &out)
        appendDecimal(min(max(status, 200), 999), to: &out)
        append(" ", to: &out)
        append(reason(status), to: &out)
        append("\r\n", to: &out)
    }

    /// What people expect to read beside a status; empty, which is legal, for one without a common name.
    static func reason(_ status: Int) -> StaticString {
        switch status {
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 206: "Partial Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 402: "Payment Required"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 422: "Unprocessable Content"
        case 424: "Failed Dependency"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: ""
        }
    }
}
