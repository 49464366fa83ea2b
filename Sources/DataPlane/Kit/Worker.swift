import Crypto
import Domain
import Formats
import Glibc
import HTTPFetching
import HTTPMessages
import HTTPServing
package import Reactor
import Redis
import Service
import Snapshots
import Synchronization
import TLS
package import Telemetry

/// A data-plane process: serving loops on threads of their own, and a main loop for the configuration, the probes and
/// the end.
package final class Worker {
    private static let heartbeat = Duration.seconds(1)
    private static let announceFormat = RedisScript(
        name: "announce_format",
        source: SnapshotFormatScripts.announce
    )
    private static let startingBeat = Duration.milliseconds(20)

    private let config: WorkerConfig
    private let loop: EventLoop
    private let log: Log
    private let metrics: GatewayMetrics
    private let health = WorkerHealth()
    private let probes: Probes
    private let codec: SnapshotCodec
    private let credentials: CredentialStore
    private var threads: [LoopThread] = []
    private var servers: [ServingLoop] = []
    private var feed: SnapshotFeed?
    private var redis: RedisClient?
    private var opsServer: HTTPServer?
    private var controlPlane: InternalAPI?
    private var timer: LoopTimer?
    private var signals: [SignalWatcher] = []
    private var isStopping = false
    /// Whether the worker ended because it could not serve.
    package private(set) var hasFailed = false
    private let nodeID = "worker-" + Hex.encode(SecureRandom.bytes(6))
    private let startedAt = WallClock.milliseconds

    /// - Precondition: `config` was read without faults.
    package init(_ config: WorkerConfig, _ loop: EventLoop, _ log: Log) throws {
        guard let keys = config.masterKeys else {
            throw ConfigFault(key: "TOLLGATE_MASTER_KEYS", expected: "is required")
        }
        self.config = config
        self.loop = loop
        self.log = log
        let registry = MetricsRegistry()
        metrics = GatewayMetrics(registry)
        probes = Probes(health, registry)
        let memory = ("tollgate_memory_bytes", "What is taken of a budget.")
        for (of, budget) in [("bodies", config.bodyBudget), ("events", config.eventBudget)] {
            registry.computed(memory.0, memory.1, ["of": of]) { Double(budget.used) }
        }
        registry.computed("tollgate_snapshot_revision", "Revision of the configuration that is served.") {
            [health] in Double(health.current.version?.revision ?? 0)
        }
        registry.computed(
            "tollgate_snapshot_age_seconds",
            "Since the configuration was last compared with Redis; -1 before the first time."
        ) { [health] in Double(health.current.snapshotAgeSeconds ?? -1) }
        codec = SnapshotCodec(SnapshotSigner(key: config.snapshotKey))
        let credentials = CredentialStore(keys)
        self.credentials = credentials
        registry.computed(
            "tollgate_credentials_unreadable",
            "Accounts whose newest credentials no master key here opens: the last good ones stay."
        ) { Double(credentials.unreadable) }
    }

    // MARK: Start

    /// Starts everything; serving begins once the first configuration is there.
    package func start() throws {
        guard let configuration = config.redis, let target = config.internalAPI else { return }
        let journal = try config.journalFolder.map { try RecordJournal(folder: $0, log: log) }
        if let journal {
            metrics.registry.computed("tollgate_journal_records", "Usage records that only the journal has.") {
                Double(journal.openRecords)
            }
        }
        let redis = RedisClient(loop, configuration)
        // Probes must not call a worker ready for another beat when it no longer is.
        redis.onDisconnect = { [health] in health.update { $0.isRedisUp = false } }
        redis.start()
        self.redis = redis
        var options = HTTPClient.Options()
        options.authorityFile = config.upstreamAuthorities
        let client = try HTTPClient(loop, options: options)
        controlPlane = InternalAPI(client, target, token: config.internalToken)
        try startOps()
        for number in 0..<config.loops {
            let thread = try LoopThread(name: "serve-\(number)")
            threads.append(thread)
            servers.append(ServingLoop(thread.loop))
        }
        for server in servers {
            server.start(config, codecKey: config.snapshotKey, credentials, log, metrics, probes, journal)
        }
        startFeed(redis, configuration)
        for number in [SIGTERM, SIGINT] {
            signals.append(SignalWatcher(loop, number) { [weak self] in self?.stop() })
        }
        let timer = LoopTimer(loop) { [weak self] in self?.beat() }
        timer.start(after: .zero, repeating: Self.heartbeat)
        self.timer = timer
    }

    private func startOps() throws {
        guard let address = config.opsListen else { return }
        let probes = probes
        let server = HTTPServer(loop, limits: HTTPServerLimits()) { exchange in
            switch RouteTable.match(method: exchange.request.method, path: exchange.request.path) {
            case .found(let operation) where [.live, .ready, .metrics].contains(operation):
                probes.answer(operation, exchange)
            default:
                exchange.respond(HTTPResponseHead(status: 404), body: [])
            }
        }
        _ = try server.listen(on: address)
        opsServer = server
    }

    private func startFeed(_ redis: RedisClient, _ configuration: RedisConfiguration) {
        let servers = servers
        let health = health
        let feed = SnapshotFeed(
            loop,
            redis,
            configuration,
            codec: codec,
            credentials: credentials,
            log: log,
            handlers: SnapshotFeed.Handlers(
                onConfig: { [weak self] config in
                    for server in servers { server.use(config) }
                    health.update { $0.version = config.version }
                    self?.listen()
                },
                onKeyChanged: { hash in for server in servers { server.forgetKey(hash) } },
                onWatermark: { partition, epoch, id in
                    for server in servers { server.reached(partition, epoch, id) }
                },
                onFlagsCleared: { account in for server in servers { server.forgetFlags(of: account) } },
                onSlotFree: { slots in for server in servers { server.wake(slots) } }
            )
        )
        feed.start()
        self.feed = feed
    }

    /// Callers are let in when there is something to enforce. Called again for every configuration; listens once.
    private func listen() {
        for server in servers { server.listen(config, log) }
    }

    // MARK: While it runs

    private func beat() {
        let isUp = redis?.isConnected ?? false
        let age = feed?.checkedAt.map { Int($0.elapsed.components.seconds) }
        let isListening = servers.allSatisfy(\.listening.value)
        health.update { state in
            state.isRedisUp = isUp
            state.isListening = isListening
            state.snapshotAgeSeconds = age
        }
        if servers.contains(where: \.failed.value), !isStopping {
            hasFailed = true
            return stop()
        }
        // Whoever waits for the worker to become ready should not wait for the next beat.
        if !(isUp && isListening) { timer?.start(after: Self.startingBeat, repeating: Self.heartbeat) }
        loop.spawn { [weak self] in
            guard let self, let controlPlane else { return }
            let isAlive = await controlPlane.isAlive()
            health.update { $0.isControlPlaneUp = isAlive }
        }
        guard isUp, let redis else { return }
        // Also before there is a configuration: perhaps nobody has needed one in this format for long.
        redis.run(Self.announceFormat, keys: [RedisNames.formats], arguments: [String(SnapshotFormat.current)]) { _ in }
        guard let version = feed?.current?.version else { return }
        let sign = NodeSign(
            id: nodeID,
            kind: "worker",
            startedAt: startedAt,
            snapshot: "\(version)",
            masterKeys: config.masterKeys?.ids ?? []
        )
        for command in sign.commands { redis.send(RedisCommand(command)) { _ in } }
    }

    // MARK: End

    /// Ends at once: something that serving needs could not be set up.
    package func couldNotStart(_ error: any Error) {
        log.error("could not start", ["error": "\(error)"])
        hasFailed = true
        loop.stop()
    }

    /// Drains: no new connections, streams finish within the setting's time, records reach Redis, then the loop ends.
    package func stop() {
        guard !isStopping else { return }
        isStopping = true
        health.update { $0.isDraining = true }
        log.info("draining")
        let limit = feed?.current?.settings.shutdownDrain ?? .seconds(30)
        loop.spawn { [weak self] in
            guard let self else { return }
            for server in servers { server.beginDrain(limit) }
            for server in servers { await server.drained.wait(on: loop) }
            for thread in threads { thread.stopAndJoin() }
            feed?.stop()
            timer = nil
            for command in NodeSign.withdrawal(of: nodeID) { _ = try? await redis?.send(RedisCommand(command)) }
            redis?.close()
            log.info("stopped")
            loop.stop()
        }
    }
}
