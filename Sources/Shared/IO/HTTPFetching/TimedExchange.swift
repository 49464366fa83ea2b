import HTTPMessages
import Reactor

/// A request and its answer, whoever carries them: somebody waits for the head, then somebody reads the body, and each
/// part may take so long and no longer.
class TimedExchange: BodyChannel {
    enum Stage {
        /// For a connection. Next: `sending`, `ended`.
        case waiting
        /// On a connection, which has not taken all of the request. Next: `awaitingHead`, `reading`, `waiting` (taken
        /// back, to be sent again), `ended`.
        case sending
        /// Next: `reading`, `waiting`, `ended`.
        case awaitingHead
        /// The head is there, the body is coming. Next: `ended`.
        case reading
        case ended
    }

    /// Set by the subclass; `reading` and `ended` only here.
    final var stage = Stage.waiting
    final var clock: ExchangeClock
    private let deadlines: DeadlineQueue
    private var head: HTTPResponseHead?
    private var failure: FetchError?
    private var headWaiter: UnsafeContinuation<Void, Never>?

    init(_ timeouts: FetchTimeouts, _ deadlines: DeadlineQueue, now: MonotonicTime) {
        clock = ExchangeClock(timeouts, now: now)
        self.deadlines = deadlines
    }

    // MARK: What subclasses do

    /// Ends the exchange and whatever carries it: a timeout, or nobody wants the answer.
    func giveUp(_ error: FetchError) {}
    /// The exchange is over; its waiter or reader is told next.
    func didLeaveCarrier() {}

    // MARK: The head

    /// Waits for the answer's head.
    final func waitForHead() async throws -> HTTPResponseHead {
        if head == nil, failure == nil {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                // The task may have been suspended on the way in here.
                if head == nil, failure == nil { headWaiter = continuation } else { continuation.resume() }
            }
        }
        if let failure { throw failure }
        guard let head else { preconditionFailure("woken without a head") }
        return head
    }

    final func headDidCome(_ head: HTTPResponseHead) {
        stage = .reading
        self.head = head
        resumeHeadWaiter()
    }

    private func resumeHeadWaiter() {
        headWaiter?.resume()
        headWaiter = nil
    }

    // MARK: The end

    /// Tells the waiter or the reader that the exchange is over, well or not.
    final func end(_ error: FetchError?, isUrgent: Bool = false) {
        guard stage != .ended else { return }
        let hadHead = stage == .reading
        leave()
        if hadHead {
            deliverEnd(error, isUrgent: isUrgent)
        } else {
            failure = error ?? .connectionLost(detail: "no answer")
            resumeHeadWaiter()
        }
    }

    /// The exchange is over, and nobody need be told.
    final func leave() {
        stage = .ended
        deadlines.remove(self)
        didLeaveCarrier()
    }

    override func cancelBySender() {
        switch stage {
        case .waiting, .sending, .awaitingHead: giveUp(.cancelled)
        case .reading, .ended: cancel()
        }
    }

    // MARK: Deadlines

    private var clockStage: ExchangeClock.Stage? {
        switch stage {
        case .waiting: .waiting
        case .sending: .sending
        case .awaitingHead: .awaitingHead
        case .reading: .reading(isWanted: wantsBody)
        case .ended: nil
        }
    }

    final func scheduleDeadline() {
        if let stage = clockStage { deadlines.add(self, at: clock.deadline(stage)) }
    }

    final override func deadlineDidPass(_ now: MonotonicTime) -> MonotonicTime? {
        guard let stage = clockStage else { return nil }
        switch clock.judge(stage, now: now) {
        case .notBefore(let time): return time
        case .tooLate(let error):
            giveUp(error)
            return nil
        }
    }
}
