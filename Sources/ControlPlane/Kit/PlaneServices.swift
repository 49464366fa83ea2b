package import Crypto
import Formats
import HTTPServing
package import Postgres
package import Reactor
package import Redis
package import Service
import Snapshots
package import Telemetry

/// The settings of what connects the planes.
package struct PlaneConfiguration: Sendable {
    package var redis: RedisConfiguration
    /// Where workers reach the internal API.
    package var internalListen: SocketAddress
    /// What workers must present there.
    package var internalTokens: [Secret]
    /// The key that signs snapshots, the same on all workers.
    package var snapshotKey: [UInt8]
    /// Settlers of this process, each with a connection and a share of the partitions.
    package var settlers: Int

    package init(
        redis: RedisConfiguration, internalListen: SocketAddress, internalTokens: [Secret], snapshotKey: [UInt8],
        settlers: Int = 1
    ) {
        self.redis = redis
        self.internalListen = internalListen
        self.internalTokens = internalTokens
        self.snapshotKey = snapshotKey
        self.settlers = settlers
    }

    /// Reads:
    /// - `TOLLGATE_REDIS_URL` (required, also by file): `redis://…` or `rediss://…`
    /// - `TOLLGATE_REDIS_CA_FILE`: further trust anchors in PEM
    /// - `TOLLGATE_INTERNAL_LISTEN` (127.0.0.1:8082): address of the internal API
    /// - `TOLLGATE_INTERNAL_TOKEN` (required, also by file): one or two tokens, separated by commas
    /// - `TOLLGATE_SNAPSHOT_KEY` (required, also by file): base64 of at least 32 bytes
    /// - `TOLLGATE_SETTLERS` (1): 0 leaves settlement to other control planes
    ///
    /// - Returns: nil after faults, which the reader has noted.
    package init?(_ reader: inout ConfigReader) {
        let before = reader.faults.count
        let url = reader.secret("TOLLGATE_REDIS_URL", "the URL of Redis")
        var redis = RedisConfiguration(url: url)
        if redis == nil, !url.isEmpty { reader.fault("TOLLGATE_REDIS_URL", "must be a URL, redis:// or rediss://") }
        redis?.authorityFile = reader.optional("TOLLGATE_REDIS_CA_FILE")
        let listen = reader.address("TOLLGATE_INTERNAL_LISTEN", default: "127.0.0.1:8082")
        let tokens = reader.secret("TOLLGATE_INTERNAL_TOKEN", "what workers present to the internal API")
            .split(separator: ",").map { Self.trimmed($0) }
        if tokens.contains(where: { $0.utf8.count < 16 }) {
            reader.fault("TOLLGATE_INTERNAL_TOKEN", "must be one or more tokens of at least 16 characters")
        }
        let keyText = reader.secret("TOLLGATE_SNAPSHOT_KEY", "base64 of at least 32 bytes")
        let key = Base64.decode(Self.trimmed(keyText[...]))
        if !keyText.isEmpty, (key?.count ?? 0) < 32 {
            reader.fault("TOLLGATE_SNAPSHOT_KEY", "must be base64 of at least 32 bytes")
        }
        let settlers = reader.integer("TOLLGATE_SETTLERS", default: 1, in: 0...8)
        guard reader.faults.count == before, let redis, let listen, let key else { return nil }
        self.init(
            redis: redis, internalListen: listen, internalTokens: tokens.map { Secret(String($0)) }, snapshotKey: key,
            settlers: settlers
        )
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while text.first?.isWhitespace == true { text = text.dropFirst() }
        while text.last?.isWhitespace == true { text = text.dropLast() }
        return text
    }
}

/// What connects the planes: publisher, settlers, housekeeping and the internal API.
package final class PlaneServices {
    private let loop: EventLoop
    private let configuration: PlaneConfiguration
    private let redis: RedisClient
    private let log: Log
    package let publisher: SnapshotPublisher
    private let settlers: [UsageSettler]
    private let housekeeping: Housekeeping
    private let server: HTTPServer
    /// Where the internal API listens, once started.
    package private(set) var internalAddress: SocketAddress?

    /// - Parameter pool: of the same loop; each settler keeps one of its connections.
    package init(
        _ loop: EventLoop, _ pool: PostgresPool, _ configuration: PlaneConfiguration, log: Log,
        metrics: MetricsRegistry
    ) {
        self.loop = loop
        self.configuration = configuration
        self.log = log
        let redis = RedisClient(loop, configuration.redis)
        self.redis = redis
        publisher = SnapshotPublisher(
            loop, pool, redis, SnapshotSigner(key: configuration.snapshotKey), log: log, metrics: metrics
        )
        let settlementMetrics = SettlementMetrics(metrics)
        settlers = (0..<configuration.settlers).map { _ in
            UsageSettler(loop, pool, redis, log: log, metrics: settlementMetrics)
        }
        housekeeping = Housekeeping(loop, pool, log: log)
        let api = InternalAPI(
            tokens: configuration.internalTokens, publisher, pool, redis,
            RecordSettlement(log: log, metrics: settlementMetrics), log: log
        )
        var limits = HTTPServerLimits()
        limits.bodyBytes = 32 << 20
        server = HTTPServer(loop, limits: limits) { await api.handle($0) }
    }

    /// Whether Redis can be reached now.
    package var isRedisConnected: Bool { redis.isConnected }

    /// Publishes what has been committed; for `ChangeNotifier.onCommitted`.
    package func publishCommitted() async throws { try await publisher.publishCommitted() }

    /// - Throws: `UVError` when the address cannot be listened on.
    package func start() throws {
        internalAddress = try server.listen(on: configuration.internalListen)
        redis.onConnect = { [publisher, log] in
            log.info("Redis connected")
            publisher.redisConnected()
        }
        redis.onDisconnect = { [log] in log.warning("Redis connection lost") }
        redis.start()
        publisher.start()
        for settler in settlers { settler.start() }
        housekeeping.start()
    }

    /// Ends in order: what is being published or settled is finished first.
    package func stop() async {
        _ = await server.drain(deadline: .seconds(5))
        housekeeping.stop()
        for settler in settlers { await settler.stop() }
        publisher.stop()
        redis.close()
    }
}
