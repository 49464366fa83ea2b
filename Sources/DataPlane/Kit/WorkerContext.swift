import Crypto
package import Formats
package import HTTPFetching
package import Reactor
package import Redis
import Snapshots
package import Telemetry

/// How often a worker does what it does by the clock.
package struct Pace: Sendable {
    /// A stream silent for this long gets a keep-alive.
    package var firstSilence = Duration.seconds(10)
    package var furtherSilence = Duration.seconds(15)
    /// How often streams are looked at for silence.
    package var silenceWatch = Duration.seconds(1)
    package var leaseRenewal = Leases.renewal
    /// How often a stream under way notes what it has cost.
    package var checkpoint = Duration.seconds(5)
    package var epochWatch = UsageOutbox.watchInterval
    package init() {}
}

/// All that the calls of one loop share.
package final class WorkerContext {
    /// Bytes of a body beyond which it is read and written off the loop, or every stream there would stutter.
    static let inlineLimit = 256 * 1024

    package let loop: EventLoop
    package let redis: RedisClient
    package let client: HTTPClient
    /// For accounts with a proxy.
    package let proxied: CurlClient
    package let keys: KeyStore
    package let admission: AdmissionStore
    package let slots: SlotStore
    package let counters: CounterRebuild
    package let sessions: SessionStore
    package let windows: WindowSampler
    package let waits: WaitRoom
    package let waitMetrics: WaitMetrics
    package let candidates: CandidateSets
    package let guards: GroupGuards
    package let news: AccountNews
    package let accountMetrics: AccountMetrics
    package let traces: TraceStore
    package let outbox: UsageOutbox
    package let checkpointInterval: Duration
    package let leases: LeaseKeeper
    package let credentials: CredentialStore
    package let internalAPI: InternalAPI
    package let tokens: TokenDesk
    package let parser = JSONParser()
    package let silence: SilenceWatch
    /// Shared by all loops of the worker.
    package let journal: RecordJournal?
    package let log: Log
    package let metrics: GatewayMetrics
    /// The configuration for calls that begin now; each keeps the one it began with.
    package var config: GatewayConfig? {
        didSet {
            candidates.forget()
            traces.memory = config?.settings.traceMemory ?? 0
        }
    }
    package var requestIDs = RequestIDs()
    package let drains = DrainDesk()
    /// What events that have not arrived whole may take together; nil for no bound.
    package var eventBudget: ByteBudget?
    /// Calls to an upstream that have not ended, those whose callers are gone included.
    package var openCalls = 0

    package init(
        loop: EventLoop,
        redis: RedisClient,
        client: HTTPClient,
        proxied: CurlClient,
        keys: KeyStore,
        credentials: CredentialStore,
        internalAPI: InternalAPI,
        log: Log,
        metrics: GatewayMetrics,
        journal: RecordJournal? = nil,
        pace: Pace = Pace()
    ) {
        self.loop = loop
        self.redis = redis
        self.client = client
        self.proxied = proxied
        self.keys = keys
        self.credentials = credentials
        self.internalAPI = internalAPI
        self.journal = journal
        self.log = log
        self.metrics = metrics
        let epoch = Hex.encode(SecureRandom.bytes(8))
        admission = AdmissionStore(redis, proposedEpoch: epoch)
        let counters = CounterRebuild(internalAPI)
        self.counters = counters
        slots = SlotStore(redis) { await counters.rebuild($0) }
        candidates = CandidateSets(slots)
        windows = WindowSampler(redis, log: log)
        sessions = SessionStore(redis)
        waitMetrics = WaitMetrics(metrics.registry)
        waits = WaitRoom(loop, redis, waitMetrics)
        checkpointInterval = pace.checkpoint
        guards = GroupGuards(redis)
        traces = TraceStore(redis)
        accountMetrics = AccountMetrics(metrics.registry)
        tokens = TokenDesk(
            loop,
            credentials,
            internalAPI,
            codec: keys.codec,
            log: log,
            renewals: accountMetrics.tokenQuestions
        )
        news = AccountNews(redis, slots, accountMetrics)
        outbox = UsageOutbox(
            loop,
            redis,
            proposedEpoch: epoch,
            sink: internalAPI,
            journal: journal,
            watchInterval: pace.epochWatch
        )
        leases = LeaseKeeper(loop, redis, interval: pace.leaseRenewal)
        silence = SilenceWatch(loop, pace)
        outbox.onRetry = { count in metrics.recordRetries.add(count) }
        outbox.onPosted = { count in metrics.recordsPosted.add(count) }
        outbox.onForgotten = { [leases] partition in leases.reserveAgain(in: partition) }
        outbox.livePartitions = { [leases] in leases.partitions }
        admission.onEpoch = { [outbox] partition, epoch in outbox.noteEpoch(partition, epoch) }
        redis.onConnect = { [unowned admission, unowned outbox, unowned redis, unowned traces, unowned sessions] in
            // A script that has to be loaded first comes behind what was sent after it: a settlement must not.
            for script in CallScripts.all + SessionScripts.all {
                redis.send(RedisCommand(["SCRIPT", "LOAD", script.source])) { _ in }
            }
            admission.redisDidConnect()
            outbox.redisDidConnect()
            traces.forget()
            sessions.forget()
        }
        redis.onDisconnect = { [unowned outbox] in outbox.redisDidDisconnect() }
    }

    // The client may live on, and what it calls refers to what goes now.
    deinit {
        redis.onConnect = nil
        redis.onDisconnect = nil
    }

    /// Ends what runs by itself and all connections; calls must have ended before.
    package func close() {
        leases.stop()
        silence.stop()
        outbox.stop()
        client.close()
        proxied.close()
        internalAPI.close()
        redis.close()
    }
}
