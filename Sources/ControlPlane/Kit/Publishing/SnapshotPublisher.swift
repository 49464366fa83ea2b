package import Domain
package import Postgres
package import Reactor
package import Redis
package import Snapshots
package import Telemetry

/// Brings what the database says into Redis: after each change, and whenever the two differ.
package final class SnapshotPublisher {
    private static let outboxInterval = Duration.milliseconds(500)
    private static let healInterval = Duration.seconds(5)
    private static let outboxBatch = 1000
    private static let keyBatch = 1000

    private let loop: EventLoop
    private let pool: PostgresPool
    private let redis: RedisClient
    private let writer: SnapshotWriter
    /// One for each format that can be written, the current one first.
    private let codecs: [SnapshotCodec]
    private let standings: [StandingReader]
    private let counters: CounterWriter
    private let quotas: AccountQuotaWriter
    private let keysMarker: (_ format: Int, _ epoch: Int64) -> String
    private let log: Log
    private let metrics: PublishMetrics
    private var drainRun: SharedRun?
    private var healRun: SharedRun?
    private var timers: [LoopTimer] = []
    private var isStopped = false
    private var lastTrouble = ""
    private var hasWarnedOfNewer = false

    package init(
        _ loop: EventLoop,
        _ pool: PostgresPool,
        _ redis: RedisClient,
        _ signer: SnapshotSigner,
        formats: [Int] = SnapshotFormat.written,
        log: Log,
        metrics: MetricsRegistry
    ) {
        self.loop = loop
        self.pool = pool
        self.redis = redis
        self.log = log
        self.metrics = PublishMetrics(metrics)
        let codecs = formats.map { SnapshotCodec(signer, format: $0) }
        self.codecs = codecs
        writer = SnapshotWriter(redis, codecs)
        standings = codecs.map { StandingReader(redis, $0) }
        quotas = AccountQuotaWriter(redis)
        counters = CounterWriter(loop, redis, epoch: "c" + String(UInt64.random(in: 0...UInt64.max), radix: 16))
        // Another signing key makes every entry unreadable, another epoch makes it outdated.
        keysMarker = { format, epoch in "\(format).\(epoch).\(signer.fingerprint)" }
        drainRun = SharedRun(loop) { [unowned self] isUrgent in try await drain(waitsForOthers: isUrgent) }
        healRun = SharedRun(loop) { [unowned self] _ in try await heal() }
    }

    // MARK: Running

    package func start() {
        let outbox = LoopTimer(loop) { [weak self] in self?.run { try await $0.drainRun?.run() } }
        let heal = LoopTimer(loop) { [weak self] in self?.run { try await $0.healRun?.run() } }
        outbox.start(after: .zero, repeating: Self.outboxInterval)
        heal.start(after: .zero, repeating: Self.healInterval)
        timers = [outbox, heal]
    }

    package func stop() {
        isStopped = true
        timers = []
    }

    /// Redis is there (again): it may have forgotten anything.
    package func redisConnected() {
        for standing in standings { standing.forget() }
        run { publisher in
            await RedisLogRenewal.run(publisher.redis, log: publisher.log)
            await RedisSettingsCheck.run(publisher.redis, log: publisher.log)
            try await publisher.healRun?.run()
        }
    }

    private func run(_ job: @escaping (SnapshotPublisher) async throws -> Void) {
        guard !isStopped, redis.isConnected else { return }
        loop.spawn { [self] in
            do {
                try await job(self)
                lastTrouble = ""
            } catch {
                metrics.failures.add()
                // The timers come again twice a second; one line for each trouble is enough.
                let trouble = "\(error)"
                if trouble != lastTrouble {
                    log.warning("publishing failed, will be tried again", ["error": "\(error)"])
                }
                lastTrouble = trouble
            }
        }
    }

    // MARK: Changes

    /// Publishes everything that was committed before this call; returns when it stands in Redis.
    ///
    /// - Throws: `RedisError`, `PostgresError`. The outbox keeps what was not published.
    package func publishCommitted() async throws { try await drainRun?.run(isUrgent: true) }

    /// Publishes what the outbox holds, and removes it there afterwards.
    ///
    /// - Parameter waitsForOthers: waits for entries that another control plane is publishing just now.
    private func drain(waitsForOthers: Bool) async throws {
        var hasMore = true
        while hasMore {
            let failure: (any Error)?
            (hasMore, failure) = try await pool.withTransaction { connection in
                if waitsForOthers { try await connection.execute("set local lock_timeout = '5s'") }
                let rows = try await connection.query(
                    """
                    select id, kind, subject from outbox order by id limit \(Self.outboxBatch)
                    for update\(waitsForOthers ? "" : " skip locked")
                    """
                )
                guard !rows.isEmpty else { return (false, nil) }
                let (published, failure) = try await publish(OutboxBatch(rows))
                try await connection.execute("delete from outbox where id = any($1::bigint[])", [.integers(published)])
                return (rows.count == Self.outboxBatch, failure)
            }
            if let failure { throw failure }
        }
    }

    /// Publishes each kind by itself, so that one that cannot be published holds up no other. Credentials come before
    /// the accounts that need them, the configuration before nothing.
    ///
    /// - Returns: the outbox ids that are done, and the first failure.
    private func publish(_ batch: OutboxBatch) async throws -> (published: [Int64], failure: (any Error)?) {
        var published: [Int64] = []
        var failure: (any Error)?
        func attempt(_ ids: [Int64], _ body: () async throws -> Void) async {
            guard !ids.isEmpty else { return }
            do {
                try await body()
                published += ids
            } catch {
                failure = failure ?? error
            }
        }
        await attempt(batch.accounts.ids) {
            try await publishCredentials(of: batch.accounts.subjects.map { AccountID($0) })
        }
        // What has been spent comes before the keys that are counted against it.
        await attempt(batch.money.ids) { try await writeCounters(of: batch.money.subjects.map { UserID($0) }) }
        await attempt(batch.users.ids) { try await publishUsers(batch.users.subjects.map { UserID($0) }) }
        await attempt(batch.keys.ids) { try await publishKeys(.ids(batch.keys.subjects.map { KeyID($0) })) }
        await attempt(batch.recovered.ids) { try await forgetMarks(of: batch.recovered.subjects, withErrors: true) }
        await attempt(batch.unflagged.ids) { try await forgetMarks(of: batch.unflagged.subjects, withErrors: false) }
        await attempt(batch.quotas.ids) {
            try await writeQuotas(of: batch.quotas.subjects.sorted().map { AccountID($0) })
        }
        await attempt(batch.config.ids) { try await publishConfig() }
        return (published, failure)
    }

    /// Writes what users have spent into Redis, as the database has it.
    package func writeCounters(of users: [UserID]) async throws {
        try await pool.withTransaction { connection in
            try await connection.execute("set transaction isolation level repeatable read, read only")
            try await counters.write(users, connection)
        }
    }

    /// Writes what has been spent through accounts into Redis, as the database has it.
    ///
    /// - Parameter accounts: nil for all that have quotas.
    /// - Returns: by how much sums of calls that are not in the database were wrong.
    @discardableResult
    package func writeQuotas(of accounts: [AccountID]?) async throws -> UInt64 {
        let drift = try await pool.withTransaction { connection in
            try await connection.execute("set transaction isolation level repeatable read, read only")
            return try await quotas.write(of: accounts, connection)
        }
        // Workers ask an account that they took for spent.
        if let accounts { try await writer.announceFlagsCleared(accounts) }
        return drift
    }

    private func publishConfig() async throws {
        let started = MonotonicTime.now
        let (config, groups) = try await readConfig()
        if try await writer.publish(config, groupRevisions: groups) {
            metrics.revision.set(Int(config.version.revision))
            metrics.published("config", 1, since: started)
            log.info("configuration published", ["version": "\(config.version)"])
        }
    }

    private func readConfig() async throws -> (ConfigSnapshot, [(group: GroupID, revision: Int64)]) {
        try await pool.withTransaction { connection in
            try await connection.execute("set transaction isolation level repeatable read, read only")
            let builder = SnapshotBuilder(databaseEpoch: try await SnapshotRows.databaseEpoch(connection))
            let groups = try await SnapshotRows.groups(connection)
            let config = builder.config(
                revision: try await SnapshotRows.configRevision(connection),
                publishedAt: Timestamp.now,
                groups: groups,
                accounts: try await SnapshotRows.accounts(connection),
                proxies: try await SnapshotRows.proxies(connection),
                prices: try await SnapshotRows.prices(connection),
                gatewaySetting: try await SettingsStore.find("gateway", on: connection),
                betaPolicySetting: try await SettingsStore.find("beta-policy", on: connection),
                overloadSetting: try await SettingsStore.find("overload-cooldown", on: connection),
                rateLimitSetting: try await SettingsStore.find("rate-limit-cooldown", on: connection),
                securitySetting: try await SettingsStore.find("security", on: connection)
            )
            return (config, groups.map { ($0.snapshot.id, builder.stamp($0.snapshot.revision)) })
        }
    }

    private func forgetMarks(of accounts: Set<Int64>, withErrors: Bool) async throws {
        try await writer.forgetMarks(of: accounts.sorted().map { AccountID($0) }, withErrors: withErrors)
    }

    private func publishKeys(_ choice: SnapshotRows.KeyChoice, isAnnounced: Bool = true) async throws {
        try await pool.withConnection { connection in
            try await publishKeys(choice, isAnnounced: isAnnounced, on: connection)
        }
    }

    /// In batches by id: there may be a hundred thousand.
    private func publishKeys(
        _ choice: SnapshotRows.KeyChoice,
        isAnnounced: Bool,
        on connection: PostgresConnection
    ) async throws {
        let builder = SnapshotBuilder(databaseEpoch: try await SnapshotRows.databaseEpoch(connection))
        var last = KeyID(0)
        while true {
            let started = MonotonicTime.now
            let rows = try await SnapshotRows.keys(choice, after: last, limit: Self.keyBatch, connection)
            guard let end = rows.last else { return }
            try await writer.publish(
                rows.map { SnapshotWriter.Key(builder.key($0), isDeleted: $0.isDeleted) },
                isAnnounced: isAnnounced,
                raisesUsers: !choice.isWholeUsers
            )
            metrics.published("key", rows.count, since: started)
            if rows.count < Self.keyBatch { return }
            last = end.snapshot.id
        }
    }

    private func publishUsers(_ users: [UserID]) async throws {
        try await pool.withConnection { connection in
            let builder = SnapshotBuilder(databaseEpoch: try await SnapshotRows.databaseEpoch(connection))
            // Read first: keys read later are at least as new.
            let revisions = try await SnapshotRows.userRevisions(users, connection)
            try await publishKeys(.users(users), isAnnounced: true, on: connection)
            try await writer.raise(revisions.map { ($0.user, builder.stamp($0.revision)) })
        }
    }

    private func publishCredentials(of accounts: [AccountID]) async throws {
        let started = MonotonicTime.now
        let (rows, builder) = try await pool.withConnection { connection in
            let builder = SnapshotBuilder(databaseEpoch: try await SnapshotRows.databaseEpoch(connection))
            return (try await SnapshotRows.credentials(of: accounts, connection), builder)
        }
        try await writer.publish(
            rows.filter { !$0.isDeleted }.map { builder.credentials($0) },
            removing: rows.filter(\.isDeleted).map(\.account)
        )
        metrics.published("credentials", rows.count, since: started)
    }

    // MARK: Asked for by a worker

    /// How the planes' texts are written in a format; nil in one that this version cannot write.
    package func codec(of format: Int) -> SnapshotCodec? { codecs.first { $0.format == format } }

    /// The snapshot of a key, which is published on the way; nil when there is no such key.
    ///
    /// - Throws: `PostgresError`.
    package func key(hash: String) async throws -> KeySnapshot? {
        let key: KeySnapshot? = try await pool.withConnection { connection in
            guard let row = try await SnapshotRows.keys(.hash(hash), limit: 1, connection).first else { return nil }
            return SnapshotBuilder(databaseEpoch: try await SnapshotRows.databaseEpoch(connection)).key(row)
        }
        guard let key else { return nil }
        // A worker that asks may have lost Redis; its answer must not depend on it.
        do { try await writer.publish([SnapshotWriter.Key(key)], isAnnounced: false) } catch { metrics.failures.add() }
        return key
    }

    /// The credentials of an account, which are published on the way; nil when there is no such account.
    ///
    /// - Throws: `PostgresError`.
    package func credentials(of account: AccountID) async throws -> CredentialEntry? {
        let entry: CredentialEntry? = try await pool.withConnection { connection in
            let row = try await SnapshotRows.credentials(of: [account], connection).first { !$0.isDeleted }
            guard let row else { return nil }
            return SnapshotBuilder(databaseEpoch: try await SnapshotRows.databaseEpoch(connection)).credentials(row)
        }
        guard let entry else { return nil }
        do { try await writer.publish([entry]) } catch { metrics.failures.add() }
        return entry
    }

    // MARK: Healing

    /// Compares database and Redis now, and publishes what Redis lacks.
    package func healNow() async throws { try await healRun?.run() }

    private func heal() async throws {
        let wanted: StandingReader.Wanted = try await pool.withTransaction { connection in
            try await connection.execute("set transaction isolation level repeatable read, read only")
            let epoch = try await SnapshotRows.databaseEpoch(connection)
            let builder = SnapshotBuilder(databaseEpoch: epoch)
            return StandingReader.Wanted(
                config: SnapshotVersion(
                    epoch: epoch,
                    revision: try await SnapshotRows.configRevision(connection)
                ),
                keysMarker: { [keysMarker] format in keysMarker(format, epoch) },
                credentials: try await SnapshotRows.credentialVersions(connection)
                    .map { ($0.account, builder.stamp($0.version)) },
                goneAccounts: try await SnapshotRows.recentlyDeletedAccounts(connection)
            )
        }
        writer.read = try await readFormats()
        var found = StandingReader.Found()
        for standing in standings where writer.isWritten(standing.format) {
            found.join(try await standing.compare(with: wanted))
        }
        if found.isConfigNewer {
            if !hasWarnedOfNewer {
                log.error(
                    "Redis has a newer configuration than the database: raise database_epoch after a restore",
                    ["database": "\(wanted.config)"]
                )
            }
            hasWarnedOfNewer = true
        }
        if !found.credentialsToPublish.isEmpty { try await publishCredentials(of: found.credentialsToPublish) }
        try await writer.publish([], removing: wanted.goneAccounts)
        if found.mustPublishConfig { try await publishConfig() }
        if found.mustPublishKeys { try await publishAllKeys(marker: wanted.keysMarker) }
    }

    /// The formats that live workers read.
    private func readFormats() async throws -> Set<Int> {
        let answer = try await redis.run(Self.listFormats, keys: [RedisNames.formats], arguments: [])
        return Set((answer.array ?? []).compactMap { $0.text.flatMap { Int($0) } })
    }

    private static let listFormats = RedisScript(name: "list_formats", source: SnapshotFormatScripts.list)

    /// Fills Redis with all keys, then says that it has them all. One control plane at a time.
    private func publishAllKeys(marker: (Int) -> String) async throws {
        try await pool.withTransaction { connection in
            let lock = try await connection.query(
                "select pg_try_advisory_xact_lock($1) as taken",
                [.integer(AdvisoryLock.allKeys)]
            )
            guard try lock.first?.bool("taken") == true else { return }
            let started = MonotonicTime.now
            var fillings: [(standing: StandingReader, filling: StandingReader.Filling)] = []
            for standing in standings where writer.isWritten(standing.format) {
                fillings.append((standing, try await standing.beginFilling()))
            }
            try await publishKeys(.all, isAnnounced: false, on: connection)
            try await counters.writeAll(connection)
            try await writeQuotas(of: nil)
            for (standing, filling) in fillings {
                // Redis may have been flushed in between; then the next comparison starts over.
                guard try await standing.endFilling(filling, marker: marker(standing.format)) else { return }
            }
            metrics.published("all_keys", 1, since: started)
            log.info("all keys published", ["milliseconds": LogValue(started.elapsed.nanoseconds / 1_000_000)])
        }
    }
}

/// The outbox entries of one batch, by kind.
private struct OutboxBatch {
    struct Entries {
        var ids: [Int64] = []
        var subjects: Set<Int64> = []
    }
    var config = Entries()
    var keys = Entries()
    var users = Entries()
    var accounts = Entries()
    var unflagged = Entries()
    var recovered = Entries()
    var money = Entries()
    var quotas = Entries()

    init(_ rows: [PostgresRow]) throws {
        for row in rows {
            let (id, subject) = (try row.int("id"), try row.int("subject"))
            switch try row.text("kind") {
            case "key": keys.add(id, subject)
            case "user": users.add(id, subject)
            case "account": accounts.add(id, subject)
            case "account_flags": unflagged.add(id, subject)
            case "account_error": recovered.add(id, subject)
            case "money": money.add(id, subject)
            case "account_quota": quotas.add(id, subject)
            default: config.add(id, subject)
            }
        }
    }
}

extension OutboxBatch.Entries {
    fileprivate mutating func add(_ id: Int64, _ subject: Int64) {
        ids.append(id)
        subjects.insert(subject)
    }
}

extension AdvisoryLock {
    /// Held while all keys are published.
    fileprivate static let allKeys: Int64 = 0x7467_0010
}
