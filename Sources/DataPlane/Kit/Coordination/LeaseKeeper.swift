package import Domain
package import Reactor
package import Redis

/// A call that has slots while it runs.
package protocol LeaseHolder: AnyObject {
    var requestID: String { get }
    /// The Redis names of the sets in which it has a slot.
    var heldSlots: [String] { get }
    /// Whether it has slots or a reservation.
    var holdsLeases: Bool { get }
    /// What it has reserved; nil when it has nothing to settle (any more).
    var reservation: HeldReservation? { get }
    /// Where the keeper has it; the keeper's own.
    var leasePosition: Int? { get set }
}

/// A call's reservation, as Redis has it.
package struct HeldReservation {
    package let partition: PartitionKeys
    package let charge: CallCharge
    package let amount: NanoUSD
    /// The last one of the call, as the hash of checkpoints has it; empty before the first.
    package let checkpoint: [UInt8]

    /// A checkpoint as the hash of checkpoints has it.
    package static func checkpoint(_ record: [UInt8], cost: NanoUSD) -> [UInt8] { Array("\(cost.raw) ".utf8) + record }

    /// As a hold, with the whole amount for each counter.
    private var text: String {
        charge.names.split(separator: " ").map { "\($0) \(amount.raw)" }.joined(separator: " ")
    }

    /// Reserves this for a call unless it stands or the call is over, and notes the checkpoint unless one stands that is
    /// further on.
    func reserve(
        _ requestID: String,
        in redis: RedisClient,
        _ completion: @escaping (Result<RedisValue, RedisError>) -> Void
    ) {
        var rest = RedisArguments(capacity: 200 + checkpoint.count)
        rest.add(requestID)
        rest.add(text)
        rest.add(checkpoint)
        let run = PreparedRun(
            CallScripts.reserve,
            keys: [partition.live, partition.holds, partition.done(requestID), partition.checkpoints],
            furtherArguments: 3
        )
        redis.run(run, rest, completion)
    }
}

/// Renews what calls under way hold in Redis, slots and reservations, in one batch a set every 10 seconds.
package final class LeaseKeeper {
    private let redis: RedisClient
    private var holders: [any LeaseHolder] = []
    private var timer: LoopTimer?
    /// Where something could not be reserved again.
    private var missing: Set<Partition> = []
    private var retryTimer: LoopTimer?
    private static let retryDelay = Duration.milliseconds(200)
    private let loop: EventLoop

    package init(_ loop: EventLoop, _ redis: RedisClient, interval: Duration = Leases.renewal) {
        self.loop = loop
        self.redis = redis
        let timer = LoopTimer(loop) { [unowned self] in renew() }
        timer.start(after: interval, repeating: interval)
        self.timer = timer
    }

    /// To be called when what the holder has may have changed: it is kept while it has anything.
    package func update(_ holder: any LeaseHolder) {
        let position = holder.leasePosition
        let holds = holder.holdsLeases
        if holds, position == nil {
            holder.leasePosition = holders.count
            holders.append(holder)
        } else if !holds, let position {
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

    package func stop() {
        timer = nil
        retryTimer = nil
    }

    private func renew() {
        var held: [String: [String]] = [:]
        var live: [String: [String]] = [:]
        for holder in holders {
            if let reservation = holder.reservation {
                live[reservation.partition.live, default: []].append(holder.requestID)
            }
            for set in holder.heldSlots { held[set, default: []].append(holder.requestID) }
        }
        for (set, requestIDs) in held {
            redis.run(
                CallScripts.renew,
                keys: [set],
                arguments: [Leases.durationText] + requestIDs
            ) { _ in }
        }
        for (set, requestIDs) in live {
            redis.run(CallScripts.beat, keys: [set], arguments: requestIDs) { _ in }
        }
    }

    /// Partitions in which calls under way have reserved something.
    package var partitions: Set<Partition> { Set(holders.lazy.compactMap { $0.reservation?.partition.partition }) }

    /// Reserves again what Redis may have forgotten, and takes the slots again; what still stands stays as it is. Repeated
    /// until it stands: a Redis that has just come back may refuse at first.
    package func reserveAgain(in partition: Partition) {
        for holder in holders {
            guard let reservation = holder.reservation, reservation.partition.partition == partition else { continue }
            reservation.reserve(holder.requestID, in: redis) { [weak self] result in
                if case .failure = result { self?.retry(partition) }
            }
        }
        retry(nil)
    }

    /// - Parameter partition: where to reserve again; nil when only slots are to be renewed.
    private func retry(_ partition: Partition?) {
        if let partition { missing.insert(partition) }
        guard retryTimer == nil else { return }
        retryTimer = loop.schedule(after: Self.retryDelay) { [unowned self] in
            retryTimer = nil
            // The next connection begins with all of it.
            guard redis.isConnected else { return missing = [] }
            renew()
            let partitions = missing
            missing = []
            for partition in partitions { reserveAgain(in: partition) }
        }
    }
}
