package import Formats

/// Finds the whole response in a stream of it: for upstreams that answer in streams only.
package struct OpenAIResponsesFold {
    /// The `response` of the last event that carries one; an error event as `{"error":…}`; nil for neither.
    package private(set) var response: [UInt8]?
    /// Whether it has no content and no error, by the rule that streams are followed by.
    package let isEmpty: Bool

    package init(_ stream: [UInt8], _ parser: JSONParser) {
        var events = SSEParser(maximumEventBytes: stream.count + 1)
        var found: [UInt8]?
        let meter = OpenAIResponsesMeter()
        try? events.feed(stream) { event in
            let kind = meter.receive(event, parser)
            guard kind == .end || kind == .error else { return }
            let range: Range<Int>?? = try? parser.parse(event.data) { $0.locateTopLevel("response").value }
            if let range = range ?? nil {
                found = Array(event.data[range])
            } else if kind == .error {
                found = Array(#"{"error":"#.utf8) + Array(event.data) + Array("}".utf8)
            }
        }
        response = found
        isEmpty = !meter.hasContent && !meter.hasFailed
    }
}
