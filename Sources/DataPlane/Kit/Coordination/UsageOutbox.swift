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
    /// How often the epochs of partitions with uncovered records are looked at: no call may come by to show them.
    package static let watchInterval = Duration.seconds(5)

    private let redis: RedisClient
    private let proposedEpoch: String
    private var epochs: [Partition: [UInt8]] = [:]
    /// Taken by Redis, in the order of their stream ids.
    private var covered: [Partition: [Entry]] = [:]
    private var coveredCount = 0
    /// Not taken by Redis yet; waiting for the next try.
    private var failed: [Entry] = []
    private var sending = 0
    private var retryTimer: LoopTimer?
    private var watchTimer: LoopTimer?
    /// Of the Redis process that was last connected.
    private var runID: String?
    private let loop: EventLoop
    package var onRetry: ((Int) -> Void)?

    package init(
        _ loop: EventLoop,
        _ redis: RedisClient,
        proposedEpoch: String,
        watchInterval: Duration = UsageOutbox.watchInterval
    ) {
        self.loop = loop
        self.redis = redis
        self.proposedEpoch = proposedEpoch
        let timer = LoopTimer(loop) { [weak self] in self?.watchEpochs() }
        timer.start(after: watchInterval, repeating: watchInterval)
        watchTimer = timer
    }

    package func stop() {
        watchTimer = nil
        retryTimer = nil
    }

    /// Settlements that Redis has not taken yet.
    package var unsettled: Int { failed.count + sending }
    /// Records that Redis has taken and that Postgres may not have yet.
    package var uncovered: Int { coveredCount }

    package func settle(_ requestID: String, _ key: ServingKey, record: UsageRecord?) {
        send(
            Entry(
                requestID: requestID,
                key: key,
                record: record.map { String(decoding: $0.encoded, as: UTF8.self) } ?? "",
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
        noteEpoch(entry.key.partition.partition, epoch)
        guard !entry.record.isEmpty, let streamID = StreamID(id) else { return }
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
    package func noteEpoch(_ partition: Partition, _ epoch: [UInt8]) {
        let known = epochs.updateValue(epoch, forKey: partition)
        if let known, known != epoch { resend(partition) }
    }

    private func resend(_ partition: Partition) {
        guard let lost = covered.removeValue(forKey: partition) else { return }
        coveredCount -= lost.count
        onRetry?(lost.count)
        for entry in lost { send(entry) }
    }

    /// A partition that no call touches would never show that Redis has forgotten it.
    private func watchEpochs() {
        guard redis.isConnected else { return }
        for partition in covered.keys {
            redis.send(RedisCommand(["GET", PartitionKeys.of(partition).epoch])) { [weak self] result in
                switch result {
                case .success(.string(let epoch)): self?.noteEpoch(partition, epoch)
                case .success(.null): self?.resend(partition)
                default: break
                }
            }
        }
    }

    /// To be called at each new connection. Another process may have lost what the last one took (the end of its log,
    /// or what its replica had not got) and still show the same epochs: all that is uncovered is sent again.
    package func redisDidConnect() {
        redis.send(RedisCommand(["INFO", "server"])) { [weak self] result in
            guard let self, case .success(let value) = result, let text = value.text else { return }
            let found = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("run_id:") }.map(String.init)
            guard let found else { return }
            let known = runID
            runID = found
            guard let known, known != found else { return }
            for partition in Array(covered.keys) { resend(partition) }
        }
    }

    /// The control plane has settled the partition up to this record.
    package func reached(_ partition: Partition, epoch: String, _ streamID: StreamID) {
        guard epochs[partition]?.elementsEqual(epoch.utf8) == true, let entries = covered[partition] else { return }
        let rest = entries.filter { $0.streamID.map { $0 > streamID } ?? true }
        coveredCount -= entries.count - rest.count
        covered[partition] = rest.isEmpty ? nil : rest
    }
}
