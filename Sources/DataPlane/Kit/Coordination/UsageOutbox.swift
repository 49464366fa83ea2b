package import Domain
package import Reactor
package import Redis
package import Snapshots

/// Settles calls in Redis, and keeps each record until Postgres has it.
///
/// A settlement that fails is sent again until it stands. One that Redis took is kept until the control plane announces
/// that the partition is settled up to it; should Redis lose its memory before that (a new epoch), it is sent again.
/// Every resend is safe: Redis knows request ids for 15 minutes, Postgres for 45 days.
package final class UsageOutbox {
    private struct Entry {
        let requestID: String
        let key: ServingKey
        /// Empty when the call ended with nothing to bill.
        let record: String
        let phase: SettlementPhase
        var streamID: StreamID?
    }

    /// Records that Redis has and Postgres may not have yet; beyond this many the oldest are left to Redis alone.
    private static let maximumCovered = 100_000
    private static let retryDelay = Duration.milliseconds(200)

    private let redis: RedisClient
    private let proposedEpoch: String
    private var epochs: [Partition: String] = [:]
    /// Taken by Redis, in the order of their stream ids.
    private var covered: [Partition: [Entry]] = [:]
    private var coveredCount = 0
    /// Not taken by Redis yet; waiting for the next try.
    private var failed: [Entry] = []
    private var sending = 0
    private var retryTimer: LoopTimer?
    private let loop: EventLoop
    package var onRetry: ((Int) -> Void)?

    package init(_ loop: EventLoop, _ redis: RedisClient, proposedEpoch: String) {
        self.loop = loop
        self.redis = redis
        self.proposedEpoch = proposedEpoch
    }

    /// Settlements that Redis has not taken yet.
    package var unsettled: Int { failed.count + sending }

    package func settle(_ requestID: String, _ key: ServingKey, record: UsageRecord?) {
        send(
            Entry(
                requestID: requestID, key: key, record: record.map { String(decoding: $0.encoded, as: UTF8.self) } ?? "",
                phase: record?.phase ?? .final
            )
        )
    }

    private func send(_ entry: Entry) {
        sending += 1
        let keys = entry.key.partition
        redis.run(
            CallScripts.settle,
            keys: [
                keys.epoch, keys.live, keys.holds, entry.key.userSlots, entry.key.keySlots,
                RedisNames.done(entry.requestID, keys.partition), keys.usage,
            ],
            arguments: [
                entry.requestID, proposedEpoch, entry.record, entry.phase.rawValue, Leases.doneMarkerSeconds,
            ]
        ) { [weak self] result in self?.didSend(entry, result) }
    }

    private func didSend(_ entry: Entry, _ result: Result<RedisValue, RedisError>) {
        sending -= 1
        guard case .success(.array(let parts)) = result, parts.count == 2, case .string(let epoch) = parts[0],
            case .string(let id) = parts[1]
        else {
            failed.append(entry)
            scheduleRetry()
            return
        }
        noteEpoch(entry.key.partition.partition, String(decoding: epoch, as: UTF8.self))
        guard !entry.record.isEmpty, let streamID = StreamID(String(decoding: id, as: UTF8.self)) else { return }
        var kept = entry
        kept.streamID = streamID
        covered[entry.key.partition.partition, default: []].append(kept)
        coveredCount += 1
        if coveredCount > Self.maximumCovered { dropOldest() }
    }

    private func dropOldest() {
        guard let largest = covered.max(by: { $0.value.count < $1.value.count }) else { return }
        let dropped = (largest.value.count + 1) / 2
        covered[largest.key] = Array(largest.value.dropFirst(dropped))
        coveredCount -= dropped
    }

    private func scheduleRetry() {
        guard retryTimer == nil else { return }
        retryTimer = loop.schedule(after: Self.retryDelay) { [weak self] in self?.retry() }
    }

    private func retry() {
        retryTimer = nil
        guard redis.isConnected else { return scheduleRetry() }
        let entries = failed
        failed = []
        onRetry?(entries.count)
        for entry in entries { send(entry) }
    }

    /// Takes note of a partition's epoch as any script answered it. A new one means that Redis has forgotten: what
    /// Postgres does not have for sure is sent again.
    package func noteEpoch(_ partition: Partition, _ epoch: String) {
        let known = epochs.updateValue(epoch, forKey: partition)
        guard let known, known != epoch, let lost = covered.removeValue(forKey: partition) else { return }
        coveredCount -= lost.count
        onRetry?(lost.count)
        for entry in lost { send(entry) }
    }

    /// The control plane has settled the partition up to this record.
    package func reached(_ partition: Partition, epoch: String, _ streamID: StreamID) {
        guard epochs[partition] == epoch, let entries = covered[partition] else { return }
        let rest = entries.filter { $0.streamID.map { $0 > streamID } ?? true }
        coveredCount -= entries.count - rest.count
        covered[partition] = rest.isEmpty ? nil : rest
    }
}
