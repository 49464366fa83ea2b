package import Formats

/// Finds the whole response in a stream of it: for upstreams that answer in streams only.
package enum OpenAIResponsesFold {
    /// The `response` of the last event that carries one; an error event as `{"error":…}`; nil for neither.
    package static func response(in stream: [UInt8], _ parser: JSONParser) -> [UInt8]? {
        var events = SSEParser(maximumEventBytes: stream.count + 1)
        var found: [UInt8]?
        let wire = OpenAIResponsesMeter()
        try? events.feed(stream) { event in
            let kind = wire.receive(event, parser)
            guard kind == .end || kind == .error else { return }
            let range: Range<Int>?? = try? parser.parse(event.data) { $0.locateTopLevel("response").value }
            if let range = range ?? nil {
                found = Array(event.data[range])
            } else if kind == .error {
                found = Array(#"{"error":"#.utf8) + Array(event.data) + Array("}".utf8)
            }
        }
        return found
    }
}
