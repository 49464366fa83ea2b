import Domain
package import Formats

/// Scrubs an upstream's errors as they stand on the wire. What has nothing to scrub in it stays byte for byte.
package enum ErrorScrub {
    /// An error body without what leaks; nil when there is nothing of the kind in it, or it is no JSON.
    ///
    /// Of an answer that failed (OpenAI Responses), by itself or in an event, only the error is one: the rest is the
    /// caller's.
    package static func body(
        _ bytes: UnsafeRawBufferPointer,
        hiding hosts: [String] = [],
        _ parser: JSONParser
    ) -> [UInt8]? {
        let changes: [CallSummary.Insertion]? = try? parser.parse(bytes) { document in
            var changes: [CallSummary.Insertion] = []
            let answer = document.root["response"] ?? document.root
            let isAnswer = document.root["response"] != nil || answer["output"] != nil
            guard let error = isAnswer ? answer["error"] : document.root else { return [] }
            var places = JSONSourceCursor(document)
            collect(error, hosts, &places, &changes)
            return changes
        }
        guard let changes, !changes.isEmpty else { return nil }
        return Splice.applying(changes, to: Array(bytes))
    }

    package static func body(_ bytes: [UInt8], hiding hosts: [String] = [], _ parser: JSONParser) -> [UInt8]? {
        bytes.withUnsafeBytes { body($0, hiding: hosts, parser) }
    }

    /// The same for the event that ends a stream, whose data may be any text.
    package static func event(_ event: SSEEvent, hiding hosts: [String] = [], _ parser: JSONParser) -> [UInt8]? {
        let isJSON = (try? parser.parse(event.data) { _ in true }) ?? false
        let clean =
            isJSON ? body(event.data, hiding: hosts, parser) : LeakScrubber.scrub(event.data, hiding: hosts)
        return clean.map { data in
            var out: [UInt8] = []
            SSEWriter.append(data, inPlaceOf: event, to: &out)
            return out
        }
    }

    private static func collect(
        _ value: JSONValue,
        _ hosts: [String],
        _ places: inout JSONSourceCursor,
        _ changes: inout [CallSummary.Insertion]
    ) {
        switch value.kind {
        case .null, .bool, .number: return
        case .string:
            guard let text = value.stringBytes, let clean = LeakScrubber.scrub(text, hiding: hosts) else { return }
            var quoted: [UInt8] = []
            clean.withUnsafeBytes { JSONText.append($0, to: &quoted) }
            changes.append(CallSummary.Insertion(quoted, replacing: places.range(of: value)))
        case .array: for element in value.elements { collect(element, hosts, &places, &changes) }
        case .object: for (_, member) in value.members { collect(member, hosts, &places, &changes) }
        }
    }
}
