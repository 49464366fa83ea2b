package import Crypto
import Postgres
package import Reactor
package import Redis
import Snapshots
package import Telemetry

/// What connects the planes: publisher, settlers and the internal API, on connections of their own, so that a slow
/// report of the admin API never holds up billing.
///
/// Whoever owns it hands `publishCommitted` to `ChangeNotifier.onCommitted` and serves `internalAPI` on a listener.
package final class PlaneServices {
    package struct Configuration: Sendable {
        package var databaseURL: Secret
        package var redis: RedisConfiguration
        /// The key that signs snapshots, the same on all workers.
        package var snapshotKey: [UInt8]
        /// What workers must present to the internal API; any of them lets in.
        package var internalTokens: [Secret]
        /// Each has a connection and a share of the partitions; 0 leaves settlement to other control planes. Two, because
        /// the books are Postgres' work: while one waits for it, the other can read.
        package var settlers = 2
        package var sweep = ReservationSweeper.Pace()

        package init(
            databaseURL: Secret,
            redis: RedisConfiguration,
            snapshotKey: [UInt8],
            internalTokens: [Secret]
        ) {
            self.databaseURL = databaseURL
            self.redis = redis
            self.snapshotKey = snapshotKey
            self.internalTokens = internalTokens
        }
    }

    package let publisher: SnapshotPublisher
    package let internalAPI: InternalAPI
    private let pool: PostgresPool
    package let redis: RedisClient
    private let log: Log
    private let settlers: [UsageSettler]
    private let accountEvents: AccountEventConsumer
    private let sweeper: ReservationSweeper
    private let recovery: PolicyRecovery
    private let reconciler: CounterReconciler

    /// Connections beside the settlers': the outbox and what is read for it, healing, two for workers' questions, what
    /// workers say of accounts, recovery, and two for the reconciler.
    private static let otherConnections = 10

    package init(_ loop: EventLoop, _ configuration: Configuration, log: Log, metrics: MetricsRegistry) {
        self.log = log
        let pool = PostgresPool(
            loop,
            url: configuration.databaseURL.reveal(),
            maximum: Self.otherConnections + configuration.settlers
        )
        pool.onFailure = { log.warning("database connection failed", ["error": "\($0)"]) }
        self.pool = pool
        let redis = RedisClient(loop, configuration.redis)
        self.redis = redis
        let publisher = SnapshotPublisher(
            loop,
            pool,
            redis,
            SnapshotSigner(key: configuration.snapshotKey),
            log: log,
            metrics: metrics
        )
        self.publisher = publisher
        sweeper = ReservationSweeper(loop, redis, log: log, metrics: metrics, pace: configuration.sweep)
        recovery = PolicyRecovery(loop, pool, log: log)
        reconciler = CounterReconciler(loop, pool, redis, publisher, log: log, metrics: metrics)
        let settlementMetrics = SettlementMetrics(metrics, settlers: configuration.settlers)
        settlers = (0..<configuration.settlers).map { number in
            UsageSettler(loop, pool, redis, log: log, metrics: settlementMetrics, number: number)
        }
        accountEvents = AccountEventConsumer(loop, pool, redis, log: log, metrics: metrics) {
            try await publisher.publishCommitted()
        }
        internalAPI = InternalAPI(
            tokens: configuration.internalTokens,
            publisher,
            pool,
            redis,
            RecordSettlement(log: log, metrics: settlementMetrics),
            log: log
        )
    }

    /// Whether Redis can be reached now.
    package var isRedisConnected: Bool { redis.isConnected }

    /// Publishes what has been committed; returns when it stands in Redis.
    package func publishCommitted() async throws { try await publisher.publishCommitted() }

    /// Starts everything; the database must be migrated. Neither it nor Redis need be there yet.
    package func start() {
        redis.onConnect = { [publisher, log] in
            log.info("Redis connected")
            publisher.redisConnected()
        }
        redis.onDisconnect = { [log] in log.warning("Redis connection lost") }
        redis.start()
        publisher.start()
        for settler in settlers { settler.start() }
        accountEvents.start()
        sweeper.start()
        recovery.start()
        reconciler.start()
    }

    /// Ends in order: a batch that is being settled is finished first. The internal API must not be served any more.
    package func stop() async {
        publisher.stop()
        await accountEvents.stop()
        sweeper.stop()
        recovery.stop()
        reconciler.stop()
        for settler in settlers { await settler.stop() }
        redis.close()
        pool.close()
    }
}
