import Dialects
import Domain
import Formats
import HTTPFetching
import HTTPMessages
import HTTPServing
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
        case failed(AttemptFailure)
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
    private let upstreamModel: String
    private let isRenamed: Bool
    private var phase = Phase.holding
    private var parser = SSEParser()
    private var held: ByteShare
    private var meter = AnthropicStreamMeter()
    /// Events for the caller, in order: held, or gathered within one piece of input.
    private var output: [UInt8] = []
    private var isPaused = false
    private var drainTimer: LoopTimer?
    private let finished = Promise<Outcome>()
    private(set) var lastHeard = MonotonicTime.now
    private(set) var hasKeptAlive = false

    init(_ call: Call, _ response: FetchResponse, upstreamModel: String) {
        self.call = call
        self.response = response
        self.upstreamModel = upstreamModel
        held = ByteShare(of: call.context.eventBudget)
        isRenamed = upstreamModel != call.summary.model
    }

    /// Pumps to the end.
    func run() async -> Outcome {
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
        let outcome = (try? await finished.wait()) ?? .done
        call.context.silence.remove(self)
        return outcome
    }

    // MARK: Upstream

    private func receive(_ bytes: UnsafeRawBufferPointer) {
        do {
            try parser.feed(bytes) { event in take(event) }
        } catch {
            response.cancel()
            flush()
            return upstreamEnded(.protocolViolation(detail: "unreadable event stream"))
        }
        flush()
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
        let kind = meter.receive(event, call.context.parser)
        switch phase {
        case .finished: return
        case .draining:
            if kind == .end || kind == .error { settle(.callerGone) }
        case .holding:
            if kind == .error { return failBeforeContent(.errorEvent) }
            if kind == .preamble, isRenamed, let renamed = renamed(event) {
                output.append(contentsOf: renamed)
            } else {
                output.append(contentsOf: event.raw)
            }
            if kind == .content {
                call.firstContentAt = .now
                call.context.metrics.successes.add()
                commit()
            } else if output.count > Self.heldLimit {
                commit()
            }
        case .streaming:
            output.append(contentsOf: event.raw)
            // Settlement is sent before the caller can see the end of its answer.
            if kind == .end { settle(.complete) }
            // Callers hang up at an error: how the call ended is settled before they see it.
            if kind == .error { settle(.errorEvent) }
        }
    }

    private func renamed(_ event: SSEEvent) -> [UInt8]? {
        guard event.name.isEmpty || event.name.elementsEqual("message_start".utf8) else { return nil }
        return AnthropicModelName.renaming(event, to: call.summary.model, call.context.parser)
    }

    private func commit() {
        phase = .streaming
        guard !call.exchange.isResponseStarted else { return }
        let headers = AnswerHeaders.forCaller(response.head.headers, requestID: call.requestID)
        call.exchange.startResponse(HTTPResponseHead(status: response.head.status, headers: headers))
    }

    private func flush() {
        guard case .streaming = phase, !output.isEmpty else { return }
        call.exchange.write(output)
        output.removeAll(keepingCapacity: output.capacity <= 4096)
        lastHeard = .now
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
    }

    private func upstreamEnded(_ error: FetchError?) {
        if error == nil { takeRest() }
        switch phase {
        case .finished: return
        case .holding:
            failBeforeContent(error.map { AttemptFailure($0) } ?? .emptyStream)
        case .streaming:
            if meter.hasEnded {
                settle(.complete)
            } else if meter.hasFailed {
                settle(.errorEvent)
            } else {
                settle(.upstreamCut)
                call.exchange.write(
                    AnthropicErrors.event(
                        status: 502,
                        message: "The connection to the provider was lost.",
                        requestID: call.requestID
                    )
                )
            }
            call.exchange.finish()
            finish(.done)
        case .draining:
            settle(.callerGone)
            finish(.done)
        }
    }

    private func failBeforeContent(_ failure: AttemptFailure) {
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
            usage: meter.estimatedUsage,
            isEstimated: !isFinal,
            end: end,
            status: response.head.status,
            upstreamModel: upstreamModel
        )
    }

    private func finish(_ outcome: Outcome) {
        if case .draining = phase { call.context.drains.end(self, of: call.key.id) }
        phase = .finished
        drainTimer = nil
        call.exchange.onCallerGone = nil
        call.exchange.onDrain = nil
        finished.succeed(outcome)
    }

    func keepAlive() {
        switch phase {
        case .draining, .finished: return
        case .holding, .streaming: break
        }
        // One that has not taken what it has would not hear it either.
        guard call.exchange.pendingBytes == 0 else { return }
        if !call.exchange.isResponseStarted {
            call.exchange.startResponse(HTTPResponseHead(status: 200, headers: StreamHead.headers(call.requestID)))
        }
        call.exchange.write(AnthropicErrors.keepAlive)
        call.context.metrics.keepAlives.add()
        lastHeard = .now
        hasKeptAlive = true
    }
}
