import Crypto
package import Decisions
package import Domain
package import Formats
package import HTTPFetching
package import Reactor
package import Redis
import Snapshots
package import Telemetry

/// All that the calls of one loop share.
package final class WorkerContext {
    package let loop: EventLoop
    package let redis: RedisClient
    package let client: HTTPClient
    package let keys: KeyStore
    package let admission: AdmissionStore
    package let slots: SlotStore
    package let outbox: UsageOutbox
    package let leases: LeaseKeeper
    package let credentials: CredentialStore
    package let internalAPI: InternalAPI
    package let parser = JSONParser()
    package let silence: SilenceWatch
    package let log: Log
    package let metrics: GatewayMetrics
    /// The configuration for calls that begin now; each keeps the one it began with.
    package var config: GatewayConfig?
    package var requestIDs = RequestIDs()
    package var trustedProxies: [AddressRange] = []
    /// Answers being read to their end for callers that are gone, by key.
    package var drains: [KeyID: Int] = [:]
    /// When each account was last chosen, in nanoseconds of the monotonic clock.
    package var lastUsed: [AccountID: UInt64] = [:]

    package init(
        loop: EventLoop, redis: RedisClient, client: HTTPClient, keys: KeyStore, credentials: CredentialStore,
        internalAPI: InternalAPI, log: Log, metrics: GatewayMetrics
    ) {
        self.loop = loop
        self.redis = redis
        self.client = client
        self.keys = keys
        self.credentials = credentials
        self.internalAPI = internalAPI
        self.log = log
        self.metrics = metrics
        let epoch = Hex.encode(SecureRandom.bytes(8))
        admission = AdmissionStore(redis, proposedEpoch: epoch)
        slots = SlotStore(redis)
        outbox = UsageOutbox(loop, redis, proposedEpoch: epoch)
        leases = LeaseKeeper(loop, redis)
        silence = SilenceWatch(loop)
        outbox.onRetry = { count in metrics.recordRetries.add(count) }
        admission.onEpoch = { [outbox] partition, epoch in outbox.noteEpoch(partition, epoch) }
    }
}
