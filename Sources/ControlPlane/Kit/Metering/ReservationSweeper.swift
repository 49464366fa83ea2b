import Domain
package import Reactor
package import Redis
import Snapshots
package import Telemetry

/// Settles the reservations of workers that died: from the call's last checkpoint, or with nothing to bill.
///
/// A reservation is a dead worker's when this process, by its own monotonic clock, has seen it unrenewed for long
/// enough, whatever any clock in Redis says; time in which Redis was away does not count, since nobody could renew. And
/// never soon after Redis has forgotten, when workers register anew. Any
/// number of control planes may sweep: the script lets one settle.
package final class ReservationSweeper {
    package struct Pace: Sendable {
        package var interval = Duration.seconds(5)
        /// Workers renew every 10 s.
        package var patience = Duration.seconds(30)
        package var afterNewEpoch = Duration.seconds(60)
        package init() {}
    }

    /// Of a partition, those renewed longest ago; the others have their turn when these are gone.
    private static let batch = 1000
    private static let doneMarkerSeconds = "900"

    private struct Seen {
        var score: String
        var since: MonotonicTime
    }

    private let loop: EventLoop
    private let redis: RedisClient
    private let log: Log
    private let pace: Pace
    private let swept: Counter
    private var task: PeriodicTask?
    private var epochs: [Partition: (text: String, since: MonotonicTime)] = [:]
    private var seen: [Partition: [String: Seen]] = [:]
    private var lookedAt: MonotonicTime?
    /// Looks that are further apart than so many intervals have something between them that nobody saw.
    private static let longestGap = 3

    package init(_ loop: EventLoop, _ redis: RedisClient, log: Log, metrics: MetricsRegistry, pace: Pace = Pace()) {
        self.loop = loop
        self.redis = redis
        self.log = log
        self.pace = pace
        swept = metrics.counter("tollgate_reservations_swept_total", "Reservations of dead workers that were settled.")
    }

    package func start() {
        task = PeriodicTask(
            loop,
            every: pace.interval,
            log: log,
            failure: "sweep failed, will be tried again"
        ) { [weak self] in
            guard let self, redis.isConnected else { return }
            try await sweep()
        }
    }

    package func stop() { task = nil }

    private func sweep() async throws {
        let all = Partition.all
        _ = try await redis.runAll(
            all.map {
                RedisScriptCall(
                    CounterScripts.adopt,
                    keys: [RedisNames.live($0), RedisNames.holds($0)],
                    arguments: []
                )
            }
        )
        let answers = try await redis.sendAll(
            all.flatMap { partition in
                [
                    RedisCommand(["GET", RedisNames.epoch(partition)]),
                    RedisCommand(["ZRANGE", RedisNames.live(partition), "0", String(Self.batch - 1), "WITHSCORES"]),
                ]
            }
        )
        let now = MonotonicTime.now
        if let lookedAt, now - lookedAt > pace.interval * Self.longestGap { seen = [:] }
        defer { lookedAt = .now }
        for (index, partition) in all.enumerated() where 2 * index + 1 < answers.count {
            let epoch = answers[2 * index].text ?? ""
            if epochs[partition]?.text != epoch {
                epochs[partition] = (epoch, now)
                seen[partition] = nil
            }
            let due = note(answers[2 * index + 1].array ?? [], partition, now)
            guard let since = epochs[partition]?.since, now - since >= pace.afterNewEpoch else { continue }
            for (id, score) in due { try await settle(id, score, partition) }
        }
    }

    /// Takes note of what stands, and returns what has stood unrenewed for too long.
    private func note(_ answer: [RedisValue], _ partition: Partition, _ now: MonotonicTime) -> [(String, String)] {
        var standing: [String: Seen] = [:]
        var due: [(String, String)] = []
        let known = seen[partition] ?? [:]
        for index in stride(from: 0, to: answer.count - 1, by: 2) {
            guard let id = answer[index].text, let score = answer[index + 1].text else { continue }
            if let entry = known[id], entry.score == score {
                standing[id] = entry
                if now - entry.since >= pace.patience { due.append((id, score)) }
            } else {
                standing[id] = Seen(score: score, since: now)
            }
        }
        seen[partition] = standing.isEmpty ? nil : standing
        return due
    }

    private func settle(_ id: String, _ score: String, _ partition: Partition) async throws {
        let answer = try await redis.run(
            CounterScripts.sweep,
            keys: [
                RedisNames.live(partition), RedisNames.holds(partition), CounterNames.checkpoints(partition),
                RedisNames.usage(partition), RedisNames.done(id, partition),
            ],
            arguments: [id, score, Self.doneMarkerSeconds]
        )
        guard let code = answer.integer, code > 0 else { return }
        swept.add()
        log.warning("a dead worker's call was settled", ["request_id": .text(id), "billed": .bool(code == 2)])
    }
}
