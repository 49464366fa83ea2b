import HTTPMessages
import HTTPWire
import Reactor

/// One stream of an HTTP/2 connection: the request as it arrives, the answer's bytes that have not become frames.
final class HTTP2Stream: ExchangeCarrier {
    let id: Int32
    private unowned let connection: HTTP2Connection

    // Request.
    var collector: HTTP2HeadCollector? = HTTP2HeadCollector()
    let startedAt: MonotonicTime
    var exchange: ServerExchange?
    var isRequestComplete = false
    /// The status that answers it without a handler.
    var rejection: Int?
    /// Body bytes whose window has not been given back.
    var uncredited = 0
    var bodyDeadline = MonotonicTime.never
    private var bodyEnd = MonotonicTime.never

    // Answer.
    private var pending: [UInt8] = []
    private var pendingStart = 0
    private var hasBody = false
    private(set) var isAnswerComplete = false
    /// nghttp2 was told that there is nothing to send at the moment.
    private var isDeferred = false
    private var wantsDrain = false
    private(set) var lastProgress = MonotonicTime.never

    init(_ id: Int32, _ connection: HTTP2Connection, startedAt: MonotonicTime) {
        self.id = id
        self.connection = connection
        self.startedAt = startedAt
    }

    // MARK: Exchange

    /// Hands the request to the server's handler, or answers it here.
    func start() {
        if let rejection { exchange?.refuse(rejection) } else { exchange?.start() }
    }

    func bodyIsWanted() {
        guard let exchange else { return }
        if !isRequestComplete, exchange.bodyBytes == 0, !exchange.isResponseStarted,
            exchange.request.headers.contains("expect")
        {
            connection.submitInterim(100, id)
        }
        connection.credit(self)
        let now = MonotonicTime.now
        bodyEnd = now + connection.limits.bodyTimeout
        bodyDidProgress(now: now)
    }

    func bodyDidProgress(now: MonotonicTime) {
        bodyDeadline = min(now + connection.limits.bodyIdleTimeout, bodyEnd)
        connection.fire(by: bodyDeadline)
    }

    func sendEarlyHints() { connection.submitInterim(103, id) }

    func startAnswer(_ head: HTTPResponseHead, body: [UInt8]?) {
        bodyDeadline = .never
        let isHead = exchange?.request.method == "HEAD"
        let statusHasBody = head.status != 204 && head.status != 304
        hasBody = statusHasBody && !isHead && body?.isEmpty != true
        var contentLength = statusHasBody ? body?.count : nil
        // The answer to GET may be described instead of given.
        if isHead, body?.isEmpty ?? true, head.headers.contains("content-length") { contentLength = nil }
        if hasBody, let body {
            pending = body
            pendingDidBegin()
        }
        isAnswerComplete = body != nil
        connection.submitAnswer(self, head, contentLength: contentLength, hasBody: hasBody)
        if body != nil { answerDidEnd() }
    }

    func writeAnswer(_ bytes: UnsafeRawBufferPointer) {
        guard hasBody else { return }
        if pendingBytes == 0 { pendingDidBegin() }
        // A caller that never takes all of it would else have all of the answer kept.
        if pendingStart > pendingBytes {
            pending.removeFirst(pendingStart)
            pendingStart = 0
        }
        pending.append(contentsOf: bytes)
        resume()
    }

    func finishAnswer() {
        isAnswerComplete = true
        if hasBody { resume() }
        answerDidEnd()
    }

    func cutAnswer() {
        connection.reset(self, .internalError)
        let ended = exchange
        exchange = nil
        ended?.didEnd()
    }

    var pendingBytes: Int { pending.count - pendingStart }
    /// What the pending bytes take of memory.
    var heldBytes: Int { pending.count }

    func notifyWhenDrained() {
        wantsDrain = true
        if pendingBytes == 0 { connection.didEmpty(self) }
    }

    private func answerDidEnd() {
        let ended = exchange
        exchange = nil
        ended?.didEnd()
        connection.answerDidEnd(self, hasBody: hasBody)
    }

    private func pendingDidBegin() {
        lastProgress = .now
        connection.fire(by: writeDeadlineFromNow)
    }

    private func resume() {
        guard isDeferred else { return connection.scheduleFlush() }
        isDeferred = false
        connection.resume(self)
    }

    // MARK: Frames

    enum Readable { case bytes(Int, isLast: Bool), nothingYet }

    /// What the next DATA frame can take.
    func readable(limit: Int) -> Readable {
        let count = min(pendingBytes, limit)
        let isLast = isAnswerComplete && count == pendingBytes
        if count == 0, !isLast {
            isDeferred = true
            return .nothingYet
        }
        return .bytes(count, isLast: isLast)
    }

    /// Lends the next `count` bytes, which then are gone.
    func take(_ count: Int, _ send: (UnsafeRawBufferPointer) -> Void) {
        let end = min(pendingStart + count, pending.count)
        pending.withUnsafeBytes { send(UnsafeRawBufferPointer(rebasing: $0[pendingStart..<end])) }
        pendingStart = end
        lastProgress = .now
        guard pendingBytes == 0 else { return }
        pendingStart = 0
        // An idle stream holds no buffer worth mentioning.
        if pending.capacity > 1024 { pending = [] } else { pending.removeAll(keepingCapacity: true) }
        if wantsDrain || (isAnswerComplete && !isRequestComplete) { connection.didEmpty(self) }
    }

    /// Calls back, if that was asked for and is still true.
    func reportDrain() {
        guard wantsDrain, pendingBytes == 0 else { return }
        wantsDrain = false
        exchange?.onDrain?()
    }

    /// When a caller that takes nothing of what is pending counts as gone.
    var writeDeadline: MonotonicTime { pendingBytes == 0 ? .never : writeDeadlineFromNow }

    /// Its caller would take more of it, were it its turn on the connection, over whose progress somebody else watches.
    func waitsForConnection(now: MonotonicTime) { lastProgress = now }

    private var writeDeadlineFromNow: MonotonicTime { lastProgress + connection.limits.writeStallTimeout }

    /// Nothing is to be sent any more.
    func drop() {
        pending = []
        pendingStart = 0
        let ended = exchange
        exchange = nil
        ended?.callerDidLeave()
    }
}
