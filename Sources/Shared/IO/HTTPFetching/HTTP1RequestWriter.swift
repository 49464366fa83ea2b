import Bytes
import HTTPMessages
import HTTPWire

/// The head of a request as HTTP/1.1 writes it (RFC 9112, 3).
enum HTTP1RequestWriter {
    /// What the request line, and the fields that the connection adds, take beside what they name.
    private static let ownBytes = 128

    /// - Returns: nil for a head that cannot be written: a control character in it would end a line, or the request.
    static func head(of request: FetchRequest, authority: String) -> [UInt8]? {
        let head = request.head
        guard isWritable(head) else { return nil }
        var bytes: [UInt8] = []
        let named = head.method.utf8.count + head.target.utf8.count + authority.utf8.count
        bytes.append(atMost: ownBytes + named + head.headers.byteCount + 4 * head.headers.count) { out in
            out.write(head.method)
            out.write(" ")
            out.write(head.target)
            out.write(" HTTP/1.1\r\n")
            if !head.headers.contains("host") {
                out.write("host: ")
                out.write(authority)
                out.writeLineEnd()
            }
            head.headers.forEach { name, value in
                guard !isFraming(FieldBytes(raw: name)) else { return }
                out.write(name)
                out.write(": ")
                out.write(value)
                out.writeLineEnd()
            }
            if !request.body.isEmpty || !hasNoUsualBody(head.method) {
                out.write("content-length: ")
                out.write(decimal: Int64(request.body.count))
                out.writeLineEnd()
            }
            out.writeLineEnd()
        }
        return bytes
    }

    /// Whether every part of the head stays where it belongs.
    static func isWritable(_ head: HTTPRequestHead) -> Bool {
        guard !head.method.isEmpty, head.method.utf8.allSatisfy(isVisible),
            !head.target.isEmpty, head.target.utf8.allSatisfy(isVisible)
        else { return false }
        var isClean = true
        head.headers.forEach { name, value in
            isClean = isClean && !name.isEmpty && name.allSatisfy(isNameByte) && FieldRules.isValue(value)
        }
        return isClean
    }

    /// What the connection decides itself.
    static func isFraming(_ name: FieldBytes) -> Bool {
        switch name.raw.count {
        case 6: name.equals("expect")
        case 7: name.equals("upgrade")
        case 10: name.equals("connection") || name.equals("keep-alive")
        case 14: name.equals("content-length")
        case 16: name.equals("proxy-connection")
        case 17: name.equals("transfer-encoding")
        default: false
        }
    }

    private static func hasNoUsualBody(_ method: String) -> Bool {
        method == "GET" || method == "HEAD" || method == "DELETE" || method == "OPTIONS"
    }

    private static func isVisible(_ byte: UInt8) -> Bool { byte > 0x20 && byte != 0x7f }

    private static func isNameByte(_ byte: UInt8) -> Bool { isVisible(byte) && byte != UInt8(ascii: ":") }
}
