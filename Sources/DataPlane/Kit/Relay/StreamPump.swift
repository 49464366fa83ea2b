import Decisions
import Dialects
import Domain
import Formats
import HTTPFetching
import HTTPMessages
import HTTPServing
import Providers
import Reactor
import Snapshots
import Telemetry

/// Pumps a stream from the upstream's callbacks to the caller's buffer, event by event, metering on the way.
///
/// What comes before the first content is held back, so that an answer without any can still come from another account.
/// Afterwards events leave as they arrive; a caller that does not keep up stops the upstream.
final class StreamPump: SilentStream, DrainedAnswer {
    enum Outcome {
        case done
        /// Before any content: another account may try.
        indirect case failed(FailedAttempt)
    }

    private enum Phase {
        /// Nothing but keep-alives has reached the caller. Next: `streaming`, `finished`.
        case holding
        /// Content is on its way. Next: `draining`, `finished`.
        case streaming
        /// The caller is gone after content; the rest is read to learn the usage. Next: `finished`.
        case draining
        case finished
    }

    /// Beyond this what is held is let go, content or not.
    private static let heldLimit = 256 * 1024
    /// Of each event that is not there yet; beyond it what all hold together is bounded.
    private static let freeEventBytes = 64 * 1024
    /// A caller that has so much to read stops the upstream.
    private static let callerBacklog = 128 * 1024
    /// Drains at once for a key without a concurrency limit of its own.
    private static let defaultDrains = 16

    private let call: Call
    private let response: FetchResponse
    private let attempt: Attempt
    private var phase = Phase.holding
    /// Takes the upstream's own wrapping off, where it has one.
    private let unwrapping: (any AnswerTransform)?
    private var unwrapped: [UInt8] = []
    private var parser = SSEParser()
    private var held: ByteShare
    private let meter: StreamMeter
    /// The meter, where the stream is translated.
    private let translating: TranslatingMeter?
    /// False when events reach the caller as they came.
    private let changesEvents: Bool
    private var elements: ArrayElements?
    /// Events for the caller, in order: held, or gathered within one piece of input.
    private var output: [UInt8] = []
    /// The event that may be the last: kept until more comes or the upstream ends, so that who has seen the end of an
    /// answer has been billed for it.
    private var tail: [UInt8] = []
    private var isPaused = false
    private var drainTimer: LoopTimer?
    private var onEnd: ((Outcome) -> Void)?

    /// - Parameter translating: where the upstream speaks another dialect than the caller.
    init(_ call: Call, _ response: FetchResponse, _ attempt: Attempt, translating: TranslatingMeter? = nil) {
        self.call = call
        self.response = response
        self.attempt = attempt
        self.translating = translating
        meter = translating ?? attempt.dialect.wire.makeMeter()
        unwrapping = attempt.form.makeTransform()
        elements = call.isArray ? ArrayElements() : nil
        changesEvents =
            !attempt.isNative || attempt.isRenamed || attempt.hidesUsage || call.isArray || attempt.dialect == .gemini
            || attempt.cacheTTL != nil
        held = ByteShare(of: call.context.eventBudget)
    }

    /// Begins to pump. No task waits meanwhile: its memory would be a third of what an open stream takes.
    ///
    /// - Parameter onEnd: called once, within whichever callback ends the stream.
    func start(_ onEnd: @escaping (Outcome) -> Void) {
        self.onEnd = onEnd
        call.context.silence.add(self)
        call.exchange.onCallerGone = { [weak self] in self?.callerGone() }
        call.exchange.onDrain = { [weak self] in self?.callerDrained() }
        if call.exchange.isCallerGone { callerGone() }
        if case .holding = phase {
            response.consume(
                onData: { [weak self] in self?.receive($0) },
                onEnd: { [weak self] in self?.upstreamEnded($0) }
            )
        }
    }

    // MARK: Upstream

    private func receive(_ bytes: UnsafeRawBufferPointer) {
        if !changesEvents { output.reserveCapacity(output.count + parser.pendingCount + bytes.count) }
        do {
            if let unwrapping {
                try unwrapping.feed(bytes, call.context.parser, into: &unwrapped)
                try unwrapped.withUnsafeBytes { try parser.feed($0) { event in take(event) } }
                unwrapped.removeAll(keepingCapacity: unwrapped.capacity <= 16 * 1024)
            } else {
                try parser.feed(bytes) { event in take(event) }
            }
        } catch {
            response.cancel()
            flush()
            return upstreamEnded(.protocolViolation(detail: "unreadable event stream"))
        }
        flush()
        checkpoint()
        if parser.pendingCount > Self.freeEventBytes || held.count > 0 { holdEvent() }
    }

    /// What has arrived of an event must have room until the rest is there.
    private func holdEvent() {
        guard !held.resize(to: parser.pendingCount) else { return }
        call.context.metrics.eventsRefused.add()
        response.cancel()
        upstreamEnded(.bodyTooLarge)
    }

    private func take(_ event: SSEEvent) {
        // Compared by `switch`: `==` of another module's enumeration is a call, three times for each event.
        let kind = meter.receive(event, call.context.parser)
        switch phase {
        case .finished: return
        case .draining:
            translating?.dropOutput()
            switch kind {
            case .end, .error: settle(.callerGone)
            case .preamble, .content, .trailer, .closing, .usage: break
            }
        case .holding:
            if case .error = kind {
                return failBeforeContent(.errorWithin([UInt8](event.data), response.head.headers))
            }
            append(event, kind)
            if meter.hasContent {
                contentBegan()
                if case .end = kind { settle(.complete) }
            } else if output.count > Self.heldLimit {
                commit()
            }
        case .streaming:
            switch kind {
            case .preamble, .content, .trailer, .closing, .usage: append(event, kind)
            // Settlement is sent before the caller can see the end of its answer.
            case .end:
                append(event, kind)
                settle(.complete)
            // Callers hang up at an error: how the call ended is settled before they see it.
            case .error:
                appendError(event)
                settle(.errorEvent)
            }
        }
    }

    // MARK: What the caller gets

    private func append(_ event: SSEEvent, _ kind: StreamMeter.Event) {
        guard changesEvents else { return output.append(contentsOf: event.raw) }
        // What is translated stays with the translator until it is flushed, but where it is counted or made an array.
        if translating != nil {
            if case .streaming = phase, elements == nil { return }
            return takeTranslation()
        }
        takeTail()
        if attempt.hidesUsage, kind == .usage { return }
        var changed: [UInt8]?
        if attempt.isRenamed {
            changed = attempt.dialect.wire.renaming(event, to: call.summary.model, call.context.parser)
        }
        if let ttl = attempt.cacheTTL { moveCacheWrites(of: event, to: ttl, &changed) }
        if kind == .closing {
            if let changed { write(changed, to: &tail) } else { write(event.raw, to: &tail) }
        } else {
            if let changed { write(changed, to: &output) } else { write(event.raw, to: &output) }
        }
    }

    /// - Parameter changed: the event as it was changed already, if it was.
    private func moveCacheWrites(of event: SSEEvent, to ttl: CacheTTL, _ changed: inout [UInt8]?) {
        guard let earlier = changed else {
            changed = CacheTTLRewrite.event(event, to: ttl, call.context.parser)
            return
        }
        var parser = SSEParser()
        var moved: [UInt8]?
        earlier.withUnsafeBytes { bytes in
            try? parser.feed(bytes) { moved = CacheTTLRewrite.event($0, to: ttl, call.context.parser) }
        }
        if let moved { changed = moved }
    }

    /// An error in the upstream's own words; translated ones are scrubbed already.
    private func appendError(_ event: SSEEvent) {
        guard translating == nil,
            let clean = ErrorScrub.event(event, hiding: attempt.hiddenHosts, call.context.parser)
        else { return append(event, .error) }
        var scrubbed = SSEParser()
        try? clean.withUnsafeBytes { try scrubbed.feed($0) { append($0, .error) } }
    }

    private func takeTranslation() {
        guard let translating else { return }
        guard elements != nil else { return translating.takeOutput(into: &output) }
        var events: [UInt8] = []
        translating.takeOutput(into: &events)
        write(events, to: &output)
    }

    private func takeTail() {
        guard !tail.isEmpty else { return }
        output.append(contentsOf: tail)
        tail.removeAll(keepingCapacity: true)
    }

    private func write(_ events: UnsafeRawBufferPointer, to out: inout [UInt8]) {
        if elements != nil { elements?.append(events, to: &out) } else { out.append(contentsOf: events) }
    }

    private func write(_ events: [UInt8], to out: inout [UInt8]) {
        events.withUnsafeBytes { write($0, to: &out) }
    }

    private func contentBegan() {
        call.firstContentAt = .now
        call.context.metrics.successes.add()
        call.noteSuccess(response.head.headers, attempt)
        commit()
    }

    private func commit() {
        phase = .streaming
        call.releaseBody()
        if let id = meter.responseID {
            call.bind(response: id, to: attempt.account.id)
        }
        guard !call.exchange.isResponseStarted else { return }
        if translating != nil { return call.startOwnStream() }
        var headers = AnswerHeaders.forCaller(response.head.headers, requestID: call.requestID)
        if call.isArray {
            headers.set("content-type", "application/json; charset=utf-8")
        } else if unwrapping != nil {
            headers.set("content-type", "text/event-stream; charset=utf-8")
        }
        let head = HTTPResponseHead(status: response.head.status, headers: headers)
        CallerStream.start(call.exchange, head, isArray: call.isArray)
    }

    private func flush() {
        guard case .streaming = phase else { return }
        takeTranslation()
        guard !output.isEmpty else { return }
        call.exchange.write(output)
        output.removeAll(keepingCapacity: output.capacity <= 512)
        call.silence.broken(at: .now)
        if !isPaused, call.exchange.pendingBytes > Self.callerBacklog {
            isPaused = true
            response.setPaused(true)
            call.exchange.notifyWhenDrained()
        }
    }

    /// An event that the end leaves without its last blank line is none, and would spoil what is written after it; after
    /// the last event it is passed on like any other byte.
    private func takeRest() {
        _ = try? parser.finish { event in
            if event.isComplete || meter.hasEnded { take(event) }
        }
        flush()
        // What the end itself amounts to goes out when the call is settled.
        if case .finished = phase { return }
        translating?.finish()
    }

    /// A stream that goes on says now and then what it has cost so far.
    private func checkpoint() {
        switch phase {
        case .holding, .finished: return
        case .streaming, .draining: break
        }
        call.checkpoint(
            at: .now,
            usage: { meter.estimatedUsage(input: call.size.likelyInput) },
            others: meter.others,
            status: response.head.status,
            upstreamModel: attempt.upstreamModel
        )
    }

    private func upstreamEnded(_ error: FetchError?) {
        if error == nil { takeRest() }
        // Where nothing marks the end, only the end tells that an answer was cut or blocked before its first word.
        if case .holding = phase, error == nil, meter.hasContent, !meter.hasFailed { contentBegan() }
        switch phase {
        case .finished: return
        case .holding:
            failBeforeContent(error.map { FailedAttempt($0) } ?? .emptyStream)
        case .streaming:
            if meter.hasEnded || (error == nil && meter.isComplete) {
                settle(.complete)
                takeTranslation()
                takeTail()
            } else if meter.hasFailed {
                settle(.errorEvent)
                takeTranslation()
            } else {
                settle(.upstreamCut)
                takeTail()
                let lost = GatewayError(.upstreamError, "The connection to the provider was lost.", status: 502)
                write(call.wire.errorEvent(lost, requestID: call.requestID), to: &output)
            }
            if call.isArray { output.append(UInt8(ascii: "]")) }
            flush()
            call.exchange.finish()
            finish(.done)
        case .draining:
            settle(.callerGone)
            finish(.done)
        }
    }

    private func failBeforeContent(_ failure: FailedAttempt) {
        response.cancel()
        finish(.failed(failure))
    }

    // MARK: Caller

    private func callerDrained() {
        guard isPaused else { return }
        isPaused = false
        response.setPaused(false)
    }

    private func callerGone() {
        switch phase {
        case .finished, .draining: return
        case .holding:
            response.cancel()
            call.settleNothing()
            finish(.done)
        case .streaming:
            call.releaseCaller()
            meter.stopCountingContent()
            let limit = call.key.snapshot.concurrency > 0 ? call.key.snapshot.concurrency : Self.defaultDrains
            let time = call.config.settings.drainAfterDisconnect
            guard !meter.hasEnded, !meter.hasFailed, time > .zero,
                call.context.drains.begin(self, of: call.key.id, limit: limit)
            else { return stopReading() }
            phase = .draining
            output = []
            call.context.metrics.drains.add()
            drainTimer = call.context.loop.schedule(after: time) { [weak self] in self?.stopReading() }
            isPaused = false
            response.setPaused(false)
        }
    }

    func stopReading() {
        if case .finished = phase { return }
        response.cancel()
        settle(.callerGone)
        finish(.done)
    }

    // MARK: End

    private func settle(_ end: UsageEnd) {
        let isFinal = meter.hasFinalUsage
        call.settle(
            usage: meter.estimatedUsage(input: call.size.likelyInput),
            others: meter.others,
            isEstimated: !isFinal,
            end: end,
            status: response.head.status,
            upstreamModel: attempt.upstreamModel
        )
    }

    private func finish(_ outcome: Outcome) {
        if case .draining = phase { call.context.drains.end(self, of: call.key.id) }
        phase = .finished
        drainTimer = nil
        call.exchange.onCallerGone = nil
        call.exchange.onDrain = nil
        call.context.silence.remove(self)
        let onEnd = onEnd.take()
        onEnd?(outcome)
    }

    var silence: CallerSilence { call.silence }

    func keepAlive() {
        switch phase {
        case .draining, .finished: return
        case .holding, .streaming: call.keepAlive()
        }
    }
}
