import Dialects
package import Formats
package import HTTPMessages

/// Takes an upstream's wrapping off its stream, piece by piece.
package protocol AnswerTransform: AnyObject {
    /// Appends the Server-Sent Events that the bytes complete.
    ///
    /// - Throws: when the bytes are no such stream.
    func feed(_ bytes: UnsafeRawBufferPointer, _ parser: JSONParser, into out: inout [UInt8]) throws
}

extension AnswerForm {
    package var isAlwaysStream: Bool {
        if case .alwaysStream = self { true } else { false }
    }

    /// Whether these are the headers of a stream of this form.
    package func isStream(_ headers: HeaderFields) -> Bool {
        let type: StaticString =
            switch self {
            case .awsEventStream: "application/vnd.amazon.eventstream"
            case .plain, .enveloped, .alwaysStream: "text/event-stream"
            }
        return headers.withValue("content-type") { value in
            let type = UnsafeBufferPointer(start: type.utf8Start, count: type.utf8CodeUnitCount)
            // Media types are compared in any case (RFC 9110, 8.3.1).
            return value.count >= type.count && zip(value, type).allSatisfy { $0 | 0x20 == $1 | 0x20 }
        } ?? false
    }

    /// Nil where streams come as they are.
    package func makeTransform() -> (any AnswerTransform)? {
        switch self {
        case .plain, .alwaysStream: nil
        case .enveloped: EnvelopeStream()
        case .awsEventStream: BedrockStream()
        }
    }

    /// The answer's own JSON; nil when it cannot be found.
    package func whole(_ body: [UInt8], _ parser: JSONParser) -> [UInt8]? {
        switch self {
        case .plain, .awsEventStream: body
        case .enveloped: Envelope.open(body, parser)
        case .alwaysStream: OpenAIResponsesFold.response(in: body, parser)
        }
    }
}
