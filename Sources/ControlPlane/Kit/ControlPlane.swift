import Crypto
import Domain
import HTTPMessages
package import HTTPServing
package import Postgres
package import Reactor
import Redis
import TLS
package import Telemetry

/// Why the control plane cannot start.
package enum StartError: Error, CustomStringConvertible {
    case notConfigured
    /// The users table is empty and nobody is named who could sign in.
    case noAdmin

    package var description: String {
        switch self {
        case .notConfigured: "the configuration has faults"
        case .noAdmin: "the database has no users: set TOLLGATE_ADMIN_EMAIL and TOLLGATE_ADMIN_PASSWORD"
        }
    }
}

/// The control plane of one process, on one loop: its parts, and the order in which they start and stop.
package final class ControlPlane {
    package let config: ControlPlaneConfig
    package let loop: EventLoop
    package let log: Log
    package let metrics = MetricsRegistry()
    package let pool: PostgresPool
    package let changes: ChangeNotifier
    package let probes: ControlPlaneProbes

    private let passwords: PasswordHasher
    private var services: PlaneServices?
    private var upstream: UpstreamClient?
    private var refresher: RefreshRunner?
    private var keeper: RefreshKeeper?
    private var rotation: KeyRotation?
    package private(set) var usage: UsageProber?
    private var servers: [HTTPServer] = []
    private let housekeeping: Housekeeping
    private var isStopping = false
    /// Where the admin API listens, once it does.
    package private(set) var adminAddress: SocketAddress?

    package init(_ config: ControlPlaneConfig, _ loop: EventLoop, _ log: Log) {
        self.config = config
        self.loop = loop
        self.log = log
        pool = PostgresPool(loop, url: config.databaseURL.reveal(), maximum: config.databaseConnections)
        pool.onFailure = { log.warning("database connection failed", ["error": "\($0)"]) }
        changes = ChangeNotifier(pool, log: log)
        housekeeping = Housekeeping(loop, pool, usageMonths: config.usageMonths, log: log)
        passwords = PasswordHasher(loop)
        probes = ControlPlaneProbes(pool, metrics)
    }

    /// Brings the database up to date, makes what an empty one lacks, and listens.
    package func start() async throws {
        guard let masterKeys = config.masterKeys, let adminListen = config.adminListen,
            let internalListen = config.internalListen, let redis = config.redis
        else { throw StartError.notConfigured }
        try await Migrations.run(in: pool)
        try await UsagePartitions.ensure(now: try await UsagePartitions.now(in: pool), in: pool)
        try await PriceSeed.plant(with: changes)
        try await plantAdmin()

        let upstream = try UpstreamClient(loop, authorityFile: config.upstreamAuthorities)
        self.upstream = upstream
        let usage = UsageProber(loop, upstream, pool, masterKeys, log: log)
        self.usage = usage
        try startServices(redis, internalListen)
        let refresher = startRefreshing(masterKeys, upstream)
        var context = AdminContext(
            pool: pool,
            changes: changes,
            passwords: passwords,
            masterKeys: masterKeys,
            upstream: upstream,
            usage: usage,
            log: log
        )
        context.oauth = config.oauth
        context.refresher = refresher
        context.redis = services?.redis
        let api = AdminAPI(routes: context.routes, Authenticator(pool), log: log) {
            Timestamp.now
        }
        api.trust = ProxyTrust(pool)
        housekeeping.start()
        adminAddress = try listen(on: adminListen, config.adminTLS, "admin") { [probes] exchange in
            if await probes.answer(exchange) { return }
            await api.handle(exchange)
        }
        servers.last?.faultAnswer = AdminAPI.answer(to:)
        if let opsListen = config.opsListen {
            _ = try listen(on: opsListen, nil, "ops") { [probes] exchange in
                if await probes.answer(exchange) { return }
                exchange.respond(.init(status: 404), body: [])
            }
        }
    }

    /// Renews tokens ahead of their end, and when a worker finds one stale. Beside that, carries
    /// changes of the master key through.
    private func startRefreshing(_ keys: MasterKeyRing, _ upstream: UpstreamClient) -> RefreshRunner? {
        guard let services else { return nil }
        let parts = RefreshRunner.Parts(
            loop: loop,
            pool: pool,
            redis: services.redis,
            changes: changes,
            sealing: CredentialSealing(keys),
            upstream: upstream,
            clients: config.oauth
        )
        let refresher = RefreshRunner(parts, log: log, metrics: metrics)
        services.internalAPI.refresher = refresher
        let keeper = RefreshKeeper(refresher, parts, log: log)
        keeper.start()
        let resealer = Resealer(pool, services.redis, changes, keys, log: log, metrics: metrics)
        let rotation = KeyRotation(loop, services.redis, keys, resealer, log: log, metrics: metrics)
        rotation.start()
        self.rotation = rotation
        self.refresher = refresher
        self.keeper = keeper
        return refresher
    }

    /// Publisher, settlers and the internal API: what connects this plane with the workers.
    private func startServices(_ redis: RedisConfiguration, _ internalListen: SocketAddress) throws {
        let services = PlaneServices(
            loop,
            PlaneServices.Configuration(
                databaseURL: config.databaseURL,
                redis: redis,
                snapshotKey: config.snapshotKey,
                internalTokens: config.internalTokens
            ),
            log: log,
            metrics: metrics
        )
        self.services = services
        changes.onCommitted = { try await services.publishCommitted() }
        probes.missing = { services.isRedisConnected ? nil : "redis" }
        services.start()
        _ = try listen(on: internalListen, config.internalTLS, "internal") { [internalAPI = services.internalAPI] in
            await internalAPI.handle($0)
        }
    }

    /// Starts a server that `stop` will drain.
    package func listen(
        on address: SocketAddress,
        _ files: ControlPlaneConfig.TLSFiles?,
        _ name: String,
        _ handler: @escaping HTTPServer.Handler
    ) throws -> SocketAddress {
        let tls = try files.map { files in
            try TLSContext.server(
                certificateChainFile: files.certificate,
                privateKeyFile: files.key,
                alpn: ["h2", "http/1.1"]
            )
        }
        var limits = HTTPServerLimits()
        limits.bodyBytes = 32 * 1024 * 1024
        let server = HTTPServer(loop, limits: limits, handler: handler)
        let bound = try server.listen(on: address, tls: tls)
        servers.append(server)
        log.info("listening", ["server": .text(name), "address": "\(bound)", "tls": .bool(tls != nil)])
        return bound
    }

    /// Ends calls under way in order, at most for the configured time, then lets go of everything.
    package func stop() async {
        guard !isStopping else { return }
        isStopping = true
        probes.isDraining = true
        housekeeping.stop()
        keeper?.stop()
        log.info("draining")
        for server in servers { _ = await server.drain(deadline: config.shutdownDrain) }
        await refresher?.drain(within: config.shutdownDrain)
        await rotation?.stop()
        await services?.stop()
        upstream?.close()
        pool.close()
        log.info("stopped")
    }

    private func plantAdmin() async throws {
        guard let admin = config.firstAdmin else {
            if try await AdminSeed.isEmpty(pool) { throw StartError.noAdmin }
            return
        }
        let isNew = try await AdminSeed.plant(
            email: admin.email,
            password: admin.password.reveal(),
            with: changes,
            passwords,
            in: pool
        )
        if isNew { log.info("first admin made", ["email": .text(admin.email)]) }
    }
}
