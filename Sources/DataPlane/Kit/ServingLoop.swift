import Crypto
import Decisions
import Domain
import HTTPFetching
import HTTPServing
import Reactor
import Redis
import Snapshots
import Synchronization
import TLS
import Telemetry

/// One serving thread, seen from the main loop: everything it is told goes through its loop's queue.
final class ServingLoop: @unchecked Sendable {
    /// Tells the main loop when the drain has ended.
    final class Flag: Sendable {
        private let isSet = Mutex(false)
        func set() { isSet.withLock { $0 = true } }
        var value: Bool { isSet.withLock { $0 } }

        /// Looked at every 20 ms: it happens once in the life of a process.
        func wait(on loop: EventLoop) async {
            while !isSet.withLock({ $0 }) { await loop.sleep(.milliseconds(20)) }
        }
    }

    private let loop: EventLoop
    let drained = Flag()
    /// Set once callers are let in on every address.
    let listening = Flag()
    /// Set when this loop cannot serve; why is in the log.
    let failed = Flag()
    // Touched on the serving thread only; hence `@unchecked`.
    private var context: WorkerContext?
    private var server: HTTPServer?
    private var isListening = false
    private var delayTimer: LoopTimer?
    private static let delaySample = Duration.seconds(1)

    init(_ loop: EventLoop) { self.loop = loop }

    func start(
        _ config: WorkerConfig,
        codecKey: [UInt8],
        _ credentials: CredentialStore,
        _ log: Log,
        _ metrics: GatewayMetrics,
        _ probes: Probes,
        _ journal: RecordJournal?
    ) {
        loop.execute { [self] in
            do {
                try build(config, codecKey, credentials, log, metrics, probes, journal)
            } catch {
                log.error("serving loop could not start", ["error": "\(error)"])
                failed.set()
            }
        }
    }

    private func build(
        _ config: WorkerConfig,
        _ codecKey: [UInt8],
        _ credentials: CredentialStore,
        _ log: Log,
        _ metrics: GatewayMetrics,
        _ probes: Probes,
        _ journal: RecordJournal?
    ) throws {
        guard let configuration = config.redis, let target = config.internalAPI else { return }
        let redis = RedisClient(loop, configuration)
        redis.start()
        var options = HTTPClient.Options()
        options.authorityFile = config.upstreamAuthorities
        // The operator's own address, not an admin's.
        let internalAPI = InternalAPI(try HTTPClient(loop, options: options), target, token: config.internalToken)
        options.refuses = { ForbiddenAddresses.contains($0.bytes) }
        let client = try HTTPClient(loop, options: options)
        let codec = SnapshotCodec(SnapshotSigner(key: codecKey))
        let context = WorkerContext(
            loop: loop,
            redis: redis,
            client: client,
            proxied: try CurlClient(loop, options: options),
            keys: KeyStore(redis, source: internalAPI, codec: codec),
            credentials: credentials,
            internalAPI: internalAPI,
            log: log,
            metrics: metrics,
            journal: journal
        )
        // Whichever loop is first has them: they are handed out once.
        context.outbox.replay()
        context.eventBudget = config.eventBudget
        let handler = GatewayHandler(context, probes)
        server = HTTPServer(loop, limits: HTTPServerLimits()) { exchange in await handler.handle(exchange) }
        server?.bodyBudget = config.bodyBudget
        server?.faultAnswer = FaultAnswers(context).answer
        self.context = context
        watchDelay(metrics.loopDelay)
    }

    /// Everything that this loop serves waits as long as its timers do.
    private func watchDelay(_ histogram: Histogram) {
        var due = MonotonicTime.now + Self.delaySample
        let timer = LoopTimer(loop) {
            let now = MonotonicTime.now
            histogram.record(microseconds: max(now - due, .zero).wholeMicroseconds)
            due = now + Self.delaySample
        }
        timer.start(after: Self.delaySample, repeating: Self.delaySample)
        delayTimer = timer
    }

    func use(_ config: GatewayConfig) {
        loop.execute { [self] in
            context?.config = config
            server?.limits.bodyBytes = config.settings.bodyLimit
        }
    }

    /// A slot of this set has become free, and somebody waits for one, maybe here.
    func wake(_ slots: String) { loop.execute { [self] in context?.waits.wake(slots) } }

    func forgetKey(_ hash: String) { loop.execute { [self] in context?.keys.forget(hash) } }

    func forgetFlags(of account: AccountID?) { loop.execute { [self] in context?.slots.forgetHints(of: account) } }

    func reached(_ partition: Partition, _ epoch: String, _ id: StreamID) {
        loop.execute { [self] in context?.outbox.reached(partition, epoch: epoch, id) }
    }

    func listen(_ config: WorkerConfig, _ log: Log) {
        loop.execute { [self] in
            guard !isListening, let server else { return }
            isListening = true
            do {
                if let address = config.listen { _ = try server.listen(on: address, sharesPort: true) }
                if let address = config.tlsListen {
                    let tls = try TLSContext.server(
                        certificateChainFile: config.tlsCertificate,
                        privateKeyFile: config.tlsKey,
                        alpn: ["h2", "http/1.1"]
                    )
                    _ = try server.listen(on: address, sharesPort: true, tls: tls)
                }
                listening.set()
            } catch {
                log.error("could not listen", ["error": "\(error)"])
                failed.set()
            }
        }
    }

    /// Ends in order: streams finish or are cut at the limit, answers that are read on for callers that have gone end by
    /// then too, and what is unsettled goes to Redis while it is there.
    func beginDrain(_ limit: Duration) {
        loop.execute { [self] in
            loop.spawn { [self] in
                if let context, let server { await WorkerDrain.run(context, server, limit) }
                context?.close()
                delayTimer = nil
                drained.set()
            }
        }
    }
}
