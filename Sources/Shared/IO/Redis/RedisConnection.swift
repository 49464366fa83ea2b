import Bytes
import Reactor

/// One connection while it lives: writes commands, matches the answers to them in order, and fails what is left over
/// when it ends. It never reconnects; its owner does.
final class RedisConnection: ByteStreamHandler, TurnEndObserver {
    /// A command that waits for its answer.
    private struct Pending {
        let handler: RedisReplyHandler
        var script: Sent?
        var reloads = 0

        init(_ script: Sent? = nil, _ handler: @escaping RedisReplyHandler) {
            self.handler = handler
            self.script = script
        }
    }

    /// What is needed to send a script once more.
    private struct Sent {
        let run: PreparedRun
        let output: Output
        let place: Range<Int>
    }

    /// What leaves in one turn. It stays as it is until the scripts in it are answered.
    private final class Output {
        var bytes: [UInt8] = []
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
    private var output = Output()
    private var lastOutput = Output()
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
        if backlog &+ output.bytes.count < Self.maximumBacklog { return true }
        // The last look may be old.
        backlog = stream.bufferedBytes
        return backlog &+ output.bytes.count < Self.maximumBacklog
    }

    // MARK: Sending

    func send(_ command: RedisCommand, _ completion: @escaping (Result<RedisValue, RedisError>) -> Void) {
        willWrite()
        output.bytes.append(command)
        enqueue(Pending { completion($0.result) })
    }

    func send(
        _ count: Int,
        atMost most: Int,
        _ write: (inout RedisWriter) -> Void,
        _ handler: @escaping RedisReplyHandler
    ) {
        willWrite()
        output.bytes.append(atMost: RedisWriter.overhead + most) { out in
            out.write(head: UInt8(ascii: "*"), count)
            out.write(arguments: count, write)
        }
        enqueue(Pending(nil, handler))
    }

    func run(
        _ run: PreparedRun,
        atMost most: Int,
        _ write: (inout RedisWriter) -> Void,
        _ handler: @escaping RedisReplyHandler
    ) {
        willWrite()
        let output = output
        let start = output.bytes.count
        output.bytes.append(atMost: run.opening.count + most) { out in
            run.opening.withUnsafeBytes { out.write($0) }
            out.write(arguments: run.expected, write)
        }
        let place = start..<output.bytes.count
        enqueue(Pending(Sent(run: run, output: output, place: place), handler))
    }

    /// Writes a command whose answers go to `onPush`.
    func push(_ command: RedisCommand) {
        willWrite()
        output.bytes.append(command)
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
        guard isOpen, !output.bytes.isEmpty else { return }
        output.bytes.withUnsafeBytes { stream.writeThrough($0) }
        backlog &+= output.bytes.count
        unsent = 0
        takeOutput()
    }

    /// Goes on in the memory of the turn before this one, unless that is still needed or large.
    private func takeOutput() {
        swap(&output, &lastOutput)
        if isKnownUniquelyReferenced(&output), output.bytes.capacity <= Self.keptOutput {
            output.bytes.removeAll(keepingCapacity: true)
        } else {
            output = Output()
            output.bytes.reserveCapacity(min(lastOutput.bytes.count, Self.keptOutput / 2))
        }
    }

    // MARK: Answers

    func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
        lastRead = .now
        isSuspect = false
        do throws(RedisProtocolError) {
            try reader.feed(bytes) { reply in
                take(reply)
                return isOpen
            }
        } catch {
            return end(error, inFlight: .unexpectedAnswer)
        }
        if isRetiring, isOpen, pending.isEmpty { close() }
    }

    private func take(_ reply: borrowing RedisReply) {
        guard let call = pending.popFirst() else {
            guard let onPush else {
                return end(RedisProtocolError(description: "an answer without a question"), inFlight: .connectionLost)
            }
            return onPush(RedisValue(reply))
        }
        guard let refusal = reply.refusal else { return call.handler(reply) }
        if let sent = call.script, refusal.hasPrefix("NOSCRIPT"), call.reloads < 2 {
            return reload(sent, for: call)
        }
        if refusal.hasPrefix("READONLY") { onReadOnly?() }
        call.handler(RedisReply(failure: .server(refusal)))
    }

    /// Loads the script and asks again. Answers come in order, so one load serves all that miss the script meanwhile.
    private func reload(_ sent: Sent, for call: consuming Pending) {
        let script = sent.run.script
        if loadingScripts.insert(script.sha1).inserted {
            send(RedisCommand(["SCRIPT", "LOAD", script.source])) { [unowned self] _ in
                // A refusal shows in the run that follows.
                loadingScripts.remove(script.sha1)
            }
        }
        willWrite()
        let start = output.bytes.count
        output.bytes.append(contentsOf: sent.output.bytes[sent.place])
        call.script = Sent(run: sent.run, output: output, place: start..<output.bytes.count)
        call.reloads += 1
        enqueue(call)
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
        (output, lastOutput) = (Output(), Output())
        let notify = onEnd
        onEnd = nil
        onPush = nil
        onReadOnly = nil
        if let reason { notify?(reason) }
        var sent = pending.count - unsent
        while let call = pending.popFirst() {
            call.handler(RedisReply(failure: sent > 0 ? failure : .unavailable))
            sent -= 1
        }
    }
}

extension ByteCursor {
    fileprivate mutating func write(arguments count: Int, _ write: (inout RedisWriter) -> Void) {
        var writer = RedisWriter(consume self)
        write(&writer)
        assert(writer.count == count, "a command with too few or too many arguments")
        self = writer.finish()
    }
}
