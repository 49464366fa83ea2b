import Reactor

/// Something on a connection that has deadlines.
protocol DeadlineOwner: AnyObject {
    /// Does what is due and returns the next deadline, `.never` without one.
    func deadlinesPassed(now: MonotonicTime) -> MonotonicTime
}

/// One timer for all deadlines of a connection.
///
/// Moving a deadline back costs nothing: the timer fires at the old time, finds nothing due and sleeps on. A busy
/// connection therefore touches the loop's timer heap once per timeout, not once per request.
final class LazyTimer {
    /// Until `stop`, which ends the cycle with the owner.
    var owner: (any DeadlineOwner)?
    private let loop: EventLoop
    private var timer: LoopTimer?
    private var firesAt = MonotonicTime.never

    init(_ loop: EventLoop) { self.loop = loop }

    /// Sees to it that the owner is asked not later than this.
    func fire(by deadline: MonotonicTime) {
        guard deadline < firesAt else { return }
        firesAt = deadline
        let timer = timer ?? LoopTimer(loop) { [unowned self] in fire() }
        self.timer = timer
        timer.start(after: max(deadline - .now, .zero))
    }

    func stop() {
        timer = nil
        owner = nil
        firesAt = .never
    }

    private func fire() {
        firesAt = .never
        guard let owner else { return }
        let now = MonotonicTime.now
        let next = owner.deadlinesPassed(now: now)
        // A deadline missed by a rounding must not become a timer that fires without end in one turn.
        if next != .never { fire(by: max(next, now + .milliseconds(1))) }
    }
}

extension MonotonicTime {
    static let never = MonotonicTime(nanoseconds: .max)
}
