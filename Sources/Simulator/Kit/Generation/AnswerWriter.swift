import Formats
import HTTPMessages

/// A good answer, in no dialect.
package struct Answer {
    /// Of the request's body, in hexadecimal: ids are made of it.
    package var digest: String
    package var model: String
    package var content: Generation
    package var usage: ReportedUsage
    package var serving: Serving
    /// Microseconds since 1970.
    package var now: Int64
}

/// Writes an answer in one dialect.
protocol AnswerWriter {
    var errors: any PlatformErrors { get }

    func fields(isStream: Bool) -> HeaderFields

    /// The body of a whole answer; without content it is otherwise in order.
    func whole(hasContent: Bool) -> [UInt8]

    /// - Parameters:
    ///   - textEvents: how many deltas the text has; nil is one for about 24 bytes, at most 2,000.
    ///   - hasContent: without it, the stream has a beginning and an end only.
    func stream(textEvents: Int?, hasContent: Bool) -> AnswerStream

    /// What follows the first `end` bytes of the stream when the provider gives up there.
    func errorEvent(in stream: AnswerStream, at end: Int) -> [UInt8]

    /// Whether each event ends in a checksum of its bytes.
    var hasChecksums: Bool { get }
}

extension AnswerWriter {
    var hasChecksums: Bool { false }
}

/// A stream of events and where they end.
struct AnswerStream {
    var bytes: [UInt8] = []
    /// Where the event of each content delta begins and ends.
    var deltas: [Range<Int>] = []
    /// Where the events end that precede all content.
    var startEnd = 0
    /// What has been reported when so many bytes have left.
    var usage: [(offset: Int, total: ReportedUsage)] = []

    /// Notes that everything since an offset is a content event.
    mutating func noteDelta(from start: Int) { deltas.append(start..<bytes.count) }

    /// A text as the deltas of a stream have it.
    static func parts(of text: String, count: Int?) -> UTF8Parts {
        UTF8Parts(text, count: count ?? min(max(1, text.utf8.count / 24), 2_000))
    }

    /// The arguments of a tool call, cut anywhere, as no parser would.
    static func parts(ofArguments json: [UInt8]) -> UTF8Parts {
        UTF8Parts(String(decoding: json, as: UTF8.self), count: min(1 + json.count / 12, 256))
    }
}
