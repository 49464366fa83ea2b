import HTTPMessages
import HTTPWire

/// The head of a request as HTTP/1.1 writes it (RFC 9112, 3).
enum HTTP1RequestWriter {
    /// - Returns: nil for a head that cannot be written: a control character in it would end a line, or the request.
    static func head(of request: FetchRequest, authority: String) -> [UInt8]? {
        let head = request.head
        guard isWritable(head) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(head.headers.byteCount + 4 * head.headers.count + head.target.utf8.count + 128)
        bytes.append(contentsOf: head.method.utf8)
        bytes.append(UInt8(ascii: " "))
        bytes.append(contentsOf: head.target.utf8)
        bytes.append(contentsOf: " HTTP/1.1\r\n".utf8)
        if !head.headers.contains("host") {
            bytes.append(contentsOf: "host: ".utf8)
            bytes.append(contentsOf: authority.utf8)
            bytes.append(contentsOf: "\r\n".utf8)
        }
        head.headers.forEach { name, value in
            guard !isFraming(FieldBytes(raw: name)) else { return }
            bytes.append(contentsOf: name)
            bytes.append(contentsOf: ": ".utf8)
            bytes.append(contentsOf: value)
            bytes.append(contentsOf: "\r\n".utf8)
        }
        if !request.body.isEmpty || !hasNoUsualBody(head.method) {
            bytes.append(contentsOf: "content-length: ".utf8)
            bytes.append(contentsOf: String(request.body.count).utf8)
            bytes.append(contentsOf: "\r\n".utf8)
        }
        bytes.append(contentsOf: "\r\n".utf8)
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
