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

    /// Finds the answer's own JSON.
    package func whole(_ body: [UInt8], _ parser: JSONParser) -> WholeBody {
        switch self {
        case .plain, .awsEventStream: return .found(body)
        case .enveloped: return WholeBody(Envelope.open(body, parser))
        case .alwaysStream:
            let fold = OpenAIResponsesFold(body, parser)
            return fold.isEmpty ? .empty : WholeBody(fold.response)
        }
    }
}

/// What was received for a whole answer.
package enum WholeBody: Sendable {
    case found([UInt8])
    /// A stream that came to its end without any content.
    case empty
    case unreadable

    init(_ body: [UInt8]?) { self = body.map { .found($0) } ?? .unreadable }
}
