package import Reactor
package import Redis

/// A call that has slots while it runs.
package protocol LeaseHolder: AnyObject {
    var requestID: String { get }
    /// The Redis names of the sets in which it has a slot.
    var heldSlots: [String] { get }
    /// Where the keeper has it; the keeper's own.
    var leasePosition: Int? { get set }
}

/// Renews the leases that calls under way hold in Redis, in one batch a set every 10 seconds.
package final class LeaseKeeper {
    private let redis: RedisClient
    private var holders: [any LeaseHolder] = []
    private var timer: LoopTimer?

    package init(_ loop: EventLoop, _ redis: RedisClient, interval: Duration = Leases.renewal) {
        self.redis = redis
        let timer = LoopTimer(loop) { [unowned self] in renew() }
        timer.start(after: interval, repeating: interval)
        self.timer = timer
    }

    /// To be called when what the holder has may have changed: it is kept while it has anything.
    package func update(_ holder: any LeaseHolder) {
        let position = holder.leasePosition
        let hasSlots = !holder.heldSlots.isEmpty
        if hasSlots, position == nil {
            holder.leasePosition = holders.count
            holders.append(holder)
        } else if !hasSlots, let position {
            holder.leasePosition = nil
            // The last one takes its place.
            let last = holders.removeLast()
            guard last !== holder else { return }
            holders[position] = last
            last.leasePosition = position
        }
    }

    /// Calls whose leases are being renewed.
    package var count: Int { holders.count }

    package func stop() { timer = nil }

    private func renew() {
        var held: [String: [String]] = [:]
        for holder in holders {
            for set in holder.heldSlots { held[set, default: []].append(holder.requestID) }
        }
        for (set, requestIDs) in held {
            redis.run(
                CallScripts.renew,
                keys: [set],
                arguments: [Leases.durationText] + requestIDs
            ) { _ in }
        }
    }
}
