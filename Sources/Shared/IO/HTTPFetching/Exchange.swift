import HTTPMessages
import Reactor

/// One request and its answer, from `send` until the answer's end: what the pool, a connection and the reader share.
final class Exchange: TimedExchange {
    /// Let go of, but for the timeouts, when it is sent and the head of the answer is there.
    private(set) var request: FetchRequest
    let bodyCount: Int
    private(set) var version = HTTPVersion.http1

    private let pool: EndpointPool
    /// Let go of at the end, which every connection brings about at the latest when it closes.
    private var carrier: ClientConnection?

    /// What is left of the time to wait for connections.
    private var waitLeft: Duration
    private var isWaitCounted = false
    private var retriesLeft = 2
    /// Connections older than this are not tried (again).
    private(set) var minimumSerial: UInt64 = 0

    // The connection's own notes.
    var streamID: Int32 = -1
    var place = -1
    var bodySent = 0
    /// When the connection began to send it.
    private(set) var sentAt: MonotonicTime

    init(_ request: FetchRequest, in pool: EndpointPool) {
        self.request = request
        bodyCount = request.body.count
        self.pool = pool
        let now = MonotonicTime.now
        sentAt = now
        waitLeft = request.timeouts.connect
        super.init(request.timeouts, pool.deadlines, now: now)
    }

    /// When the exchange last moved.
    var activity: MonotonicTime { clock.activity }

    /// Waits for the answer's head.
    func response() async throws -> FetchResponse {
        let head = try await waitForHead()
        return FetchResponse(head: head, version: version, body: self)
    }

    // MARK: What the pool and the connection say

    /// No connection is free: the deadline of the wait begins to count.
    func mustWait() {
        isWaitCounted = true
        clock.waitEndsAt = activity + waitLeft
        scheduleDeadline()
    }

    /// A connection has taken it on.
    func begin(on carrier: ClientConnection, now: MonotonicTime) {
        self.carrier = carrier
        if isWaitCounted {
            waitLeft = clock.waitEndsAt - now
            isWaitCounted = false
        }
        stage = .sending
        clock.activity = now
        sentAt = now
        bodySent = 0
    }

    /// The connection cannot take all of the body at once.
    func mustWaitToSend() { scheduleDeadline() }

    /// Lends so many bytes of the body from where it has been sent to.
    func withBody(next count: Int, _ body: (UnsafeRawBufferPointer) -> Void) {
        request.body.withUnsafeBytes { bytes in
            let start = min(bodySent, bytes.count)
            body(UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + count, bytes.count)]))
        }
    }

    /// The connection has taken more of the body.
    func didSend(_ count: Int, now: MonotonicTime) {
        bodySent += count
        clock.activity = now
        if stage == .sending, bodySent >= bodyCount { didSendAll(now: now) }
    }

    func didSendAll(now: MonotonicTime) {
        guard stage == .sending else { return }
        stage = .awaitingHead
        clock.activity = now
        scheduleDeadline()
    }

    func didReceiveHead(_ head: HTTPResponseHead, version: HTTPVersion, now: MonotonicTime) {
        guard stage == .sending || stage == .awaitingHead else { return }
        if stage == .awaitingHead {
            request.body = []
            request.head.headers = HeaderFields()
        }
        clock.activity = now
        self.version = version
        headDidCome(head)
    }

    func didReceiveBody(_ bytes: UnsafeRawBufferPointer, now: MonotonicTime) {
        guard stage == .reading else { return }
        clock.activity = now
        deliver(bytes)
    }

    /// The exchange is over on its connection, well or not. One that was surely not processed is tried again.
    func didEnd(_ error: FetchError?) {
        if error == .notProcessed, retryIfPossible() { return }
        end(error)
    }

    override func giveUp(_ error: FetchError) {
        let carrier = carrier
        if stage == .waiting { pool.stopWaiting(self) }
        end(error, isUrgent: true)
        carrier?.cancel(self)
    }

    override func didLeaveCarrier() {
        carrier = nil
        pool.didEnd(self)
    }

    private func retryIfPossible() -> Bool {
        guard stage == .sending || stage == .awaitingHead, retriesLeft > 0, waitLeft > .zero else { return false }
        retriesLeft -= 1
        // Another connection as old as this one may be as dead.
        minimumSerial = pool.nextSerial
        carrier = nil
        stage = .waiting
        clock.activity = .now
        pool.enqueue(self)
        return true
    }

    // MARK: What the reader says

    override func bodyWasTaken(_ count: Int) { carrier?.bodyWasTaken(count, of: self) }

    override func demandDidChange() {
        guard stage == .reading else { return }
        if wantsBody {
            clock.activity = .now
            scheduleDeadline()
        }
        carrier?.demandDidChange(of: self)
    }

    override func readerDidCancel() {
        guard stage != .ended else { return }
        let carrier = carrier
        leave()
        carrier?.cancel(self)
    }
}
