import Domain
package import Postgres
package import Reactor
package import Redis
import Snapshots
package import Telemetry

/// Compares what counters in Redis say with what they should: what is unsettled is the sum of the stream's records, what
/// is reserved the sum of the holds, and the rest is Postgres'. What differs is corrected, counted and logged.
///
/// They should never differ. What could make them: a Redis that lost the last second of its log between two keys of one
/// step, a person with redis-cli, a defect.
package final class CounterReconciler {
    private static let interval = Duration.seconds(60)
    /// A partition with more that is unsettled is looked at when it is quieter, and one with more calls under way: Redis
    /// serves nobody else while it shows them.
    private static let maximumEntries = 5000
    private static let maximumHolds = 50_000
    private static let batch: Int64 = 500

    private let loop: EventLoop
    private let pool: PostgresPool
    private let redis: RedisClient
    private let publisher: SnapshotPublisher
    private let log: Log
    private let corrected: Counter
    private let drift: Gauge
    private let decoder = UsageRecordDecoder()
    private var task: PeriodicTask?

    package init(
        _ loop: EventLoop,
        _ pool: PostgresPool,
        _ redis: RedisClient,
        _ publisher: SnapshotPublisher,
        log: Log,
        metrics: MetricsRegistry
    ) {
        self.loop = loop
        self.pool = pool
        self.redis = redis
        self.publisher = publisher
        self.log = log
        corrected = metrics.counter("tollgate_counter_drift_total", "Counters in Redis that were wrong and corrected.")
        drift = metrics.gauge(
            "tollgate_counter_drift_nano_usd",
            "By how much counters in Redis were wrong in the last comparison, in nano-USD."
        )
    }

    package func start() {
        task = PeriodicTask(
            loop,
            every: Self.interval,
            log: log,
            failure: "comparison of counters failed, will be tried again"
        ) { [weak self] in
            guard let self, redis.isConnected else { return }
            try await run()
        }
    }

    package func stop() { task = nil }

    /// Compares everything once; one control plane at a time.
    package func run() async throws {
        try await pool.withTransaction { connection in
            let lock = try await connection.query(
                "select pg_try_advisory_xact_lock($1) as taken",
                [.integer(AdvisoryLock.reconciler)]
            )
            guard try lock.first?.bool("taken") == true else { return }
            // By which windows are chosen.
            let now = Timestamp(microseconds: try await redis.time())
            var sum: UInt64 = 0
            var last: Int64 = 0
            var seen: Set<Partition> = []
            while true {
                let users = try await connection.query(
                    "select id from users where id > $1 and deleted_at is null order by id limit $2",
                    [.integer(last), .integer(Self.batch)]
                ).map { UserID(try $0.int("id")) }
                let standings = try await CounterStore.standings(of: users, runningAt: now, connection)
                for (partition, standings) in Dictionary(grouping: standings, by: { Partition(of: $0.user) }) {
                    sum &+= try await compare(
                        partition,
                        standings.flatMap { $0.counters + $0.laterCounters },
                        andOthers: seen.insert(partition).inserted
                    )
                }
                // What Postgres says is written again: older numbers never replace newer ones.
                try await publisher.writeCounters(of: users)
                guard users.count == Int(Self.batch), let end = users.last else { break }
                last = end.raw
            }
            let quotas = try await publisher.writeQuotas(of: nil)
            if quotas > 0 {
                corrected.add()
                sum &+= quotas
                log.error("sums of accounts' open calls were wrong and are corrected", ["nano_usd": .text("\(quotas)")])
            }
            drift.set(Int(clamping: sum))
        }
    }

    /// What counters should say, by name.
    private struct Wanted {
        var unsettled: [String: Int64] = [:]
        var reserved: [String: Int64] = [:]
    }

    /// - Parameter andOthers: also looks at all that records and holds name: calls end in other windows than those that
    ///   run.
    /// - Returns: by how much the partition's counters were wrong.
    private func compare(
        _ partition: Partition,
        _ counters: [CounterNumber],
        andOthers: Bool
    ) async throws -> UInt64 {
        let known = Dictionary(counters.map { ($0.name, $0.expiry ?? 0) }) { first, _ in first }
        var names = Array(known.keys)
        guard var (wanted, found) = try await inspect(partition, names) else { return 0 }
        let others = Set(wanted.unsettled.keys).union(wanted.reserved.keys).filter {
            known[$0] == nil && CounterNames.partition(of: $0) == partition
        }
        if andOthers, !others.isEmpty {
            names += others
            guard let both = try await inspect(partition, names) else { return 0 }
            (wanted, found) = both
        }
        var sum: UInt64 = 0
        for (name, found) in zip(names, found) {
            let wanted = [wanted.unsettled[name] ?? 0, wanted.reserved[name] ?? 0]
            guard found != wanted else { continue }
            let done = try await redis.run(
                CounterScripts.correct,
                keys: [name],
                arguments: (found + wanted).map { String($0) } + [known[name].map { String($0) } ?? ""]
            )
            guard done.integer == 1 else { continue }
            corrected.add()
            sum &+= (found[0] &- wanted[0]).magnitude &+ (found[1] &- wanted[1]).magnitude
            log.error(
                "a counter in Redis was wrong and is corrected",
                [
                    "counter": .text(name), "unsettled": .integer(found[0]), "unsettled_records": .integer(wanted[0]),
                    "reserved": .integer(found[1]), "reserved_holds": .integer(wanted[1]),
                ]
            )
        }
        return sum
    }

    /// - Returns: what counters should say, and for each name `u` and `r` as they are, at one moment; nil where there is too
    ///   much to look at.
    private func inspect(_ partition: Partition, _ names: [String]) async throws -> (Wanted, found: [[Int64]])? {
        let answer = try await redis.run(
            CounterScripts.inspect,
            keys: [RedisNames.usage(partition), RedisNames.holds(partition)] + names,
            arguments: [String(Self.maximumEntries), String(Self.maximumHolds)]
        )
        guard let parts = answer.array, parts.count == 3, let numbers = parts[2].array, numbers.count == names.count
        else { return nil }
        var wanted = Wanted()
        for entry in parts[0].array ?? [] {
            let fields = entry.array?.last?.array ?? []
            guard fields.first?.text == "r", let bytes = fields.last?.bytes, let record = try? decoder.decode(bytes)
            else { continue }
            for name in CounterNames.all(of: record) { wanted.unsettled[name, default: 0] &+= record.cost.raw }
        }
        for hold in parts[1].array ?? [] {
            let words = (hold.text ?? "").split(separator: " ")
            for index in stride(from: 0, to: words.count - 1, by: 2) {
                wanted.reserved[String(words[index]), default: 0] &+= Int64(words[index + 1]) ?? 0
            }
        }
        var found: [[Int64]] = []
        for values in numbers {
            let pair = (values.array ?? []).map { Int64($0.text ?? "") ?? 0 }
            guard pair.count == 2 else { return nil }
            found.append(pair)
        }
        return (wanted, found)
    }
}
