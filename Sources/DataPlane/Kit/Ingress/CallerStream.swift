import Domain
import Formats
package import HTTPMessages
package import HTTPServing

/// How a stream reaches its caller: as events, or for Gemini without `alt=sse` as the elements of a JSON array.
package enum CallerStream {
    package static func isArray(_ request: HTTPRequestHead) -> Bool {
        guard request.path.hasSuffix(":streamGenerateContent") else { return false }
        return request.queryValue("alt") != "sse"
    }

    /// The head of a stream that the gateway itself begins.
    package static func head(_ requestID: String, isArray: Bool) -> HTTPResponseHead {
        let headers: HeaderFields = [
            "content-type": isArray ? "application/json; charset=utf-8" : "text/event-stream; charset=utf-8",
            "cache-control": "no-cache", "x-request-id": requestID,
        ]
        return HTTPResponseHead(status: 200, headers: headers)
    }

    package static func start(_ exchange: ServerExchange, _ head: HTTPResponseHead, isArray: Bool) {
        exchange.startResponse(head)
        if isArray { exchange.write([UInt8(ascii: "[")]) }
    }
}

/// Turns events into the elements of an array that has been opened.
struct ArrayElements {
    private var parser = SSEParser()
    private var isFirst = true

    /// - Parameter events: whole ones.
    mutating func append(_ events: UnsafeRawBufferPointer, to out: inout [UInt8]) {
        var isFirst = isFirst
        try? parser.feed(events) { event in
            guard event.hasData else { return }
            if !isFirst { out.append(contentsOf: ",\r\n".utf8) }
            isFirst = false
            out.append(contentsOf: event.data)
        }
        self.isFirst = isFirst
    }

    mutating func append(_ events: [UInt8], to out: inout [UInt8]) {
        events.withUnsafeBytes { append($0, to: &out) }
    }
}
