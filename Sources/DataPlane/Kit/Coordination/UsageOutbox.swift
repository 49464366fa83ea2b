import Bytes
package import Domain
import Formats
package import Reactor
package import Redis
package import Snapshots

/// Where records go while Redis cannot take them.
package protocol RecordSink: AnyObject {
    /// Hands records over; they stand when this returns.
    ///
    /// - Throws: when that is not sure.
    func post(records: [[UInt8]]) async throws
}

/// Settles calls in Redis, and keeps each record until Postgres has it.
///
/// A settlement that fails is sent again until it stands; its record is written to the worker's journal meanwhile, and
/// handed to the control plane directly while Redis is away. One that Redis took is kept until the control plane announces
/// that the partition is settled up to it; should Redis lose its memory (a new epoch) or its connection before that, it
/// is journaled and sent again like one that Redis never took: a Redis that comes back, or another in its place, may lack
/// what the last one had. Every resend is safe: Redis knows request ids for 15 minutes, Postgres for 45 days.
package final class UsageOutbox {
    private final class Entry {
        let requestID: String
        /// Nil for a record of an earlier run that cannot be read here: the control plane puts it aside.
        let key: ServingKey?
        /// Empty when there is nothing to bill (any more).
        var record: [UInt8]
        let phase: SettlementPhase
        let bill: Bill
        var streamID: StreamID?
        var isJournaled: Bool
        /// How often Redis was there and did not take it.
        var refusals = 0

        /// Whether Redis may have a checkpoint of the call.
        let hasCheckpoint: Bool

        var isSafe: Bool { record.isEmpty || isJournaled }
        /// What a call of an earlier run had come to, not what it came to in the end.
        var isCheckpoint: Bool { phase == .swept && key != nil }

        /// What the script `settle` is told beyond what it is told of every call: nothing of most.
        func rarities(of key: ServingKey) -> String {
            let watch = record.isEmpty ? "" : bill.charge?.policyWatch ?? ""
            guard hasCheckpoint || phase != .final || bill.tokens != nil || !watch.isEmpty else { return "" }
            return "\(phase.rawValue) \(hasCheckpoint ? 1 : 0) \(key.id) \(bill.tokens.map { "\($0)" } ?? "-") \(watch)"
        }

        init(
            requestID: String,
            key: ServingKey?,
            record: [UInt8],
            phase: SettlementPhase,
            bill: Bill,
            hasCheckpoint: Bool = true,
            isJournaled: Bool = false
        ) {
            self.requestID = requestID
            self.key = key
            self.record = record
            self.phase = phase
            self.bill = bill
            self.hasCheckpoint = hasCheckpoint
            self.isJournaled = isJournaled
        }
    }

    /// What the counters are told of a call.
    private struct Bill {
        var cost: NanoUSD
        /// Nil where nothing is charged.
        var charge: CallCharge?
        /// What counts for the key's minute; nil where nobody counts.
        var tokens: Int64?

        static let nothing = Bill(cost: .zero)

        /// Of a record of an earlier run.
        init(of record: UsageRecord) {
            self.init(cost: record.cost, charge: CallCharge(of: record))
        }

        init(cost: NanoUSD, charge: CallCharge? = nil, tokens: Int64? = nil) {
            self.cost = cost
            self.charge = charge
            self.tokens = tokens
        }
    }

    /// Records that Redis has and Postgres may not have yet; beyond this many the oldest are left to Redis alone.
    private static let maximumCovered = 100_000
    private static let retryDelay = Duration.milliseconds(200)
    /// Sent again at once; the rest has its turn after `retryDelay`.
    private static let retryLimit = 10_000
    /// A record that Redis has refused so often goes to the control plane.
    private static let patience = 5
    private static let postLimit = 500
    private static let postPause = Duration.seconds(1)
    /// How often the epochs of partitions with uncovered records and with calls under way are looked at: no call may come
    /// by to show them. Well within the 2 to 3 seconds that strict policies wait for what is reserved (`admit`).
    package static let watchInterval = Duration.seconds(1)

    private let redis: RedisClient
    private let proposedEpoch: String
    /// By the number of the partition.
    private var epochs: [[UInt8]?] = Array(repeating: nil, count: Partition.count)
    /// Taken by Redis, in the order of their stream ids, by the number of the partition.
    private var covered: [[Entry]] = Array(repeating: [], count: Partition.count)
    private var coveredCount = 0
    /// Not taken by Redis yet; waiting for the next try.
    private var failed: [Entry] = []
    private var sending = 0
    /// On their way to the control plane.
    private var posting: [Entry] = []
    private var postFailedAt: MonotonicTime?
    /// Both may be missing; then records are kept in memory until Redis is back.
    private let sink: (any RecordSink)?
    private let journal: RecordJournal?
    private var retryTimer: LoopTimer?
    private var watchTimer: LoopTimer?
    private let loop: EventLoop
    package var onRetry: ((Int) -> Void)?
    package var onPosted: ((Int) -> Void)?
    /// Called for a partition that Redis has forgotten or may have.
    package var onForgotten: ((Partition) -> Void)?
    /// Partitions in which calls under way have reserved something.
    package var livePartitions: (() -> Set<Partition>)?

    package init(
        _ loop: EventLoop,
        _ redis: RedisClient,
        proposedEpoch: String,
        sink: (any RecordSink)? = nil,
        journal: RecordJournal? = nil,
        watchInterval: Duration = UsageOutbox.watchInterval
    ) {
        self.sink = sink
        self.journal = journal
        self.loop = loop
        self.redis = redis
        self.proposedEpoch = proposedEpoch
        let timer = LoopTimer(loop) { [unowned self] in watchEpochs() }
        timer.start(after: watchInterval, repeating: watchInterval)
        watchTimer = timer
    }

    package func stop() {
        watchTimer = nil
        retryTimer = nil
    }

    /// Settlements that Redis has not taken yet.
    package var unsettled: Int { failed.count + sending + posting.count }
    /// Records that this worker alone has.
    package var held: Int { sending + posting.count + failed.count { !$0.record.isEmpty && !$0.isCheckpoint } }
    /// Whether all that is held would survive this process.
    package var isSafe: Bool { sending == 0 && posting.allSatisfy(\.isJournaled) && failed.allSatisfy(\.isSafe) }
    /// Whether somebody may take a record now: Redis is there, or the control plane took the last one or was not asked.
    package var isSinkReachable: Bool {
        redis.isConnected || !posting.isEmpty || (sink != nil && postFailedAt == nil)
    }
    /// Records that Redis has taken and that Postgres may not have yet.
    package var uncovered: Int { coveredCount }

    /// - Parameters:
    ///   - charge: what the call was admitted against.
    ///   - hasCheckpoint: false where none was noted.
    package func settle(
        _ requestID: String,
        _ key: ServingKey,
        record: borrowing UsageRecord,
        charge: CallCharge? = nil,
        hasCheckpoint: Bool = true
    ) {
        let entry = Entry(
            requestID: requestID,
            key: key,
            record: record.encoded,
            phase: record.phase,
            bill: Bill(
                cost: record.cost,
                charge: charge ?? CallCharge(of: copy record),
                tokens: key.countsTokens ? max(0, record.usage.total) : nil
            ),
            hasCheckpoint: hasCheckpoint
        )
        // Without Redis the record is on the disk before the caller can see the end of its answer.
        if redis.isConnected { send(entry, key) } else { keep(entry) }
    }

    /// Gives back what a call was admitted with that is billed nothing.
    package func settleNothing(_ requestID: String, _ key: ServingKey, hasCheckpoint: Bool = true) {
        send(
            Entry(
                requestID: requestID,
                key: key,
                record: [],
                phase: .final,
                bill: .nothing,
                hasCheckpoint: hasCheckpoint
            ),
            key
        )
    }

    /// Hands in what earlier runs left in the journal.
    package func replay() {
        guard let journal else { return }
        let decoder = UsageRecordDecoder()
        for bytes in journal.takeReplay() {
            var bytes = bytes
            var record: UsageRecord?
            do {
                record = try decoder.decode(bytes)
            } catch {
                // As text it is put aside like any other that is no record; as it is it would spoil those sent with it.
                if error == .notJSON { bytes = JSON.string(String(decoding: bytes, as: UTF8.self)).encoded }
            }
            failed.append(
                Entry(
                    requestID: record?.requestID ?? "",
                    key: record.map { ServingKey(of: $0) },
                    record: bytes,
                    phase: record?.phase ?? .final,
                    bill: record.map { Bill(of: $0) } ?? .nothing,
                    isJournaled: true
                )
            )
        }
        if !failed.isEmpty { scheduleRetry() }
    }

    private func send(_ entry: Entry) {
        if let key = entry.key { send(entry, key) } else { keep(entry) }
    }

    private func send(_ entry: Entry, _ key: ServingKey) {
        if entry.isCheckpoint, let charge = entry.bill.charge { return restore(entry, key, charge) }
        sending += 1
        let charge = entry.record.isEmpty ? nil : entry.bill.charge
        let rarities = entry.rarities(of: key)
        let names = charge?.names ?? ""
        let texts = entry.requestID.utf8.count + entry.record.count + names.utf8.count + rarities.utf8.count
        redis.run(key.settlement(proposedEpoch), atMost: texts + 20 + 5 * RedisWriter.overhead) { rest in
            rest.add(entry.requestID)
            rest.add(entry.record)
            rest.add(entry.bill.cost.raw)
            rest.add(names)
            rest.add(rarities)
        } then: { [self] answer in
            // Not weakly: what somebody refers to weakly is slow to count, and each call counts this a few times.
            didSend(entry, key, answer)
        }
    }

    private func didSend(_ entry: Entry, _ key: ServingKey, _ answer: borrowing RedisReply) {
        sending -= 1
        guard answer.withText({ isTaken(entry, key, $0) }) == true else {
            if redis.isConnected { entry.refusals += 1 }
            return keep(entry)
        }
    }

    /// Redis has taken it, as it says by the partition's epoch and the record's id in its stream.
    ///
    /// - Returns: false for an answer that says nothing of the kind.
    private func isTaken(_ entry: Entry, _ key: ServingKey, _ answer: UnsafeRawBufferPointer) -> Bool {
        guard let blank = answer.place(of: UInt8(ascii: " ")) else { return false }
        if entry.isJournaled { journal?.taken() }
        noteEpoch(key.partition.partition, UnsafeRawBufferPointer(rebasing: answer[..<blank]))
        let id = UnsafeRawBufferPointer(rebasing: answer[(blank + 1)...])
        guard !entry.record.isEmpty, let streamID = StreamID(id) else { return true }
        entry.streamID = streamID
        entry.isJournaled = false
        entry.refusals = 0
        covered[key.partition.partition.number].append(entry)
        coveredCount += 1
        if coveredCount > Self.maximumCovered { dropOldest() }
        return true
    }

    /// Puts a checkpoint of an earlier run back where Redis would have had it: the sweeper settles the call from it, unless
    /// Redis knows the call to be over or further on.
    private func restore(_ entry: Entry, _ key: ServingKey, _ charge: CallCharge) {
        sending += 1
        let cost = entry.bill.cost
        let reservation = HeldReservation(
            partition: key.partition,
            charge: charge,
            amount: cost,
            checkpoint: HeldReservation.checkpoint(entry.record, cost: cost)
        )
        reservation.reserve(entry.requestID, in: redis) { [self] result in
            sending -= 1
            guard case .success = result else { return keep(entry) }
            journal?.taken()
        }
    }

    private func dropOldest() {
        guard let largest = covered.indices.max(by: { covered[$0].count < covered[$1].count }) else { return }
        let dropped = (covered[largest].count + 1) / 2
        covered[largest].removeFirst(dropped)
        coveredCount -= dropped
    }

    // MARK: Without Redis

    /// Keeps what Redis has not taken for the next try.
    private func keep(_ entry: Entry) {
        if !entry.record.isEmpty, !entry.isJournaled, let journal {
            entry.isJournaled = journal.append(entry.record, on: loop)
        }
        failed.append(entry)
        scheduleRetry()
    }

    private func scheduleRetry() {
        guard retryTimer == nil else { return }
        retryTimer = loop.schedule(after: Self.retryDelay) { [unowned self] in retry() }
    }

    private func retry() {
        retryTimer = nil
        post()
        guard redis.isConnected else { return scheduleRetry() }
        var entries: [Entry] = []
        var rest: [Entry] = []
        for entry in failed {
            if entry.key != nil, entries.count < Self.retryLimit { entries.append(entry) } else { rest.append(entry) }
        }
        failed = rest
        if !entries.isEmpty { onRetry?(entries.count) }
        for entry in entries { send(entry) }
        if !failed.isEmpty { scheduleRetry() }
    }

    /// Hands records to the control plane that Redis cannot take now: one batch at a time. It settles each once, also
    /// one that Redis had taken without being able to say so.
    private func post() {
        guard let sink, posting.isEmpty else { return }
        if let postFailedAt, postFailedAt.elapsed < Self.postPause { return }
        let isAway = !redis.isConnected
        func isDue(_ entry: Entry) -> Bool {
            // Redis may know more of a call than its checkpoint says.
            !entry.record.isEmpty && !entry.isCheckpoint
                && (isAway || entry.key == nil || entry.refusals >= Self.patience)
        }
        var rest: [Entry] = []
        for entry in failed {
            if posting.count < Self.postLimit, isDue(entry) { posting.append(entry) } else { rest.append(entry) }
        }
        guard !posting.isEmpty else { return }
        failed = rest
        let records = posting.map(\.record)
        loop.spawn { [self] in
            let isTaken = (try? await sink.post(records: records)) != nil
            didPost(isTaken)
        }
    }

    private func didPost(_ isTaken: Bool) {
        let entries = posting
        posting = []
        postFailedAt = isTaken ? nil : .now
        if isTaken {
            journal?.taken(entries.count { $0.isJournaled })
            onPosted?(entries.count)
        }
        for entry in entries {
            if isTaken {
                // What the call holds in Redis is given back when that is there again.
                guard entry.key != nil else { continue }
                entry.record = []
                entry.isJournaled = false
            }
            failed.append(entry)
        }
        if isTaken { post() }
        if !failed.isEmpty { scheduleRetry() }
    }

    // MARK: When Redis forgets

    /// Takes note of a partition's epoch as any script answered it. A new one means that Redis has forgotten: what
    /// Postgres does not have for sure is sent again.
    package func noteEpoch(_ partition: Partition, _ epoch: UnsafeRawBufferPointer) {
        guard let known = epochs[partition.number] else {
            epochs[partition.number] = Array(epoch)
            return
        }
        guard !epoch.equals(known) else { return }
        epochs[partition.number] = Array(epoch)
        forgotten(partition)
    }

    private func forgotten(_ partition: Partition) {
        // Calls that were let in by answers before this one hold something only when their tasks have gone on.
        loop.spawnSoon { [self] in
            onForgotten?(partition)
            resend(partition)
        }
    }

    private func resend(_ partition: Partition) {
        let lost = covered[partition.number]
        guard !lost.isEmpty else { return }
        covered[partition.number] = []
        coveredCount -= lost.count
        onRetry?(lost.count)
        for entry in lost { send(entry) }
    }

    private var partitionsInUse: Set<Partition> {
        (livePartitions?() ?? []).union(Partition.all.filter { !covered[$0.number].isEmpty })
    }

    /// A partition that no call touches would never show that Redis has forgotten it.
    private func watchEpochs() {
        guard redis.isConnected else { return }
        for partition in partitionsInUse {
            redis.send(RedisCommand(["GET", PartitionKeys.of(partition).epoch])) { [self] result in
                switch result {
                case .success(.string(let epoch)): epoch.withUnsafeBytes { noteEpoch(partition, $0) }
                case .success(.null): forgotten(partition)
                default: break
                }
            }
        }
    }

    /// To be called when the connection ends. Who comes back may lack what the last one took (the end of its log, or what
    /// its replica had not got) and still show the same epochs; and this worker may be gone by then. So what is uncovered
    /// goes the way of what Redis did not take: into the journal, to the control plane, or to Redis again.
    package func redisDidDisconnect() {
        let partitions = covered.indices.filter { !covered[$0].isEmpty }
        coveredCount = 0
        for partition in partitions {
            let lost = covered[partition]
            covered[partition] = []
            for entry in lost {
                entry.streamID = nil
                keep(entry)
            }
        }
    }

    /// To be called at each new connection: what calls under way have reserved may be gone.
    package func redisDidConnect() {
        for partition in partitionsInUse { forgotten(partition) }
    }

    /// The control plane has settled the partition up to this record.
    package func reached(_ partition: Partition, epoch: String, _ streamID: StreamID) {
        guard epochs[partition.number]?.elementsEqual(epoch.utf8) == true else { return }
        let count = covered[partition.number].count
        covered[partition.number].removeAll { $0.streamID.map { $0 <= streamID } ?? false }
        coveredCount -= count - covered[partition.number].count
    }
}
