import Reactor

typealias RedisCompletion = (Result<RedisValue, RedisError>) -> Void

/// One connection while it lives: writes commands, matches the answers to them in order, and fails what is left over
/// when it ends. It never reconnects; its owner does.
final class RedisConnection: ByteStreamHandler, TurnEndObserver {
    /// A command that waits for its answer; a script keeps what is needed to send it once more.
    private struct Pending {
        let completion: RedisCompletion
        var run: PreparedRun?
        var rest = RedisArguments()
        var reloads = 0
    }

    /// Called once when the connection ends by itself, before what was in flight fails.
    var onEnd: ((any Error) -> Void)?
    /// Called when Redis answers that it has become a replica: nothing can be written here any more.
    var onReadOnly: (() -> Void)?
    /// Takes the answers that no command waits for; without it they end the connection.
    var onPush: ((RedisValue) -> Void)?

    private(set) var isOpen = true
    let openedAt = MonotonicTime.now
    private(set) var lastRead = MonotonicTime.now

    private let loop: EventLoop
    private let stream: any ByteStream
    private let reader = RedisReplyReader()
    private let timeout: Duration
    private var pending = PendingQueue<Pending>()
    /// Commands of this turn, and how many of `pending` they are.
    private var output: [UInt8] = []
    private var unsent = 0
    private var isFlushScheduled = false
    private var gatherers: [any RedisGatherer] = []
    /// What the stream held when last looked at, and what it got since.
    private var backlog = 0
    private var isRetiring = false
    private var loadingScripts: Set<String> = []

    /// Watches for silence while an answer is due. It is armed lazily, about once in `timeout`, not for each command.
    private var timer: LoopTimer?
    private var isTimerArmed = false
    private var isSuspect = false
    private var waitingSince = MonotonicTime.now

    private static let maximumInFlight = 100_000
    private static let maximumBacklog = 64 << 20
    private static let keptOutput = 64 * 1024

    init(_ loop: EventLoop, _ stream: any ByteStream, timeout: Duration) {
        self.loop = loop
        self.stream = stream
        self.timeout = timeout
        timer = LoopTimer(loop) { [unowned self] in timerFired() }
        stream.handler = self
        stream.goesFirst = true
        stream.setReading(true)
    }

    /// Commands without an answer, with those that are still being gathered.
    var inFlight: Int { pending.count + gatherers.count }
    var endsTurnFirst: Bool { true }

    /// Whether another command can be taken: the queue is bounded, or a Redis that hangs would fill our memory.
    var hasRoom: Bool {
        guard isOpen, pending.count < Self.maximumInFlight else { return false }
        if backlog &+ output.count < Self.maximumBacklog { return true }
        // The last look may be old.
        backlog = stream.bufferedBytes
        return backlog &+ output.count < Self.maximumBacklog
    }

    // MARK: Sending

    func send(_ command: RedisCommand, _ completion: @escaping RedisCompletion) {
        willWrite()
        output.append(command)
        enqueue(Pending(completion: completion))
    }

    func run(_ run: PreparedRun, _ rest: consuming RedisArguments, _ completion: @escaping RedisCompletion) {
        send(Pending(completion: completion, run: run, rest: rest), of: run)
    }

    /// Writes a command whose answers go to `onPush`.
    func push(_ command: RedisCommand) {
        willWrite()
        output.append(command)
    }

    private func send(_ call: consuming Pending, of run: PreparedRun) {
        assert(call.rest.count == run.expected, "a run of \(run.script.name) with too few or too many arguments")
        willWrite()
        output.append(contentsOf: run.opening)
        output.append(contentsOf: call.rest.encoded)
        enqueue(call)
    }

    func gather(_ gatherer: any RedisGatherer) {
        willWrite()
        gatherers.append(gatherer)
    }

    private func willWrite() {
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        backlog = stream.bufferedBytes
        loop.notifyAtTurnEnd(self)
    }

    private func enqueue(_ call: consuming Pending) {
        if pending.isEmpty {
            waitingSince = .now
            if !isTimerArmed { armTimer(after: timeout) }
        }
        pending.append(call)
        unsent &+= 1
    }

    func turnDidEnd() {
        // Each once: what one of them makes come up has its turn with the others of the next.
        let gathered = gatherers
        gatherers.removeAll(keepingCapacity: true)
        for gatherer in gathered { gatherer.writeGathered() }
        isFlushScheduled = false
        guard isOpen, !output.isEmpty else { return }
        stream.write(output)
        backlog &+= output.count
        unsent = 0
        if output.count <= Self.keptOutput { output.removeAll(keepingCapacity: true) } else { output = [] }
    }

    // MARK: Answers

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        lastRead = .now
        isSuspect = false
        do throws(RedisProtocolError) {
            try reader.feed(bytes) { value in
                take(value)
                return isOpen
            }
        } catch {
            return end(error, inFlight: .unexpectedAnswer)
        }
        if isRetiring, isOpen, pending.isEmpty { close() }
    }

    private func take(_ value: RedisValue) {
        guard let call = pending.popFirst() else {
            guard let onPush else {
                return end(RedisProtocolError(description: "an answer without a question"), inFlight: .connectionLost)
            }
            return onPush(value)
        }
        guard case .error(let text) = value else { return call.completion(.success(value)) }
        if let run = call.run, text.hasPrefix("NOSCRIPT"), call.reloads < 2 {
            return reload(run, for: call)
        }
        if text.hasPrefix("READONLY") { onReadOnly?() }
        call.completion(.failure(.server(text)))
    }

    /// Loads the script and asks again. Answers come in order, so one load serves all that miss the script meanwhile.
    private func reload(_ run: PreparedRun, for call: consuming Pending) {
        let script = run.script
        if loadingScripts.insert(script.sha1).inserted {
            send(RedisCommand(["SCRIPT", "LOAD", script.source])) { [unowned self] _ in
                // A refusal shows in the run that follows.
                loadingScripts.remove(script.sha1)
            }
        }
        call.reloads += 1
        send(call, of: run)
    }

    func streamDidDrain() {}

    // MARK: Silence

    private func armTimer(after delay: Duration) {
        isTimerArmed = true
        timer?.start(after: delay)
    }

    private func timerFired() {
        isTimerArmed = false
        guard isOpen, !pending.isEmpty else { return }
        let silence = max(waitingSince, lastRead).elapsed
        guard silence >= timeout else { return armTimer(after: timeout - silence) }
        // Perhaps it was us who stood still, and the answer is in the kernel: one look at the socket comes first.
        if !isSuspect {
            isSuspect = true
            return armTimer(after: .milliseconds(1))
        }
        end(RedisError.timedOut, inFlight: .timedOut)
    }

    // MARK: Ending

    func streamDidEnd(_ error: (any Error)?) {
        end(error ?? RedisError.connectionLost, inFlight: .connectionLost)
    }

    /// Ends the connection from our side; what is in flight fails before this returns.
    func close() { end(nil, inFlight: .connectionLost) }

    /// Takes no new commands; the connection ends once those in flight are answered. The caller drops it, and may be
    /// gone before that.
    func retire() {
        onEnd = nil
        onReadOnly = nil
        isRetiring = true
    }

    private func end(_ reason: (any Error)?, inFlight failure: RedisError) {
        guard isOpen else { return }
        isOpen = false
        timer = nil
        stream.abort()
        output = []
        let notify = onEnd
        onEnd = nil
        onPush = nil
        onReadOnly = nil
        if let reason { notify?(reason) }
        var sent = pending.count - unsent
        while let call = pending.popFirst() {
            call.completion(.failure(sent > 0 ? failure : .unavailable))
            sent -= 1
        }
    }
}
