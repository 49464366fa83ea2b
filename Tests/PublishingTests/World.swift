import ControlKit
import Crypto
import Domain
import Glibc
import Postgres
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

/// Whether the servers that these tests need are installed.
let canRun = PrivatePostgres.isAvailable && PrivateRedis.isAvailable
let requirement: Comment = "needs PostgreSQL 15 and redis-server"

/// A migrated database, a Redis, and the control plane's parts between them, on one loop.
final class World {
    let loop: EventLoop
    let databaseURL: String
    let server: PrivateRedis
    let pool: PostgresPool
    let redis: RedisClient
    let log = Log(service: "test", level: .error, descriptor: open("/dev/null", O_WRONLY))
    let metrics = MetricsRegistry()
    let signer = SnapshotSigner(key: Array("the key of these tests, 32 bytes".utf8))
    let codec: SnapshotCodec
    private var publishers: [SnapshotPublisher] = []

    /// - Parameter patience: how long Redis may take to answer; short where a test waits for it to be given up.
    init(
        _ loop: EventLoop,
        databaseURL: String,
        _ server: PrivateRedis,
        patience: Duration? = nil
    ) async throws {
        self.loop = loop
        self.databaseURL = databaseURL
        self.server = server
        pool = PostgresPool(loop, url: databaseURL, maximum: 12, options: .patient)
        var configuration = try #require(RedisConfiguration(patientURL: server.url))
        if let patience { configuration.commandTimeout = patience }
        redis = RedisClient(loop, configuration)
        codec = SnapshotCodec(signer)
        try await Migrations.run(in: pool)
        redis.start()
        try #require(await redis.waitUntilConnected(.seconds(60)))
    }

    func close() {
        for publisher in publishers { publisher.stop() }
        redis.close()
        pool.close()
    }

    func publisher(_ signer: SnapshotSigner? = nil, formats: [Int] = SnapshotFormat.written) -> SnapshotPublisher {
        let publisher = SnapshotPublisher(
            loop,
            pool,
            redis,
            signer ?? self.signer,
            formats: formats,
            log: log,
            metrics: metrics
        )
        publishers.append(publisher)
        return publisher
    }

    func notifier(_ publisher: SnapshotPublisher) -> ChangeNotifier {
        let notifier = ChangeNotifier(pool, log: log)
        notifier.onCommitted = { try await publisher.publishCommitted() }
        return notifier
    }

    /// Asks again and again, at most a minute: many worlds share two cores.
    func wait(_ what: Comment = "in time", _ condition: () async throws -> Bool) async throws {
        let started = MonotonicTime.now
        while try await !condition() {
            try #require(started.elapsed < .seconds(60), what)
            await loop.sleep(.milliseconds(5))
        }
    }

    // MARK: Rows

    @discardableResult
    func run(_ sql: String, _ parameters: [PostgresParameter] = []) async throws -> Int64 {
        let rows = try await pool.query(sql, parameters)
        return try rows.first?.optionalInt("id") ?? 0
    }

    func number(_ sql: String, _ parameters: [PostgresParameter] = []) async throws -> Int64 {
        try #require(try await pool.query(sql, parameters).first).int("n")
    }

    func addUser(_ name: String = "a@test", id: Int64? = nil) async throws -> UserID {
        let values: [PostgresParameter] = [.text(name)] + (id.map { [.integer($0)] } ?? [])
        return UserID(
            try await run(
                "insert into users (email, password_hash\(id == nil ? "" : ", id")) overriding system value "
                    + "values ($1, 'x'\(id == nil ? "" : ", $2")) returning id",
                values
            )
        )
    }

    func addGroup(_ name: String = "main") async throws -> GroupID {
        GroupID(
            try await run("insert into groups (name, platform) values ($1, 'anthropic') returning id", [.text(name)])
        )
    }

    func addKey(_ secret: String, of user: UserID, in group: GroupID) async throws -> KeyID {
        KeyID(
            try await run(
                """
                insert into api_keys (name, user_id, group_id, key_hash, key_prefix, ip_whitelist)
                values ($1, $2, $3, $4, 'tg-', '["10.0.0.0/8"]') returning id
                """,
                [.text("Schlüssel 中"), .integer(user.raw), .integer(group.raw), .text(hash(secret))]
            )
        )
    }

    func addAccount(_ name: String = "main", in group: GroupID) async throws -> AccountID {
        let id = try await run(
            """
            insert into accounts (name, platform, type, credentials_sealed, credentials_plain, model_mapping)
            values ($1, 'anthropic', 'apikey', 'v1.k.sealed', '{"base_url":"http://127.0.0.1:9"}', '{"a*":"b"}')
            returning id
            """,
            [.text(name)]
        )
        try await run("insert into account_groups values ($1, $2)", [.integer(id), .integer(group.raw)])
        return AccountID(id)
    }

    func outbox(_ kind: String, _ subject: Int64 = 0) async throws {
        try await run("insert into outbox (kind, subject) values ($1, $2)", [.text(kind), .integer(subject)])
    }

    func hash(_ secret: String) -> String { SHA256.hex(secret) }

    // MARK: What stands in Redis

    func publishedKey(_ secret: String) async throws -> KeySnapshot? {
        let name = hash(secret)
        let text = try await redis.send(RedisCommand(["GET", RedisNames.key(hash: name)]))
        return try text.bytes.map { try codec.decodeKey($0, hash: name) }
    }

    func publishedConfig() async throws -> ConfigSnapshot? {
        try await redis.send(RedisCommand(["GET", RedisNames.config])).bytes.map { try codec.decodeConfig($0) }
    }

    func publishedCredentials(_ account: AccountID) async throws -> CredentialEntry? {
        try await redis.send(RedisCommand(["GET", RedisNames.credentials(of: account)])).bytes
            .map { try codec.decodeCredentials($0, account: account) }
    }

    func revision(_ field: String, in partition: Partition) async throws -> Int64? {
        try await redis.send(RedisCommand(["HGET", RedisNames.revisions(partition), field])).integer
    }

    func revision(of row: Int64, in table: String) async throws -> Int64 {
        let revision = try await number("select revision as n from \(table) where id = $1", [.integer(row)])
        let epoch = try await number("select epoch as n from database_epoch")
        return SnapshotVersion(epoch: epoch, revision: revision).stamp
    }

    func isComplete() async throws -> Bool {
        try await redis.send(RedisCommand(["EXISTS", RedisNames.keysComplete])).integer == 1
    }

    /// Collects announcements until it is closed.
    func listen() async throws -> AnnouncementLog {
        let log = AnnouncementLog(loop, try #require(RedisConfiguration(patientURL: server.url)))
        try await wait("subscribed") { log.isSubscribed }
        return log
    }
}

final class AnnouncementLog {
    private(set) var heard: [Announcement] = []
    private(set) var isSubscribed = false
    private let box = Box()
    private let subscription: RedisSubscription

    private final class Box { var receive: (([UInt8]) -> Void)? }

    init(_ loop: EventLoop, _ configuration: RedisConfiguration) {
        let box = box
        subscription = RedisSubscription(loop, configuration, channels: [RedisNames.announcements]) { _, message in
            box.receive?(message)
        }
        box.receive = { [weak self] message in
            if let announcement = Announcement(String(decoding: message, as: UTF8.self)) {
                self?.heard.append(announcement)
            }
        }
        subscription.onSubscribed = { [weak self] in self?.isSubscribed = true }
        subscription.start()
    }

    func clear() { heard = [] }
    func close() { subscription.close() }
}

/// Runs a test with servers of its own for Redis and a database of its own.
func withWorld(
    _ options: PrivateRedis.Options = PrivateRedis.Options(),
    patience: Duration? = nil,
    _ body: @escaping @Sendable (World) async throws -> Void
) async throws {
    let postgres = try await PrivatePostgres.shared()
    try await withWorld(postgres, options, patience: patience, body)
}

func withWorld(
    _ postgres: PrivatePostgres,
    _ options: PrivateRedis.Options = PrivateRedis.Options(),
    patience: Duration? = nil,
    _ body: @escaping @Sendable (World) async throws -> Void
) async throws {
    let url = try await postgres.newDatabase()
    let server = try await PrivateRedis.start(options)
    try await onLoop { loop in
        let world = try await World(loop, databaseURL: url, server, patience: patience)
        defer { world.close() }
        try await body(world)
    }
}
