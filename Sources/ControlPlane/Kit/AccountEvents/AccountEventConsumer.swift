import Domain
package import Postgres
package import Reactor
package import Redis
import Snapshots
package import Telemetry

/// Moves what workers say of accounts from the stream `tg:events` into Postgres, in its order.
///
/// One control plane at a time, by a lock that dies with its session. Entries are deleted when they are in Postgres, so
/// the stream holds what is not applied and is read from its start; applying one twice changes nothing.
package final class AccountEventConsumer {
    private static let idleInterval = Duration.milliseconds(100)
    /// How often somebody who is not the one looks whether the one is gone.
    private static let standByInterval = Duration.seconds(2)
    private static let restoreInterval = Duration.seconds(5)
    package static let untoldInterval = Duration.seconds(20)
    private static let batch = 200

    private let loop: EventLoop
    private let pool: PostgresPool
    private let redis: RedisClient
    private let log: Log
    private let restorer: MarkRestorer
    private let publish: () async throws -> Void
    private let applied: Counter
    private let failures: Counter
    private let nap: Nap
    private let untoldInterval: Duration
    private let ended = Promise<Void>()
    private var isStarted = false
    private var isStopping = false
    private var trouble = ""
    private var restoredAt: MonotonicTime?
    private var lookedForUntoldAt = MonotonicTime.now

    /// - Parameters:
    ///   - untoldInterval: how often errors are looked for whose news got lost.
    ///   - publish: tells workers what has been committed.
    package init(
        _ loop: EventLoop,
        _ pool: PostgresPool,
        _ redis: RedisClient,
        log: Log,
        metrics: MetricsRegistry,
        untoldInterval: Duration = AccountEventConsumer.untoldInterval,
        publish: @escaping () async throws -> Void
    ) {
        self.loop = loop
        self.pool = pool
        self.redis = redis
        self.log = log
        self.publish = publish
        self.untoldInterval = untoldInterval
        restorer = MarkRestorer(pool, redis, metrics)
        nap = Nap(loop)
        applied = metrics.counter("tollgate_account_events_total", "News of accounts that were written into Postgres")
        failures = metrics.counter("tollgate_account_event_failures_total", "Failures to apply news of accounts")
    }

    package func start() {
        isStarted = true
        loop.spawn { [self] in
            await run()
            ended.succeed(())
        }
    }

    /// Ends after the batch under way.
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
                    // The lock must end with it.
                    connection.discardAfterUse()
                    try await session(connection)
                }
            } catch {
                note(error)
                backoff.connectionEnded(after: started.elapsed)
            }
            if !isStopping { await nap.sleep(backoff.next(chance: .random(in: 0..<1))) }
        }
    }

    private func session(_ connection: PostgresConnection) async throws {
        while !isStopping, try await !takeLock(connection) { await nap.sleep(Self.standByInterval) }
        var backoff = Backoff(first: .milliseconds(100), longest: .seconds(2))
        while !isStopping {
            do {
                let count = try await round(connection)
                trouble = ""
                backoff = Backoff(first: .milliseconds(100), longest: .seconds(2))
                if count == 0 {
                    try await restoreMarks()
                    try await findUntold(connection)
                }
                if count < Self.batch { await nap.sleep(Self.idleInterval) }
            } catch {
                // A lost conflict and an absent Redis pass; anything else is a reason for a new connection.
                if let error = error as? PostgresError, !error.isTransactionConflict { throw error }
                note(error)
                await nap.sleep(backoff.next(chance: .random(in: 0..<1)))
            }
        }
    }

    private func takeLock(_ connection: PostgresConnection) async throws -> Bool {
        let rows = try await connection.query(
            "select pg_try_advisory_lock($1) as taken",
            [.integer(AdvisoryLock.accountEvents)]
        )
        return try rows.first?.bool("taken") ?? false
    }

    /// Only when all news are applied: else a flag that was just ended might be brought back.
    private func restoreMarks() async throws {
        if let restoredAt, restoredAt.elapsed < Self.restoreInterval { return }
        restoredAt = .now
        let count = try await restorer.restore()
        if count > 0 { log.info("account flags written back to Redis", ["accounts": .integer(Int64(count))]) }
    }

    private func findUntold(_ connection: PostgresConnection) async throws {
        guard lookedForUntoldAt.elapsed >= untoldInterval else { return }
        lookedForUntoldAt = .now
        let events = try await restorer.untoldErrors()
        if !events.isEmpty { try await apply(Dictionary(grouping: events, by: \.account), connection) }
    }

    private func note(_ error: any Error) {
        failures.add()
        let text = "\(error)"
        if text != trouble { log.warning("account news not applied, will be tried again", ["error": .text(text)]) }
        trouble = text
    }

    // MARK: A batch

    /// - Returns: how many entries were read.
    private func round(_ connection: PostgresConnection) async throws -> Int {
        let answer = try await redis.send(
            RedisCommand(["XRANGE", RedisNames.accountEvents, "-", "+", "COUNT", String(Self.batch)])
        )
        guard let entries = answer.array else { throw RedisError.unexpectedAnswer }
        guard !entries.isEmpty else { return 0 }
        var ids: [String] = []
        var events: [AccountID: [AccountEvent]] = [:]
        var samples: [WindowsSample] = []
        for entry in entries {
            guard let parts = entry.array, let id = parts.first?.text else { throw RedisError.unexpectedAnswer }
            ids.append(id)
            let fields = Self.fields(parts.last)
            if let event = AccountEvent(fields: fields) {
                events[event.account, default: []].append(event)
            } else if let sample = WindowsSample(fields: fields) {
                samples.append(sample)
            }
        }
        if !events.isEmpty { try await apply(events, connection) }
        if !samples.isEmpty {
            _ = try await connection.transaction { [samples] in try await AccountUsageStore.apply(samples, on: $0) }
        }
        _ = try await redis.send(RedisCommand(["XDEL", RedisNames.accountEvents] + ids))
        return entries.count
    }

    private static func fields(_ value: RedisValue?) -> [String: String] {
        let parts = value?.array ?? []
        var fields: [String: String] = [:]
        for index in stride(from: 0, to: parts.count - 1, by: 2) {
            if let name = parts[index].text { fields[name] = parts[index + 1].text }
        }
        return fields
    }

    private func apply(_ events: [AccountID: [AccountEvent]], _ connection: PostgresConnection) async throws {
        let isPublic = try await connection.transaction { connection in
            var isPublic = false
            // In one order, so that two who lock several rows never wait for each other.
            for (account, events) in events.sorted(by: { $0.key < $1.key }) {
                guard let old = try await AccountStandingStore.find(account, on: connection) else { continue }
                var new = old
                for event in events { new.apply(event) }
                guard new != old else { continue }
                let isConfig = new.status != old.status
                if isConfig, !isPublic {
                    isPublic = true
                    try await connection.execute("select pg_advisory_xact_lock($1)", [.integer(AdvisoryLock.changes)])
                }
                try await AccountStandingStore.update(account, to: new, isConfig: isConfig, on: connection)
                applied.add(events.count)
                if isConfig {
                    log.warning(
                        "account put into error",
                        ["account_id": .integer(account.raw), "error": .text(new.errorMessage ?? "")]
                    )
                }
            }
            if isPublic { try await connection.execute("insert into outbox (kind) values ('config')") }
            return isPublic
        }
        // What fails here the outbox heals.
        if isPublic { try? await publish() }
    }
}

extension AdvisoryLock {
    /// Held by the one control plane that applies what workers say of accounts.
    package static let accountEvents: Int64 = 0x7467_0000 + 30
}
