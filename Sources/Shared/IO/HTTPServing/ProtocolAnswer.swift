import HTTPMessages

/// Answers to what never became a request: the status and its name, as plain text.
enum ProtocolAnswer {
    static func head(_ status: Int) -> HTTPResponseHead {
        var head = HTTPResponseHead(status: status, headers: ["content-type": "text/plain"])
        // RFC 9110, 15.5.6.
        if status == 405 { head.headers.add("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS") }
        return head
    }

    static func body(_ status: Int) -> [UInt8] {
        let reason = HTTP1AnswerHead.reason(status)
        var text = [UInt8](UnsafeBufferPointer(start: reason.utf8Start, count: reason.utf8CodeUnitCount))
        text.append(UInt8(ascii: "\n"))
        return text
    }
}
