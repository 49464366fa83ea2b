package import Reactor
package import Redis

/// Renews the leases that calls under way hold in Redis, in one batch a set every 10 seconds.
package final class LeaseKeeper {
    private let redis: RedisClient
    private var held: [String: Set<String>] = [:]
    private var timer: LoopTimer?

    package init(_ loop: EventLoop, _ redis: RedisClient, interval: Duration = Leases.renewal) {
        self.redis = redis
        let timer = LoopTimer(loop) { [weak self] in self?.renew() }
        timer.start(after: interval, repeating: interval)
        self.timer = timer
    }

    /// - Parameter set: the Redis name of the set of slots in which the request has one.
    package func hold(_ set: String, _ requestID: String) { held[set, default: []].insert(requestID) }

    package func drop(_ set: String, _ requestID: String) { held[set]?.remove(requestID) }

    /// Leases being renewed.
    package var count: Int { held.values.reduce(0) { $0 + $1.count } }

    package func stop() { timer = nil }

    private func renew() {
        held = held.filter { !$0.value.isEmpty }
        for (set, requestIDs) in held {
            redis.run(
                CallScripts.renew,
                keys: [set],
                arguments: [Leases.durationText] + requestIDs
            ) { _ in }
        }
    }
}
