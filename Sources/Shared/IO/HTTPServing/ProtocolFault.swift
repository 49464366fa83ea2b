package import HTTPMessages
package import Reactor

/// A request that never reaches the server's handler: it breaks the protocol, exceeds a limit, or does not come to the
/// end of its head.
package struct ProtocolFault {
    /// 400, 405, 408, 417, 431 or 505.
    package let status: Int
    /// What was understood of it, its fields perhaps not all; nil where not even the request line was.
    package let request: HTTPRequestHead?
    /// When its first byte arrived.
    package let startedAt: MonotonicTime
}

/// What a server says to a request that its handler never sees.
package struct FaultAnswer {
    package var head: HTTPResponseHead
    package var body: [UInt8]

    package init(_ head: HTTPResponseHead, body: [UInt8]) {
        self.head = head
        self.body = body
    }

    /// The methods that a 405 names (RFC 9110, 15.5.6).
    package static let methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

    /// The status and its name, as plain text.
    static func plain(_ fault: ProtocolFault) -> FaultAnswer {
        var head = HTTPResponseHead(status: fault.status, headers: ["content-type": "text/plain"])
        if fault.status == 405 { head.headers.add("allow", methods) }
        let reason = HTTP1AnswerHead.reason(fault.status)
        var text = [UInt8](UnsafeBufferPointer(start: reason.utf8Start, count: reason.utf8CodeUnitCount))
        text.append(UInt8(ascii: "\n"))
        return FaultAnswer(head, body: text)
    }
}
