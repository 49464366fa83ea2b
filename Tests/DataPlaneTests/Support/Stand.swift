import Crypto
import Domain
import Formats
import GatewayKit
import Glibc
import HTTPFetching
import HTTPMessages
import HTTPServing
import Providers
import Reactor
import Redis
import SimulatorKit
import Snapshots
import TLS
import Telemetry
import TestSupport
import Testing

/// What the control plane of the tests knows.
final class FakeControlPlane {
    let server: HTTPServer
    let target: UpstreamTarget
    /// Signed snapshots by hash.
    private let book: Book
    private final class Book {
        var keys: [String: [UInt8]] = [:]
        var asked: [String] = []
        var usage: String?
        var records: [UsageRecord] = []
        var takesRecords = false
        var onToken: (() async -> (status: Int, text: [UInt8]))?
        var onQuota: (() async -> Void)?
    }

    /// Writes again what was spent through an account; 404 without.
    var onQuota: (() async -> Void)? {
        get { book.onQuota }
        set { book.onQuota = newValue }
    }

    /// What is answered when a newer token is asked for; 404 without.
    var onToken: (() async -> (status: Int, text: [UInt8]))? {
        get { book.onToken }
        set { book.onToken = newValue }
    }

    var keys: [String: [UInt8]] {
        get { book.keys }
        set { book.keys = newValue }
    }
    var usage: String? {
        get { book.usage }
        set { book.usage = newValue }
    }
    var asked: [String] { book.asked }
    /// What was posted, and whether it is taken.
    var records: [UsageRecord] { book.records }
    var takesRecords: Bool {
        get { book.takesRecords }
        set { book.takesRecords = newValue }
    }

    init(_ loop: EventLoop) throws {
        let book = Book()
        self.book = book
        server = HTTPServer(loop, limits: HTTPServerLimits()) { exchange in
            let path = String(exchange.request.path)
            book.asked.append(path)
            if path == "/internal/v1/records", book.takesRecords {
                let decoder = UsageRecordDecoder()
                guard let body = try? await exchange.collectBody(limit: 1 << 26), let list = try? JSON(body).array
                else {
                    return exchange.respond(HTTPResponseHead(status: 400), body: [])
                }
                book.records += list.compactMap { try? decoder.decode($0.encoded) }
                return exchange.respond(HTTPResponseHead(status: 200), body: Array("{}".utf8))
            }
            if path.hasSuffix("/token"), let onToken = book.onToken {
                let (status, text) = await onToken()
                return exchange.respond(HTTPResponseHead(status: status), body: text)
            }
            if path.hasSuffix("/quota"), let onQuota = book.onQuota {
                await onQuota()
                return exchange.respond(HTTPResponseHead(status: 200), body: Array("{}".utf8))
            }
            if path.hasSuffix("/usage"), let usage = book.usage {
                return exchange.respond(HTTPResponseHead(status: 200), body: Array(usage.utf8))
            }
            let hash = String(path.dropFirst("/internal/v1/keys/".count))
            if let text = book.keys[hash] {
                exchange.respond(HTTPResponseHead(status: 200), body: text)
            } else {
                exchange.respond(HTTPResponseHead(status: 404), body: [])
            }
        }
        let address = try server.listen(on: #require(SocketAddress("127.0.0.1:0")))
        target = try #require(UpstreamTarget(baseURL: "http://127.0.0.1:\(address.port)"))
    }
}

/// A whole worker loop with a Redis, an upstream, a control plane and a caller of its own.
final class Stand {
    struct Options: Sendable {
        var redisLines: [String] = []
        var isPersistent = false
        var pace = Pace()
        var wire = UpstreamProtocol.auto
        var limits = HTTPServerLimits()
        var slotLimits: (user: Int, key: Int) = (0, 0)
        var settings: [String: Int64] = [:]
        /// Accounts, each with an upstream of its own.
        var accounts = 1
        var concurrency = 0
        var mapping: [String: String] = [:]
        /// Where the worker's log goes, and from which level on.
        var log = (level: LogLevel.error, descriptor: STDERR_FILENO)
        /// A folder for the worker's journal.
        var journal: String?
        /// What proxies reached over TLS are checked against.
        var proxyAuthority: String?
        var platform = Platform.anthropic
        var type = AccountType.apikey
        /// Credential fields that are no secret, beside the base URL.
        var fields: [String: String] = [:]
        /// Whether the accounts' upstream is the simulator.
        var isSimulated = false
        /// Whether the simulator is reached over TLS.
        var isSimulatedOverTLS = false
        /// Behind the upstream's address.
        var basePath = ""
        /// Beside those of the families.
        var prices: [ModelPrice] = []
        /// Puts a relay between the worker and Redis that can lose answers.
        var usesRelay = false
    }

    static let secret = [UInt8](repeating: 7, count: 32)
    let loop: EventLoop
    let server: PrivateRedis
    /// The test's own connection.
    let redis: RedisClient
    let upstreams: [FakeUpstream]
    let simulator: Simulator
    private let simulatorTLS: TLSContext?
    /// The one that the simulator checks signatures with.
    private let awsSecret: String?
    let control: FakeControlPlane
    let codec = SnapshotCodec(SnapshotSigner(key: secret))
    let ring: MasterKeyRing
    let credentials: CredentialStore
    let metrics = GatewayMetrics(MetricsRegistry())
    let health = WorkerHealth()
    let log: Log
    let apiKey = APIKeyFormat.generate(random: { SecureRandom.bytes($0) })
    private(set) var key: KeySnapshot
    var config: ConfigSnapshot
    /// Between the worker and Redis.
    let relay: RedisRelay
    let context: WorkerContext
    /// Shown every exchange of the worker before it is handled.
    let watch = Watch()
    final class Watch { var onExchange: ((ServerExchange) -> Void)? }
    let gateway: HTTPServer
    let address: SocketAddress
    let caller: HTTPClient
    private var callers = 0

    var upstream: FakeUpstream { upstreams[0] }
    var partition: Partition { Partition(of: key.user) }

    init(_ loop: EventLoop, _ server: PrivateRedis, _ options: Options) async throws {
        self.loop = loop
        self.server = server
        let configuration = try #require(RedisConfiguration(patientURL: server.url))
        redis = RedisClient(loop, configuration)
        redis.start()
        try #require(await redis.waitUntilConnected(.seconds(60)))
        upstreams = try (0..<options.accounts).map { _ in try FakeUpstream(loop) }
        simulator = Simulator(loop)
        awsSecret = options.isSimulated ? CredentialRules.defaultAWSSecret : nil
        let certificates = options.isSimulatedOverTLS ? try TestCertificates.shared() : nil
        simulatorTLS = try certificates.map {
            try TLSContext.server(
                certificateChainFile: $0.server.certificate,
                privateKeyFile: $0.server.key,
                alpn: ["h2", "http/1.1"]
            )
        }
        let simulated = try simulator.listen(on: #require(SocketAddress("127.0.0.1:0")), tls: simulatorTLS)
        let simulatorURL = (options.isSimulatedOverTLS ? "https" : "http") + "://127.0.0.1:\(simulated.port)"
        control = try FakeControlPlane(loop)
        ring = try MasterKeyRing("m1:" + Base64.encode(Self.secret, .standard))
        credentials = CredentialStore(ring)
        log = Log(service: "test", level: options.log.level, descriptor: options.log.descriptor)
        key = KeySnapshot(
            id: KeyID(1),
            hash: APIKeyFormat.hash(apiKey),
            revision: 5,
            user: UserID(3),
            userRevision: 5,
            group: GroupID(2),
            concurrency: options.slotLimits.key,
            userConcurrency: options.slotLimits.user
        )
        config = ConfigSnapshot(
            version: SnapshotVersion(epoch: 1, revision: 10),
            publishedAt: Timestamp(microseconds: 0)
        )
        config.groups = [GroupSnapshot(id: GroupID(2), revision: 5, name: "g", platform: options.platform)]
        config.accounts = upstreams.enumerated().map { number, upstream in
            AccountSnapshot(
                id: AccountID(Int64(number + 1)),
                name: "secret-account-\(number)",
                platform: options.platform,
                type: options.type,
                groups: [GroupID(2)],
                priority: number,
                concurrency: options.concurrency,
                modelMapping: options.mapping,
                plainCredentials: options.fields.merging([
                    "base_url": (options.isSimulated ? simulatorURL : upstream.baseURL)
                        + options.basePath
                ]) { $1 },
                upstreamProtocol: options.wire
            )
        }
        config.prices = ["claude-", "gpt-", "gemini-", "text-embedding-"].map { family in
            ModelPrice(
                model: family,
                match: .prefix,
                revision: 4,
                input: PricePerMillion(3_000_000_000),
                output: PricePerMillion(15_000_000_000)
            )
        }
        config.prices += options.prices
        for (name, value) in options.settings { _ = config.settings.set(name, value) }
        relay = try RedisRelay(loop, port: server.port)
        let url = options.usesRelay ? "redis://127.0.0.1:\(relay.port)" : server.url
        let own = RedisClient(loop, try #require(RedisConfiguration(patientURL: url)))
        var direct = HTTPClient.Options()
        direct.authorityFile = certificates?.authority.certificate
        let client = try HTTPClient(loop, options: direct)
        var proxied = HTTPClient.Options()
        proxied.authorityFile = options.proxyAuthority
        let api = InternalAPI(client, control.target, token: Secret("token"))
        var journal: RecordJournal?
        if let folder = options.journal { journal = try await Self.openJournal(folder, loop, log) }
        context = WorkerContext(
            loop: loop,
            redis: own,
            client: client,
            proxied: try CurlClient(loop, options: proxied),
            keys: KeyStore(own, source: api, codec: codec),
            credentials: credentials,
            internalAPI: api,
            log: log,
            metrics: metrics,
            journal: journal,
            pace: options.pace
        )
        own.start()
        try #require(await own.waitUntilConnected(.seconds(60)))
        let handler = GatewayHandler(context, Probes(health, metrics.registry))
        let watch = watch
        gateway = HTTPServer(loop, limits: options.limits) { exchange in
            watch.onExchange?(exchange)
            await handler.handle(exchange)
        }
        gateway.faultAnswer = FaultAnswers(context).answer
        address = try gateway.listen(on: #require(SocketAddress("127.0.0.1:0")))
        caller = try HTTPClient(loop)
        try await publish()
    }

    // MARK: What the control plane would do

    /// Writes everything into Redis and lets the worker use the configuration.
    func publish() async throws {
        try await run("SET", RedisNames.config, string(codec.encode(config)))
        try await setWallet("1000000000000")
        try await publishKey()
        for account in config.accounts { try await publishCredentials(account.id) }
        try await run("SET", RedisNames.keysComplete, "1")
        context.config = GatewayConfig(config)
    }

    func publishKey() async throws {
        try await run("SET", RedisNames.key(hash: key.hash), string(codec.encode(key)))
        try await raiseRevisions()
    }

    /// Gives the key a strict policy by the week.
    func limitWeek(to quota: NanoUSD) async throws {
        change {
            $0.policy = KeyPolicy(period: .week, anchor: Timestamp(microseconds: 0), quota: quota, boundary: .strict)
        }
        try await publish()
    }

    /// Lets strict admission begin at once: workers have had their time after Redis was empty.
    func age() async throws {
        try await run("SET", RedisNames.epoch(partition), "old.1.1")
    }

    /// What the user has, in nano-USD.
    func setWallet(_ balance: String) async throws {
        try await run("HSET", CounterNames.wallet(of: key.user), "b", balance, "s", "1")
    }

    /// The fields of a counter.
    func counter(_ name: String) async throws -> (base: Int64, unsettled: Int64, reserved: Int64) {
        let values = try await run("HMGET", name, "b", "u", "r").array?.map { Int64($0.text ?? "") ?? 0 } ?? []
        return values.count == 3 ? (values[0], values[1], values[2]) : (0, 0, 0)
    }

    func raiseRevisions() async throws {
        try await run(
            "HSET",
            RedisNames.revisions(partition),
            "k\(key.id)",
            "\(key.revision)",
            "u\(key.user)",
            "\(key.userRevision)",
            "g\(key.group)",
            "\(config.groups.first?.revision ?? 0)"
        )
    }

    func publishCredentials(_ account: AccountID, version: Int64 = 1, key: String = "sk-upstream") async throws {
        let entry = sealed(account, version: version, key: key)
        try await run("SET", RedisNames.credentials(of: account), string(codec.encode(entry)))
        try credentials.accept(entry)
    }

    /// An access token with a refresh token beside it.
    func publishToken(_ account: AccountID, version: Int64) async throws {
        let entry = sealed(account, version: version, key: "sk-upstream", extra: #","refresh_token":"rt""#)
        try await run("SET", RedisNames.credentials(of: account), string(codec.encode(entry)))
        try credentials.accept(entry)
    }

    func sealed(_ account: AccountID, version: Int64, key: String, extra: String = "") -> CredentialEntry {
        let sealed = SealedBox.seal(
            Array(
                #"{"api_key":"\#(key)-\#(account)","secret_access_key":"\#(awsSecret ?? key)","access_token":"at-\#(key)-\#(account)"\#(extra)}"#
                    .utf8
            ),
            for: CredentialEntry.sealingContext(of: account),
            with: ring,
            nonce: SecureRandom.bytes(SealedBox.nonceBytes)
        )
        return CredentialEntry(account: account, version: version, sealed: sealed)
    }

    func change(_ body: (inout KeySnapshot) -> Void) {
        body(&key)
        key.revision += 1
    }

    func changeConfig(_ body: (inout ConfigSnapshot) -> Void) {
        body(&config)
        config.version.revision += 1
    }

    // MARK: Redis

    @discardableResult
    func run(_ words: String...) async throws -> RedisValue { try await redis.send(RedisCommand(words)) }

    /// Makes accounts forget what earlier answers have brought on them.
    func clearFlags() async throws {
        for account in config.accounts {
            try await run("DEL", RedisNames.marks(of: account.id), RedisNames.probes(of: account.id))
        }
        context.slots.forgetHints(of: nil)
    }

    func string(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// The records in the stream of the user's partition.
    func records() async throws -> [UsageRecord] {
        let decoder = UsageRecordDecoder()
        let entries = try await run("XRANGE", RedisNames.usage(partition), "-", "+").array ?? []
        return try entries.compactMap { entry in
            let fields = try #require(entry.array?.last?.array)
            // Others are words on policies.
            guard fields.first?.text == "r" else { return nil }
            return try decoder.decode(try #require(fields.last?.bytes))
        }
    }

    /// The stand of an earlier run may be about to let go of it, and a program that some other test starts has our files,
    /// and their locks, for as long as it takes to begin.
    private static func openJournal(_ folder: String, _ loop: EventLoop, _ log: Log) async throws -> RecordJournal {
        let start = MonotonicTime.now
        while start.elapsed < .seconds(60) {
            if let journal = try? RecordJournal(folder: folder, log: log) { return journal }
            await loop.sleep(.milliseconds(10))
        }
        return try RecordJournal(folder: folder, log: log)
    }

    /// Waits until the partition has so many records.
    @discardableResult
    func records(_ count: Int) async throws -> [UsageRecord] {
        let start = MonotonicTime.now
        while start.elapsed < .seconds(60) {
            if let found = try? await records(), found.count >= count { return found }
            await loop.sleep(.milliseconds(2))
        }
        return try await records()
    }

    func count(_ command: String, _ name: String) async throws -> Int64 {
        try await run(command, name).integer ?? 0
    }

    /// Waits until nothing of any call is left, in this process or in Redis.
    func quiesce() async throws {
        await loop.wait {
            context.openCalls == 0 && context.outbox.unsettled == 0 && gateway.openExchanges == 0
                && context.silence.count == 0 && context.leases.count == 0 && context.redis.inFlight == 0
        }
    }

    // MARK: Calls

    static func body(_ model: String = "claude-a", stream: Bool = false) -> String {
        #"{"model": "\#(model)", "max_tokens": 9,"stream":\#(stream),"messages":[{"role":"user","content":"hi"}]}"#
    }

    func request(
        _ method: String = "POST",
        _ path: String = "/v1/messages",
        body: [UInt8],
        headers extra: HeaderFields = [:],
        wire: Endpoint.WireProtocol = .http1,
        withKey: Bool = true
    ) -> FetchRequest {
        var headers: HeaderFields = ["content-type": "application/json"]
        if withKey { headers.add("x-api-key", apiKey) }
        // Else the calls of a test, which say the same, would be one conversation.
        callers += 1
        headers.add("user-agent", "caller/\(callers)")
        for (name, value) in extra.strings { headers.set(name, value) }
        return FetchRequest(
            to: Endpoint(isTLS: false, host: "127.0.0.1", port: address.port, wireProtocol: wire),
            HTTPRequestHead(method: method, target: path, headers: headers),
            body: body
        )
    }

    func ask(
        _ model: String = "claude-a",
        stream: Bool = false,
        headers: HeaderFields = [:],
        wire: Endpoint.WireProtocol = .http1
    ) async throws -> FetchResponse {
        try await caller.send(
            request(body: Array(Self.body(model, stream: stream).utf8), headers: headers, wire: wire)
        )
    }

    /// A call of any dialect.
    func post(_ path: String, _ body: String, headers: HeaderFields = [:], withKey: Bool = true) async throws
        -> FetchResponse
    {
        try await caller.send(request("POST", path, body: Array(body.utf8), headers: headers, withKey: withKey))
    }

    func get(_ path: String, _ method: String = "GET", headers: HeaderFields = [:], withKey: Bool = true) async throws
        -> (status: Int, headers: HeaderFields, body: String)
    {
        let response = try await caller.send(request(method, path, body: [], headers: headers, withKey: withKey))
        return (response.head.status, response.head.headers, try await response.text())
    }

    // MARK: End

    func stop() async {
        caller.close()
        _ = await gateway.drain(deadline: .zero)
        context.drains.close()
        for upstream in upstreams { await upstream.stop() }
        _ = await control.server.drain(deadline: .zero)
        context.close()
        relay.stop()
        redis.close()
        log.close()
    }
}

extension FetchResponse {
    func text() async throws -> String { String(decoding: try await collect(limit: 1 << 26), as: UTF8.self) }
}

/// A caller that reads a stream as it comes.
final class Reading {
    private let response: FetchResponse
    private let loop: EventLoop
    private(set) var bytes: [UInt8] = []
    private(set) var ends: [FetchError?] = []

    init(_ response: FetchResponse, _ loop: EventLoop) {
        self.response = response
        self.loop = loop
        response.consume { [weak self] in
            self?.bytes.append(contentsOf: $0)
        } onEnd: { [weak self] in
            self?.ends.append($0)
        }
    }

    var text: String { String(decoding: bytes, as: UTF8.self) }
    var isEnded: Bool { !ends.isEmpty }
    func leave() { response.cancel() }

    func wait(for part: String) async throws {
        await loop.wait { text.contains(part) || isEnded }
        try #require(text.contains(part), "had: \(text.suffix(500))")
    }

    /// All of it, once it has ended.
    func rest() async throws -> String {
        await loop.wait { isEnded }
        try #require(isEnded, "had: \(text.suffix(500))")
        return text
    }
}

/// Runs `body` with a stand on a loop of its own.
func standing<Value: Sendable>(
    _ options: Stand.Options = .init(),
    _ body: @escaping @Sendable (Stand) async throws -> Value
) async throws -> Value {
    var settings = PrivateRedis.Options()
    settings.lines = options.redisLines
    settings.isPersistent = options.isPersistent
    let server = try await PrivateRedis.start(settings)
    return try await onLoop { loop in
        let stand = try await Stand(loop, server, options)
        let outcome: Result<Value, any Error>
        do {
            outcome = .success(try await body(stand))
        } catch {
            outcome = .failure(error)
        }
        await stand.stop()
        return try outcome.get()
    }
}

extension String {
    func contains(_ needle: String) -> Bool { count(of: needle, atMost: 1) > 0 }

    /// How often the text stands in this one.
    func count(of needle: String, atMost limit: Int = .max) -> Int {
        let (bytes, wanted) = (Array(utf8), Array(needle.utf8))
        guard let first = wanted.first, bytes.count >= wanted.count else { return 0 }
        var found = 0
        for start in 0...(bytes.count - wanted.count)
        where bytes[start] == first && bytes[start..<(start + wanted.count)].elementsEqual(wanted) {
            found += 1
            if found == limit { break }
        }
        return found
    }
}
