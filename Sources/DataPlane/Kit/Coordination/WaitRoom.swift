package import HTTPServing
package import Reactor
package import Redis

/// The calls of one loop that wait for a slot, asleep until one may have become free.
package final class WaitRoom {
    /// A call asks again so often although nobody has told it to: words get lost, and leases end without one.
    package static let poll = Duration.milliseconds(500)

    /// A call that waits: its place among the others of its loop.
    package struct Guest {
        fileprivate let order: UInt64
        let startedAt = MonotonicTime.now
        package let kind: WaitMetrics.Kind
    }

    package enum Outcome {
        /// A slot may have become free.
        case woken
        /// Time to ask again, or nobody is there to be answered any more.
        case over
    }

    private final class Sleeper {
        let order: UInt64
        let lines: [String]
        let promise = Promise<Outcome>()
        init(_ order: UInt64, _ lines: [String]) {
            self.order = order
            self.lines = lines
        }
    }

    private let loop: EventLoop
    private let redis: RedisClient
    private let metrics: WaitMetrics
    private let poll: Duration
    private var guests: UInt64 = 0
    /// By line, who came first in front.
    private var sleepers: [String: [Sleeper]] = [:]

    package init(_ loop: EventLoop, _ redis: RedisClient, _ metrics: WaitMetrics, poll: Duration = WaitRoom.poll) {
        self.loop = loop
        self.redis = redis
        self.metrics = metrics
        self.poll = poll
    }

    package func enter(_ kind: WaitMetrics.Kind) -> Guest {
        guests += 1
        metrics.began(kind)
        return Guest(order: guests, kind: kind)
    }

    package func exit(_ guest: Guest, _ end: WaitMetrics.End) {
        metrics.ended(guest.kind, end, after: guest.startedAt.elapsed)
    }

    /// Waits until a slot of these sets may be free, at most about half a second, or until the caller is gone.
    package func sleep(
        _ guest: Guest,
        on lines: [String],
        atMost limit: Duration,
        _ exchange: ServerExchange?
    ) async -> Outcome {
        guard limit > .zero, exchange?.isCallerGone != true else { return .over }
        let sleeper = Sleeper(guest.order, lines)
        for line in lines {
            let place = sleepers[line]?.firstIndex { $0.order > guest.order } ?? sleepers[line]?.count ?? 0
            sleepers[line, default: []].insert(sleeper, at: place)
        }
        // Jitter, so that those of one moment do not ask in one moment for ever.
        let pause = min(limit, poll * Int.random(in: 70...130) / 100)
        let timer = loop.schedule(after: pause) { sleeper.promise.succeed(.over) }
        exchange?.onCallerGone = { sleeper.promise.succeed(.over) }
        let outcome = (try? await sleeper.promise.wait()) ?? .over
        exchange?.onCallerGone = nil
        timer.stop()
        remove(sleeper)
        return outcome
    }

    /// A slot of a set has become free: who came first here asks for it.
    package func wake(_ line: String) {
        guard let first = sleepers[line]?.first else { return }
        remove(first)
        first.promise.succeed(.woken)
    }

    private func remove(_ sleeper: Sleeper) {
        for line in sleeper.lines {
            sleepers[line]?.removeAll { $0 === sleeper }
            if sleepers[line]?.isEmpty == true { sleepers[line] = nil }
        }
    }

    /// Gives a ticket back.
    package func leave(_ line: String, requestID: String) {
        redis.run(WaitLine.leave, keys: [line], arguments: [requestID]) { _ in }
    }
}
