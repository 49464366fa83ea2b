import Bytes
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

    /// What the status line, and the fields that the server adds, take at most.
    private static let ownBytes = 256

    /// Appends the head to `out`, and `body` where it goes along. Fields that the server itself is responsible for are left
    /// out, and so are those whose value would break the message.
    ///
    /// - Parameter contentLength: takes the place of what the head says.
    static func encode(
        _ head: HTTPResponseHead,
        contentLength: Int?,
        isChunked: Bool,
        connection: Connection,
        date: [UInt8],
        body: [UInt8] = [],
        into out: inout [UInt8]
    ) {
        let fieldBytes = head.headers.byteCount + 4 * head.headers.count
        out.append(atMost: ownBytes + fieldBytes + date.count + body.count) { out in
            writeStatusLine(head.status, to: &out)
            let hasDate = write(head.headers, sparing: contentLength != nil || isChunked, to: &out)
            if let contentLength {
                out.write("content-length: ")
                out.write(decimal: Int64(contentLength))
                out.writeLineEnd()
            } else if isChunked {
                out.write("transfer-encoding: chunked\r\n")
            }
            switch connection {
            case .implied: break
            case .keepAlive: out.write("connection: keep-alive\r\n")
            case .close: out.write("connection: close\r\n")
            }
            if !hasDate {
                out.write("date: ")
                date.withUnsafeBytes { out.write($0) }
                out.writeLineEnd()
            }
            out.writeLineEnd()
            body.withUnsafeBytes { out.write($0) }
        }
    }

    /// - Parameter sparesLength: a `content-length` is left out.
    /// - Returns: whether a date is among the fields.
    private static func write(
        _ headers: HeaderFields,
        sparing sparesLength: Bool,
        to out: inout ByteCursor
    ) -> Bool {
        var hasDate = false
        headers.forEach { name, value in
            let field = FieldBytes(raw: name)
            switch name.count {
            case 4 where field.equals("date"): hasDate = true
            case 14 where sparesLength && field.equals("content-length"): return
            default: if FieldRules.isConnectionField(name) { return }
            }
            guard FieldRules.isValue(value) else { return }
            out.write(name)
            out.write(": ")
            out.write(value)
            out.writeLineEnd()
        }
        return hasDate
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

    private static func writeStatusLine(_ status: Int, to out: inout ByteCursor) {
        if status == 200 { return out.write("HTTP/1.1 200 OK\r\n") }
        out.write("HTTP/1.1 ")
        out.write(decimal: Int64(min(max(status, 200), 999)))
        out.write(" ")
        out.write(reason(status))
        out.writeLineEnd()
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
