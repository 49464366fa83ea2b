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
    /// A partition with more under way is looked at when it is quieter.
    private static let limit = 5000
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
            var sum: UInt64 = 0
            var last: Int64 = 0
            while true {
                let users = try await connection.query(
                    "select id from users where id > $1 and deleted_at is null order by id limit $2",
                    [.integer(last), .integer(Self.batch)]
                ).map { UserID(try $0.int("id")) }
                let standings = try await CounterStore.standings(of: users, connection)
                for (partition, standings) in Dictionary(grouping: standings, by: { Partition(of: $0.user) }) {
                    sum &+= try await compare(partition, standings.flatMap(\.counters).map(\.name))
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

    /// - Returns: by how much the partition's counters were wrong.
    private func compare(_ partition: Partition, _ names: [String]) async throws -> UInt64 {
        let answer = try await redis.run(
            CounterScripts.inspect,
            keys: [RedisNames.usage(partition), RedisNames.holds(partition)] + names,
            arguments: [String(Self.limit)]
        )
        guard let parts = answer.array, parts.count == 3, let numbers = parts[2].array, numbers.count == names.count
        else { return 0 }
        var unsettled: [String: Int64] = [:]
        for entry in parts[0].array ?? [] {
            let fields = entry.array?.last?.array ?? []
            guard fields.first?.text == "r", let bytes = fields.last?.bytes, let record = try? decoder.decode(bytes)
            else { continue }
            for name in CounterNames.all(of: record) { unsettled[name, default: 0] &+= record.cost.raw }
        }
        var reserved: [String: Int64] = [:]
        for hold in parts[1].array ?? [] {
            let words = (hold.text ?? "").split(separator: " ")
            for index in stride(from: 0, to: words.count - 1, by: 2) {
                reserved[String(words[index]), default: 0] &+= Int64(words[index + 1]) ?? 0
            }
        }
        var sum: UInt64 = 0
        for (name, values) in zip(names, numbers) {
            let found = (values.array ?? []).map { Int64($0.text ?? "") ?? 0 }
            guard found.count == 2 else { continue }
            let wanted = [unsettled[name] ?? 0, reserved[name] ?? 0]
            guard found != wanted else { continue }
            let done = try await redis.run(
                CounterScripts.correct,
                keys: [name],
                arguments: (found + wanted).map { String($0) }
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
}
