import Reactor

/// Notices a caller that takes nothing although there is something to take. Looked at now and then; looking, not
/// writing, is what costs.
struct WriteProgress {
    private var taken = 0
    private var lastProgress = MonotonicTime.never
    private(set) var nextLook = MonotonicTime.never

    /// Bytes to be taken within the time: a caller who takes one now and then would have all that waits for it kept.
    private static let least = 16 * 1024

    enum Verdict { case idle, moving, stalled }

    private(set) var isWatching = false

    /// Something was written: look again after a quarter of the timeout.
    mutating func start(taken: Int, now: MonotonicTime, timeout: Duration) {
        self.taken = taken
        lastProgress = now
        nextLook = now + timeout / 4
        isWatching = true
    }

    /// - Parameters:
    ///   - taken: bytes the caller has taken since the connection began; what is less than `least` is none.
    ///   - pending: bytes waiting to be taken.
    mutating func look(taken: Int, pending: Int, now: MonotonicTime, timeout: Duration) -> Verdict {
        guard pending > 0 else {
            nextLook = .never
            isWatching = false
            return .idle
        }
        if (taken &- self.taken).magnitude >= Self.least {
            self.taken = taken
            lastProgress = now
        } else if now - lastProgress >= timeout {
            return .stalled
        }
        nextLook = now + timeout / 4
        return .moving
    }
}
