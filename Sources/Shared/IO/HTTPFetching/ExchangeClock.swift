import Reactor

/// When an exchange has taken too long, and in what way.
struct ExchangeClock {
    enum Stage {
        /// For a connection.
        case waiting
        /// The request is being taken.
        case sending
        case awaitingHead
        case reading(isWanted: Bool)
    }
    enum Verdict {
        case tooLate(FetchError)
        case notBefore(MonotonicTime)
    }
    private let timeouts: FetchTimeouts
    let endsAt: MonotonicTime
    /// When the wait for a connection ends.
    var waitEndsAt: MonotonicTime
    /// When the exchange last moved.
    var activity: MonotonicTime

    init(_ timeouts: FetchTimeouts, now: MonotonicTime) {
        self.timeouts = timeouts
        endsAt = now + timeouts.total
        waitEndsAt = now
        activity = now
    }

    /// The earliest time at which the exchange may be too late if nothing moves.
    func deadline(_ stage: Stage) -> MonotonicTime { min(limit(of: stage).time, endsAt) }

    func judge(_ stage: Stage, now: MonotonicTime) -> Verdict {
        guard now < endsAt else { return .tooLate(.totalTimedOut) }
        let limit = limit(of: stage)
        return limit.time <= now ? .tooLate(limit.error) : .notBefore(min(limit.time, endsAt))
    }

    private func limit(of stage: Stage) -> (time: MonotonicTime, error: FetchError) {
        switch stage {
        case .waiting: (waitEndsAt, .connectTimedOut)
        case .sending: (activity + timeouts.idle, .idleTimedOut)
        case .awaitingHead: (activity + timeouts.firstByte, .firstByteTimedOut)
        case .reading(isWanted: true): (activity + timeouts.idle, .idleTimedOut)
        case .reading(isWanted: false): (endsAt, .totalTimedOut)
        }
    }
}
