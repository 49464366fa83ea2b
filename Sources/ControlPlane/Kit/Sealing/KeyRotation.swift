package import Crypto
import Formats
package import Reactor
package import Redis
import Snapshots
package import Telemetry

/// Carries a change of the master key through: tells the others which keys are here, seals with the first one that all of
/// them can open, and has everything that is sealed otherwise brought under it.
package final class KeyRotation {
    private static let interval = Duration.seconds(5)
    /// How often what is sealed is looked through though the key has not changed: another control plane may have sealed
    /// with an older one in the moment of the change.
    private static let passInterval = Duration.seconds(600)

    private let loop: EventLoop
    private let redis: RedisClient
    private let keys: MasterKeyRing
    private let resealer: Resealer
    private let log: Log
    private let lacking: Gauge
    private let nodeID = "control-" + Hex.encode(SecureRandom.bytes(6))
    private let startedAt = WallClock.milliseconds
    private var task: PeriodicTask?
    private var looked: String?
    private var passedAt: MonotonicTime?

    package init(
        _ loop: EventLoop,
        _ redis: RedisClient,
        _ keys: MasterKeyRing,
        _ resealer: Resealer,
        log: Log,
        metrics: MetricsRegistry
    ) {
        self.loop = loop
        self.redis = redis
        self.keys = keys
        self.resealer = resealer
        self.log = log
        lacking = metrics.gauge(
            "tollgate_nodes_without_master_key",
            "Processes that cannot open secrets with the master key that shall seal"
        )
        // Until it is known what the others have: a key that is being replaced stands last, and all have that.
        if let oldest = keys.ids.last { keys.seal(with: oldest) }
    }

    package func start() {
        task = PeriodicTask(
            loop,
            every: Self.interval,
            first: .milliseconds(100),
            log: log,
            failure: "master keys could not be compared, will be tried again"
        ) { [weak self] in try await self?.run() }
    }

    package func stop() async {
        task = nil
        for command in NodeSign.withdrawal(of: nodeID) { _ = try? await redis.send(RedisCommand(command)) }
    }

    /// One look at the others, and what follows from it.
    ///
    /// - Throws: `RedisError`, `PostgresError`.
    package func run() async throws {
        guard redis.isConnected else { return }
        let sign = NodeSign(id: nodeID, kind: "control", startedAt: startedAt, masterKeys: keys.ids)
        for command in sign.commands { _ = try await redis.send(RedisCommand(command)) }
        let nodes = try await LiveNodes.read(redis)
        lacking.set(nodes.count { !$0.masterKeys.contains(keys.ids[0]) })
        let chosen = SealingKeyChoice.choose(keys.ids, nodes)
        if let chosen { keys.seal(with: chosen) }
        let isNew = looked != keys.currentID
        if isNew {
            looked = keys.currentID
            log.info("master key that seals", ["key": .text(keys.currentID), "nodes": LogValue(nodes.count)])
        }
        guard isNew || passedAt.map({ $0.elapsed >= Self.passInterval }) ?? true else { return }
        passedAt = nil
        let outcome = try await resealer.run()
        passedAt = .now
        guard outcome != Resealer.Outcome() else { return }
        log.info(
            "secrets brought under the master key that seals",
            ["resealed": LogValue(outcome.resealed), "unreadable": LogValue(outcome.unreadable)]
        )
    }
}
