import Domain
package import Formats

/// Follows a stream while it is translated: what it notes are the translator's notes.
package final class TranslatingMeter: StreamMeter {
    private let stream: StreamTranslator
    private var counted = 0
    /// The caller's events since they were last taken.
    package private(set) var output: [UInt8] = []

    package init(_ stream: StreamTranslator) { self.stream = stream }

    package override func receive(_ event: SSEEvent, _ parser: JSONParser) -> Event {
        guard event.isComplete else { return hasContent ? .trailer : .preamble }
        stream.receive(event, parser, into: &output)
        return note()
    }

    /// The upstream's stream is over, as it should be.
    package func finish() {
        stream.finish(into: &output)
        _ = note()
    }

    /// Appends the caller's events that are new.
    package func takeOutput(into out: inout [UInt8]) {
        guard !out.isEmpty else { return swap(&out, &output) }
        out.append(contentsOf: output)
        output.removeAll(keepingCapacity: output.capacity <= 16 * 1024)
    }

    /// Nobody is there any more to read it.
    package func dropOutput() { output.removeAll(keepingCapacity: true) }

    private func note() -> Event {
        guard stream.hasNews else {
            if stream.contentBytes != counted { countContent(stream.contentBytes - counted) }
            counted = stream.contentBytes
            return hasContent ? .content : .preamble
        }
        stream.hasNews = false
        usage = stream.usage
        hasFinalUsage = stream.hasFinalUsage
        hasEnded = stream.hasEnded
        hasFailed = stream.hasFailed
        if stream.hasContent { countContent(stream.contentBytes - counted) }
        counted = stream.contentBytes
        if hasFailed { return .error }
        if hasEnded { return .end }
        return hasContent ? .content : .preamble
    }
}
