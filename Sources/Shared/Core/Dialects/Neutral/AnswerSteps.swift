/// Keeps the order of `NeutralEvent` whatever an upstream sends: every decoder emits through one of these.
///
/// A delta without its block opens one, a block left open is closed by the next, nothing follows the end.
package struct AnswerSteps {
    package enum Open: Equatable { case nothing, text, refusal, thinking, toolUse, other }

    package private(set) var open = Open.nothing
    package private(set) var isStarted = false
    package private(set) var isOver = false
    private var isStopped = false
    /// Encoders keep citations until their block ends.
    private static let maximumCitations = 4096
    private var citations = 0

    package init() {}

    package mutating func start(id: LentText, model: LentText, _ sink: any NeutralSink) {
        guard !isStarted, !isOver else { return }
        isStarted = true
        sink.receive(.start(id: id, model: model))
    }

    package mutating func begin(_ block: NeutralBlock, _ sink: any NeutralSink) {
        guard !isOver else { return }
        ensureStarted(sink)
        close(sink)
        open =
            switch block {
            case .text: .text
            case .refusal: .refusal
            case .thinking: .thinking
            case .toolUse: .toolUse
            case .redactedThinking, .image: .other
            }
        sink.receive(.blockStart(block))
    }

    /// Closes the open block, if any.
    package mutating func close(_ sink: any NeutralSink) {
        guard open != .nothing, !isOver else { return }
        open = .nothing
        sink.receive(.blockEnd)
    }

    package mutating func text(_ piece: LentText, _ sink: any NeutralSink) {
        guard !isOver else { return }
        if open != .text { begin(.text, sink) }
        sink.receive(.text(piece))
    }

    package mutating func refusal(_ piece: LentText, _ sink: any NeutralSink) {
        guard !isOver else { return }
        if open != .refusal { begin(.refusal, sink) }
        sink.receive(.text(piece))
    }

    package mutating func thinking(_ piece: LentText, _ sink: any NeutralSink) {
        guard !isOver else { return }
        if open != .thinking { begin(.thinking, sink) }
        sink.receive(.thinking(piece))
    }

    package mutating func signature(_ seal: NeutralSignature, _ sink: any NeutralSink) {
        guard !isOver else { return }
        if open != .thinking { begin(.thinking, sink) }
        sink.receive(.signature(seal))
    }

    /// Arguments without an open call belong to nothing and are left out.
    package mutating func arguments(_ piece: LentText, _ sink: any NeutralSink) {
        guard !isOver, open == .toolUse else { return }
        sink.receive(.arguments(piece))
    }

    package mutating func citation(_ citation: NeutralCitation, _ sink: any NeutralSink) {
        guard !isOver, open == .text, citations < Self.maximumCitations else { return }
        citations += 1
        sink.receive(.citation(citation))
    }

    package mutating func usage(_ usage: NeutralUsage, _ sink: any NeutralSink) {
        guard !isOver else { return }
        sink.receive(.usage(usage))
    }

    /// The first reason stands.
    package mutating func stop(_ reason: NeutralStop, _ sink: any NeutralSink) {
        guard !isOver, !isStopped else { return }
        ensureStarted(sink)
        close(sink)
        isStopped = true
        sink.receive(.stop(reason))
    }

    package mutating func end(_ sink: any NeutralSink) {
        guard !isOver else { return }
        stop(.endTurn, sink)
        isOver = true
        sink.receive(.end)
    }

    package mutating func fail(_ error: NeutralError, _ sink: any NeutralSink) {
        guard !isOver else { return }
        isOver = true
        sink.receive(.error(error))
    }

    private mutating func ensureStarted(_ sink: any NeutralSink) {
        let nothing = LentText(UnsafeRawBufferPointer(start: nil, count: 0))
        start(id: nothing, model: nothing, sink)
    }
}
