package import Formats

/// Antigravity's wrapping (`v1internal`) of requests and answers.
package enum Envelope {
    /// What a call may be paid with beside the plan: the subscriber's AI credits.
    package static let creditTypes = ["GOOGLE_ONE_AI"]

    /// `{"model","project","request":{…}}`, with `enabledCreditTypes` where the call may cost credits.
    ///
    /// - Parameter body: one JSON object; its bytes stay as they are.
    package static func wrap(_ body: [UInt8], model: String, project: String?, usesCredits: Bool = false) -> [UInt8] {
        var json = JSONWriter(capacity: body.count + model.utf8.count + 160)
        json.object {
            $0.member("model", model)
            if let project { $0.member("project", project) }
            $0.key("request")
            $0.raw(body)
            guard usesCredits else { return }
            $0.key("enabledCreditTypes")
            $0.array { for type in creditTypes { $0.string(type) } }
        }
        return json.bytes
    }

    // MARK: Answers, `{"response":{…},"traceId":…}`

    /// The value of `response`; an error as it stands; nil for anything else.
    package static func open(_ body: [UInt8], _ parser: JSONParser) -> [UInt8]? {
        body.withUnsafeBytes { open($0, parser) }
    }

    package static func open(_ body: UnsafeRawBufferPointer, _ parser: JSONParser) -> [UInt8]? {
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
