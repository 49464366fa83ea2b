import Formats

/// Antigravity's wrapping: `{"response":{…},"traceId":…}`.
enum Envelope {
    /// The value of `response`; an error as it stands; nil for anything else.
    static func open(_ body: [UInt8], _ parser: JSONParser) -> [UInt8]? {
        body.withUnsafeBytes { open($0, parser) }
    }

    static func open(_ body: UnsafeRawBufferPointer, _ parser: JSONParser) -> [UInt8]? {
        let range: Range<Int>?? = try? parser.parse(body) { document in
            if let range = document.locateTopLevel("response").value { return range }
            return document.root["error"].map { _ in 0..<body.count }
        }
        guard let range = range ?? nil else { return nil }
        var inner: [UInt8] = []
        inner.reserveCapacity(range.count + JSONParser.padding)
        inner.append(contentsOf: body[range])
        return inner
    }
}

/// Opens the envelope of each event.
final class EnvelopeStream: AnswerTransform {
    private var events = SSEParser()

    func feed(_ bytes: UnsafeRawBufferPointer, _ parser: JSONParser, into out: inout [UInt8]) throws {
        try events.feed(bytes) { event in
            guard event.hasData, let inner = Envelope.open(event.data, parser) else {
                return out.append(contentsOf: event.raw)
            }
            SSEWriter.append(data: inner, to: &out)
        }
    }
}
