package import Domain
package import Formats

/// Turns an upstream's stream into the caller's, event by event, and notes what the relay must know.
///
/// The notes have the names and meanings of the pass-through meters'.
package final class StreamTranslator: NeutralSink {
    /// Cumulative; the last report stands.
    package private(set) var usage = TokenUsage()
    package private(set) var hasFinalUsage = false
    /// Something of the answer itself has come: a block began.
    package private(set) var hasContent = false
    package private(set) var hasEnded = false
    /// The upstream sent an error, or bytes that are not its dialect; the caller's error event is written.
    package private(set) var hasFailed = false
    package private(set) var error: NeutralError?
    /// Whether anything but content has come since this was last set to false: without it only `contentBytes` changed.
    package var hasNews = false
    /// Bytes of generated text so far, for an estimate when the upstream breaks off.
    package private(set) var contentBytes = 0

    private let decoder: any StreamDecoder
    private let encoder: any StreamEncoder
    private let hiddenHosts: [String]
    private var events: SSEParser
    private var out: [UInt8] = []
    private var countsContent = true

    /// - Parameter hosts: what callers must not read in the text of an error.
    package init(
        from decoder: any StreamDecoder,
        to encoder: any StreamEncoder,
        hiding hosts: [String] = [],
        maximumEventBytes: Int = 16 << 20
    ) {
        self.decoder = decoder
        self.encoder = encoder
        hiddenHosts = hosts
        events = SSEParser(maximumEventBytes: maximumEventBytes)
    }

    /// Takes bytes of the upstream's stream, cut anywhere, and appends the caller's bytes.
    package func feed(_ chunk: UnsafeRawBufferPointer, _ parser: JSONParser, into output: inout [UInt8]) {
        swap(&out, &output)
        do {
            try events.feed(chunk) { event in
                if !isOver { decoder.receive(event, parser, into: self) }
            }
        } catch {
            fail("The upstream sent an event that is too large.")
        }
        swap(&out, &output)
    }

    /// Takes one event that somebody else has cut out of the stream.
    package func receive(_ event: SSEEvent, _ parser: JSONParser, into output: inout [UInt8]) {
        guard !isOver else { return }
        swap(&out, &output)
        decoder.receive(event, parser, into: self)
        swap(&out, &output)
    }

    /// The upstream's stream is over. Without `hasEnded` or `hasFailed` afterwards it broke off.
    package func finish(into output: inout [UInt8]) {
        guard !isOver else { return }
        swap(&out, &output)
        decoder.finish(into: self)
        swap(&out, &output)
    }

    /// Ends the caller's stream with its dialect's error event.
    package func fail(_ error: NeutralError, into output: inout [UInt8]) {
        guard !isOver else { return }
        swap(&out, &output)
        receive(.error(error))
        swap(&out, &output)
    }

    /// What follows is not delivered any more; reported usage still counts.
    package func stopCountingContent() { countsContent = false }

    package func receive(_ event: NeutralEvent) {
        guard !isOver else { return }
        switch event {
        case .text(let piece), .thinking(let piece), .arguments(let piece):
            // Its block has begun, so that there is content.
            if countsContent { contentBytes += piece.bytes.count }
        case .error(let fault):
            hasNews = true
            note(event)
            return encoder.encode(.error(fault.scrubbed(hiding: hiddenHosts)), into: &out)
        default:
            hasNews = true
            note(event)
        }
        encoder.encode(event, into: &out)
    }

    private func note(_ event: NeutralEvent) {
        switch event {
        case .blockStart: hasContent = true
        case .usage(let report):
            usage = report.tokens
            if report.isFinal { hasFinalUsage = true }
        case .end: hasEnded = true
        case .error(let fault):
            error = fault
            hasFailed = true
        // An answer that was cut or blocked before its first word is an answer.
        case .stop(let reason): if reason != .endTurn { hasContent = true }
        case .text, .thinking, .arguments, .start, .signature, .citation, .blockEnd: break
        }
    }

    private var isOver: Bool { hasEnded || hasFailed }

    private func fail(_ message: String) { receive(.error(NeutralError(.upstream, message))) }
}
