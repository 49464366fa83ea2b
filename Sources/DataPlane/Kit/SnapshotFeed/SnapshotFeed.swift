package import Domain
package import Reactor
package import Redis
package import Snapshots
package import Telemetry

/// Keeps a worker's view of the configuration current: announced changes at once, missed ones within seconds.
package final class SnapshotFeed {
    package struct Handlers {
        package var onConfig: (GatewayConfig) -> Void
        package var onKeyChanged: (String) -> Void
        package var onWatermark: (Partition, String, StreamID) -> Void
        /// Of this account, or of any where it is not known whose.
        package var onFlagsCleared: (AccountID?) -> Void
        /// A slot of this set has become free, and somebody waits for one.
        package var onSlotFree: (String) -> Void

        package init(
            onConfig: @escaping (GatewayConfig) -> Void,
            onKeyChanged: @escaping (String) -> Void,
            onWatermark: @escaping (Partition, String, StreamID) -> Void,
            onFlagsCleared: @escaping (AccountID?) -> Void = { _ in },
            onSlotFree: @escaping (String) -> Void = { _ in }
        ) {
            self.onConfig = onConfig
            self.onKeyChanged = onKeyChanged
            self.onWatermark = onWatermark
            self.onFlagsCleared = onFlagsCleared
            self.onSlotFree = onSlotFree
        }
    }

    private static let pollInterval = Duration.seconds(2)
    /// A text begins with its signature; comparing that tells whether anything changed.
    private static let signatureLength = 64

    private let loop: EventLoop
    private let redis: RedisClient
    private let subscription: RedisSubscription
    private let codec: SnapshotCodec
    private let credentials: CredentialStore
    private let log: Log
    private let handlers: Handlers
    private let inbox: AnnouncementInbox
    private var pollTimer: LoopTimer?
    private var isLoading = false
    private var mustReload = false
    /// Announcements may have been missed: credentials are read again, also those that are known.
    private var mustReloadCredentials = true
    private var loadedSignature: [UInt8] = []
    private var refusedSignature: [UInt8] = []
    package private(set) var current: GatewayConfig?
    /// When the configuration was last compared with Redis.
    package private(set) var checkedAt: MonotonicTime?

    package init(
        _ loop: EventLoop,
        _ redis: RedisClient,
        _ configuration: RedisConfiguration,
        codec: SnapshotCodec,
        credentials: CredentialStore,
        log: Log,
        handlers: Handlers
    ) {
        self.loop = loop
        self.redis = redis
        self.codec = codec
        self.credentials = credentials
        self.log = log
        self.handlers = handlers
        let inbox = AnnouncementInbox()
        self.inbox = inbox
        let channels = [RedisNames.announcements, WaitLine.channel]
        subscription = RedisSubscription(loop, configuration, channels: channels) { channel, message in
            if channel == WaitLine.channel {
                handlers.onSlotFree(String(decoding: message, as: UTF8.self))
            } else {
                inbox.receive?(message)
            }
        }
    }

    package func start() {
        inbox.receive = { [weak self] message in self?.receive(message) }
        subscription.onSubscribed = { [weak self] in
            guard let self else { return }
            mustReloadCredentials = true
            handlers.onFlagsCleared(nil)
            reload(isForced: true)
        }
        subscription.start()
        let timer = LoopTimer(loop) { [weak self] in self?.reload(isForced: false) }
        timer.start(after: .zero, repeating: Self.pollInterval)
        pollTimer = timer
    }

    package func stop() {
        pollTimer = nil
        subscription.close()
    }

    private func receive(_ message: [UInt8]) {
        switch Announcement(String(decoding: message, as: UTF8.self)) {
        case .config: reload(isForced: true)
        case .key(let hash): handlers.onKeyChanged(hash)
        case .credentials(let account, _): loop.spawn { [weak self] in await self?.loadCredentials(of: [account]) }
        case .flagsCleared(let account): handlers.onFlagsCleared(account)
        case .watermark(let partition, let epoch, let id):
            if let id = StreamID(id) { handlers.onWatermark(partition, epoch, id) }
        case nil: break
        }
    }

    /// Loads the configuration if it has changed: one load at a time, and another if something came in meanwhile.
    private func reload(isForced: Bool) {
        guard !isLoading else {
            mustReload = mustReload || isForced
            return
        }
        guard redis.isConnected else { return }
        isLoading = true
        loop.spawn { [weak self] in
            await self?.load()
            guard let self else { return }
            isLoading = false
            if mustReload {
                mustReload = false
                reload(isForced: true)
            }
        }
    }

    private func load() async {
        do {
            let head = try await redis.send(
                RedisCommand(["GETRANGE", RedisNames.config, "0", String(Self.signatureLength - 1)])
            )
            guard case .string(let signature) = head, signature.count == Self.signatureLength else { return }
            var newer: ConfigSnapshot?
            if signature != refusedSignature, signature != loadedSignature {
                guard case .string(let text) = try await redis.send(RedisCommand(["GET", RedisNames.config])) else {
                    return
                }
                newer = decode(text)
            }
            checkedAt = .now
            // Before the configuration that names them: a call must find the credentials of every account it sees.
            let accounts = ((newer ?? current?.snapshot)?.accounts ?? []).map(\.id)
            let loadsAll = mustReloadCredentials
            mustReloadCredentials = false
            if await !loadCredentials(of: accounts.filter { loadsAll || credentials.version(of: $0) == nil }) {
                mustReloadCredentials = loadsAll || mustReloadCredentials
            }
            if let newer { use(newer, signature) }
        } catch {
            log.warning("configuration could not be read from Redis", ["error": "\(error)"])
        }
    }

    /// One that is older, broken or forged leaves the last good one in place. An older one is not looked at again; a
    /// broken one is, because it is repaired under the same signature.
    private func decode(_ text: [UInt8]) -> ConfigSnapshot? {
        do {
            let snapshot = try codec.decodeConfig(text)
            if let current, snapshot.version < current.version {
                refusedSignature = Array(text.prefix(Self.signatureLength))
                log.warning("older configuration refused", ["version": "\(snapshot.version)"])
            } else {
                return snapshot
            }
        } catch {
            log.error("configuration refused, the last good one stays", ["error": "\(error)"])
        }
        return nil
    }

    private func use(_ snapshot: ConfigSnapshot, _ signature: [UInt8]) {
        let config = GatewayConfig(snapshot)
        current = config
        loadedSignature = signature
        credentials.retain(only: Set(snapshot.accounts.map(\.id)))
        handlers.onConfig(config)
        log.info("configuration loaded", ["version": "\(snapshot.version)"])
    }

    /// - Returns: false when Redis did not answer.
    @discardableResult
    private func loadCredentials(of accounts: [AccountID]) async -> Bool {
        for account in accounts {
            do {
                let answer = try await redis.send(RedisCommand(["GET", RedisNames.credentials(of: account)]))
                guard case .string(let text) = answer else { continue }
                try credentials.accept(codec.decodeCredentials(text, account: account))
            } catch let error as RedisError where error.isTransient {
                return false
            } catch {
                log.error(
                    "credentials could not be read, the last good ones stay",
                    ["account_id": .integer(account.raw), "error": "\(error)"]
                )
            }
        }
        return true
    }
}

/// Lets the subscription be made before the feed that listens to it.
private final class AnnouncementInbox {
    var receive: (([UInt8]) -> Void)?
}
