import Domain
package import Postgres
package import Reactor
package import Redis
import Snapshots
package import Telemetry

/// Moves usage records from the partitions' streams into Postgres, each once.
///
/// Entries are deleted when they are in Postgres, so a stream holds what is unsettled and is always read from its
/// start. There is no consumer group: one settler a partition, by a lock that dies with its session, already gives what
/// a group would, and a group adds ways to fail (NOGROUP after a flush, entries claimed by the dead).
///
/// What goes wrong between the commit and the deletion is harmless: the same records are read again and Postgres knows
/// their request ids.
package final class UsageSettler {
    private static let idleInterval = Duration.milliseconds(75)
    private static let balanceInterval = Duration.seconds(2)

    private let loop: EventLoop
    private let pool: PostgresPool
    private let redis: RedisClient
    private let log: Log
    private let metrics: SettlementMetrics
    private let share: SettlementMetrics.Share
    private let settlement: RecordSettlement
    private let quotas: AccountQuotaWriter
    private let decoder = UsageRecordDecoder()
    private let nap: Nap
    private let ended = Promise<Void>()
    private var isStarted = false
    private var isStopping = false
    private var plan = ReadPlan()
    private var locks = PartitionLocks()
    private var watermarks = Watermarks()
    private var trouble = ""

    /// - Parameter number: which settler of this process it is, from 0.
    package init(
        _ loop: EventLoop,
        _ pool: PostgresPool,
        _ redis: RedisClient,
        log: Log,
        metrics: SettlementMetrics,
        number: Int = 0
    ) {
        self.loop = loop
        self.pool = pool
        self.redis = redis
        self.log = log
        self.metrics = metrics
        share = metrics.shares[number]
        settlement = RecordSettlement(log: log, metrics: metrics)
        quotas = AccountQuotaWriter(redis)
        nap = Nap(loop)
    }

    package func start() {
        isStarted = true
        loop.spawn { [self] in
            await run()
            ended.succeed(())
        }
    }

    /// Ends after the batch under way and gives the partitions back.
    package func stop() async {
        isStopping = true
        nap.cut()
        if isStarted { try? await ended.wait() }
    }

    private func run() async {
        var backoff = Backoff(first: .milliseconds(100), longest: .seconds(2))
        while !isStopping {
            let started = MonotonicTime.now
            do {
                try await pool.withConnection { connection in
                    // Its locks must end with it.
                    connection.discardAfterUse()
                    try await session(connection)
                }
            } catch {
                note(error)
                backoff.connectionEnded(after: started.elapsed)
            }
            locks = PartitionLocks()
            share.partitions.set(0)
            if !isStopping {
                await measureLag()
                await nap.sleep(backoff.next(chance: .random(in: 0..<1)))
            }
        }
    }

    /// Settles until the connection fails or the settler is stopped.
    private func session(_ connection: PostgresConnection) async throws {
        try await SettlementStore.prepare(connection)
        try await locks.enter(connection)
        var balanced: MonotonicTime?
        var backoff = Backoff(first: .milliseconds(100), longest: .seconds(2))
        while !isStopping {
            if balanced.map({ $0.elapsed >= Self.balanceInterval }) ?? true {
                try await locks.balance(startingAt: .random(in: 0..<Partition.count), connection)
                share.partitions.set(locks.owned.count)
                balanced = .now
                watermarks.repeatLatest(through: redis, of: locks.owned)
            }
            do {
                let hasMore = try await settleRound(connection)
                trouble = ""
                backoff = Backoff(first: .milliseconds(100), longest: .seconds(2))
                if !hasMore { await nap.sleep(Self.idleInterval) }
            } catch {
                // A lost conflict and an absent Redis pass; anything else is a reason for a new connection.
                if let error = error as? PostgresError, !error.isTransactionConflict { throw error }
                note(error)
                await nap.sleep(backoff.next(chance: .random(in: 0..<1)))
            }
        }
    }

    private func note(_ error: any Error) {
        metrics.failures.add()
        let text = "\(error)"
        if text != trouble { log.warning("settlement failed, will be tried again", ["error": .text(text)]) }
        trouble = text
    }

    // MARK: A round

    /// - Returns: whether there is more to settle at once.
    private func settleRound(_ connection: PostgresConnection) async throws -> Bool {
        let round = plan.round(locks.owned)
        let answers = try await redis.runAll(round.map { StreamSlice.call($0.partition, limit: $0.limit) })
        var slices: [StreamSlice] = []
        var hasMore = false
        for ((partition, limit), answer) in zip(round, answers) {
            guard let slice = StreamSlice(answer, partition, limit: limit) else { throw RedisError.unexpectedAnswer }
            plan.note(partition, wasFull: slice.isFull)
            hasMore = hasMore || slice.isFull
            if !slice.entries.isEmpty { slices.append(slice) }
        }
        let oldest = slices.compactMap(\.entries.first?.streamID.milliseconds).min()
        share.oldest.set(Int(clamping: oldest ?? 0))
        guard !slices.isEmpty else { return round.count < locks.owned.count }

        let started = MonotonicTime.now
        var items: [SettlementItem] = []
        var claims: [Claim] = []
        items.reserveCapacity(slices.reduce(0) { $0 + $1.entries.count })
        for slice in slices {
            try await decode(slice, into: &items, &claims, connection)
            // A backlog must not hold up whoever else lives on this loop.
            await Task.yield()
        }
        let positions = slices.compactMap { slice in
            slice.entries.last.map {
                SettlementStore.Position(partition: slice.partition, epoch: slice.epoch, lastID: $0.streamID)
            }
        }
        let outcome = try await settlement.settle(items[...], positions: positions, connection)
        let refuted = try await examine(claims, connection)
        let databaseEpoch = try await SnapshotRows.databaseEpoch(connection)
        // Before the records go: whoever reads them again would find them settled, and do this again.
        try await quotas.write(outcome.accounts, settled: items.map(\.record), databaseEpoch: databaseEpoch)
        try await acknowledge(slices, items, outcome.numbers, databaseEpoch)
        // Redis still takes them for exhausted. While their entries stood there they might have been.
        try await SettlementStore.noteSpending(of: refuted, connection)
        metrics.batchSeconds.record(microseconds: Int(started.elapsed.nanoseconds / 1000))
        if !hasMore { share.oldest.set(0) }
        return hasMore || round.count < locks.owned.count
    }

    private func decode(
        _ slice: StreamSlice,
        into items: inout [SettlementItem],
        _ claims: inout [Claim],
        _ connection: PostgresConnection
    ) async throws {
        for entry in slice.entries {
            let reason: String
            if let event = entry.event {
                guard let event = PolicyExhaustion(event) else {
                    try await settlement.bury(entry, slice.partition, reason: "no event", connection)
                    continue
                }
                claims.append(Claim(event: event, entry: entry, partition: slice.partition))
                continue
            }
            do throws(SnapshotError) {
                guard let bytes = entry.record else { throw .missing("r") }
                let item = SettlementItem(try decoder.decode(bytes), streamID: entry.streamID)
                // The partition's lock and position stand for its users only.
                guard item.partition == slice.partition else { throw .invalid("user_id") }
                items.append(item)
                continue
            } catch {
                reason = "\(error)"
            }
            try await settlement.bury(entry, slice.partition, reason: reason, connection)
        }
    }

    /// What a worker says of a policy.
    private struct Claim {
        let event: PolicyExhaustion
        let entry: StreamEntry
        let partition: Partition
    }

    /// Notes what is true of it. Once: repeated, it finds the policy exhausted in that window.
    ///
    /// - Returns: the users of whom something was said that is not true.
    private func examine(_ claims: [Claim], _ connection: PostgresConnection) async throws -> Set<UserID> {
        var refuted: Set<UserID> = []
        for claim in claims {
            do {
                let isTrue = try await connection.transaction { connection in
                    try await KeyPolicyStore.exhausted(claim.event, on: connection)
                }
                if !isTrue { refuted.insert(claim.event.user) }
            } catch  where RecordSettlement.isFaultOfData(error) {
                try await settlement.bury(claim.entry, claim.partition, reason: "\(error)", connection)
            }
        }
        return refuted
    }

    private func acknowledge(
        _ slices: [StreamSlice],
        _ items: [SettlementItem],
        _ numbers: [CounterNumber],
        _ databaseEpoch: Int64
    ) async throws {
        // Ids are those of one partition; two may have the same.
        var byPartition: [Partition: [StreamID: UsageRecord]] = [:]
        for item in items {
            if let id = item.streamID { byPartition[item.partition, default: [:]][id] = item.record }
        }
        // The last of each counter is what stands; all of a user's carry the partition's tag.
        let latest = Dictionary(numbers.map { ($0.name, $0) }) { $0.sequence > $1.sequence ? $0 : $1 }
        let byTag = Dictionary(grouping: latest.values) { CounterNames.partition(of: $0.name) }
        _ = try await redis.runAll(
            slices.compactMap { slice in
                guard let last = slice.entries.last else { return nil }
                let watermark = Announcement.watermark(slice.partition, epoch: slice.epoch, streamID: last.id)
                watermarks.note(watermark, of: slice.partition)
                return RedisScriptCall(
                    CounterScripts.acknowledge,
                    keys: [RedisNames.epoch(slice.partition), RedisNames.usage(slice.partition)],
                    arguments: [slice.epoch, RedisNames.announcements, watermark.text]
                        + Self.counts(
                            slice,
                            byPartition[slice.partition] ?? [:],
                            byTag[slice.partition] ?? [],
                            databaseEpoch
                        )
                )
            }
        )
    }

    /// What the acknowledgement of a slice says of counters and entries.
    private static func counts(
        _ slice: StreamSlice,
        _ records: [StreamID: UsageRecord],
        _ numbers: [CounterNumber],
        _ databaseEpoch: Int64
    ) -> [String] {
        struct Payer: Hashable {
            let key: KeyID
            let user: UserID
            let limits: FrozenLimits
        }
        var lists: [Payer: Int] = [:]
        var payers: [(counters: String, cost: Int64)] = []
        var entries = ""
        entries.reserveCapacity(slice.entries.count * 32)
        for entry in slice.entries {
            guard let record = records[entry.streamID] else {
                entries += "\(entry.id) 0 0 "
                continue
            }
            let payer = Payer(key: record.key, user: record.user, limits: record.limits)
            let cost = max(0, record.cost.raw)
            var number = lists[payer] ?? 0
            // A sum is no larger than what any counter holds.
            if number == 0 || payers[number - 1].cost > NanoUSD.maximum.raw - min(cost, NanoUSD.maximum.raw) {
                payers.append((CounterNames.all(of: record).joined(separator: " "), 0))
                number = payers.count
                lists[payer] = number
            }
            payers[number - 1].cost += cost
            entries += "\(entry.id) \(number) \(cost) "
        }
        let bases = numbers.flatMap { number in
            [
                number.name, String(number.number),
                String(SnapshotVersion(epoch: databaseEpoch, revision: number.sequence).stamp),
            ]
        }
        guard let first = slice.entries.first, let last = slice.entries.last else { return [] }
        return [first.id, last.id, "\(last.streamID.next)", String(payers.count), String(numbers.count)]
            + payers.flatMap { [$0.counters, String($0.cost)] } + bases + [entries]
    }

    /// Looks at the streams while nothing can be settled, so that the lag shows.
    private func measureLag() async {
        let answers = try? await redis.runAll(Partition.all.map { StreamSlice.call($0, limit: 1) })
        let oldest = zip(Partition.all, answers ?? [])
            .compactMap { StreamSlice($1, $0, limit: 1)?.entries.first?.streamID.milliseconds }.min()
        if let oldest { share.oldest.set(Int(clamping: oldest)) }
    }
}

/// The latest watermark of each partition, said again for a while: an announcement may be missed, and a worker that
/// missed the last one of a quiet partition would keep its records for ever.
private struct Watermarks {
    private static let repeats = 10
    private var latest: [Partition: (announcement: Announcement, left: Int)] = [:]

    mutating func note(_ watermark: Announcement, of partition: Partition) {
        latest[partition] = (watermark, Self.repeats)
    }

    mutating func repeatLatest(through redis: RedisClient, of owned: Set<Partition>) {
        latest = latest.filter { owned.contains($0.key) && $0.value.left > 0 }
        for (partition, entry) in latest {
            latest[partition]?.left -= 1
            redis.send(RedisCommand(["PUBLISH", RedisNames.announcements, entry.announcement.text])) { _ in }
        }
    }
}
