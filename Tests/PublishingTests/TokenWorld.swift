import ControlKit
import Crypto
import Domain
import Formats
import HTTPMessages
import HTTPServing
import Postgres
import Providers
import Reactor
import Snapshots
import Telemetry
import TestSupport
import Testing

/// A token endpoint that does as it is told, and counts.
final class TokenServer {
    /// What to do with the nth request, counted from 1.
    typealias Handler = (_ exchange: ServerExchange, _ form: [String: String], _ count: Int) async throws -> Void

    private let server: HTTPServer
    let url: String
    private(set) var count = 0

    init(_ loop: EventLoop, _ handler: @escaping Handler) throws {
        var note: () -> Int = { 0 }
        let server = HTTPServer(loop, limits: HTTPServerLimits()) { exchange in
            let count = note()
            let text = String(decoding: (try? await exchange.collectBody(limit: 1 << 20)) ?? [], as: UTF8.self)
            let pairs = text.split(separator: "&").map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
            let form = Dictionary(
                pairs.filter { $0.count == 2 }.map { ($0[0], PercentCoding.decodeForm($0[1])) }
            ) { $1 }
            do { try await handler(exchange, form, count) } catch { exchange.respond(.init(status: 500), body: []) }
        }
        self.server = server
        let address = try server.listen(on: try #require(SocketAddress("127.0.0.1:0")))
        url = "http://\(address)/token"
        note = { [unowned self] in
            count += 1
            return count
        }
    }

    func stop() async { _ = await server.drain(deadline: .zero) }

    static func answer(_ exchange: ServerExchange, _ status: Int, _ json: JSON) {
        exchange.respond(
            HTTPResponseHead(status: status, headers: ["content-type": "application/json"]),
            body: json.encoded
        )
    }

    /// The tokens of the nth renewal.
    static func tokens(_ exchange: ServerExchange, _ count: Int) {
        answer(
            exchange,
            200,
            [
                "access_token": .string("at-\(count)"), "refresh_token": .string("rt-\(count)"), "expires_in": 3600,
                "token_type": "Bearer",
            ]
        )
    }

    static func invalidGrant(_ exchange: ServerExchange) {
        answer(exchange, 400, ["error": "invalid_grant", "error_description": "Token was replaced"])
    }
}

/// A control plane's renewing part, one of several that share a database and a Redis.
final class Refresher {
    let runner: RefreshRunner
    let keeper: RefreshKeeper
    let pool: PostgresPool
    private let changes: ChangeNotifier
    private let client: UpstreamClient

    init(_ world: World, _ clients: OAuthClients, keys: MasterKeyRing) throws {
        let publisher = world.publisher()
        pool = PostgresPool(world.loop, url: world.databaseURL, maximum: 4, options: .patient)
        changes = ChangeNotifier(pool, log: world.log)
        changes.onCommitted = { try await publisher.publishCommitted() }
        client = try UpstreamClient(world.loop)
        let parts = RefreshRunner.Parts(
            loop: world.loop,
            pool: pool,
            redis: world.redis,
            changes: changes,
            sealing: CredentialSealing(keys),
            upstream: client,
            clients: clients
        )
        runner = RefreshRunner(parts, log: world.log, metrics: world.metrics)
        keeper = RefreshKeeper(runner, parts, log: world.log)
    }

    /// As an admin does it.
    func recover(_ account: AccountID) async throws {
        let isFound = try await changes.commit(by: .system) { try await AccountFlagRoutes.recover(account, with: $0) }
        #expect(isFound)
    }

    func close() {
        client.close()
        pool.close()
    }
}

/// The world with an account and a token endpoint for it.
final class TokenWorld {
    let world: World
    let server: TokenServer
    let keys: MasterKeyRing
    let sealing: CredentialSealing
    let group: GroupID
    let account: AccountID
    private var refreshers: [Refresher] = []

    init(_ world: World, _ handler: @escaping TokenServer.Handler) async throws {
        self.world = world
        server = try TokenServer(world.loop, handler)
        keys = try MasterKeyRing("k1:" + Base64.encode([UInt8](repeating: 5, count: 32)))
        sealing = CredentialSealing(keys)
        group = try await world.addGroup()
        account = AccountID(1)
        try await add(account, "main")
    }

    func add(
        _ id: AccountID,
        _ name: String,
        platform: Platform = .openai,
        secrets: [String: String] = ["access_token": "at-0", "refresh_token": "rt-0"],
        plain: [String: String] = [:]
    ) async throws {
        var draft = AccountDraft()
        (draft.name, draft.platform, draft.type) = (name, platform, .oauth)
        if platform == .anthropic { draft.groups = [group.raw] }
        let edit = CredentialEdit(
            plain: ["token_url": server.url, "client_id": "client"].merging(plain) { $1 },
            sealedFields: secrets.keys.sorted(),
            newSecrets: secrets
        )
        let sealed = try sealing.apply(edit, to: nil, of: id)
        try await world.pool.withConnection { try await AccountStore.insert(id, draft, sealed, on: $0) }
        try await world.run("insert into outbox (kind, subject) values ('account', $1)", [.integer(id.raw)])
        try await world.publisher().publishCommitted()
    }

    func refresher(_ clients: OAuthClients = OAuthClients()) throws -> Refresher {
        let refresher = try Refresher(world, clients, keys: keys)
        refreshers.append(refresher)
        return refresher
    }

    func record(_ id: AccountID? = nil) async throws -> AccountRecord {
        try #require(try await world.pool.withConnection { try await AccountStore.find(id ?? account, on: $0) })
    }

    func secrets(_ id: AccountID? = nil) async throws -> [String: String] {
        try sealing.open(try await record(id).credentials.sealed, of: id ?? account)
    }

    /// What workers find in Redis.
    func published(_ id: AccountID? = nil) async throws -> (entry: CredentialEntry, secrets: [String: String]) {
        let entry = try #require(try await world.publishedCredentials(id ?? account))
        return (entry, try sealing.open(entry.sealed, of: id ?? account))
    }

    /// Another writer puts its own tokens in, as a sign-in does.
    func overwrite(_ secrets: [String: String]) async throws {
        let record = try await record()
        let edit = CredentialEdit(
            plain: record.credentials.plain,
            sealedFields: secrets.keys.sorted(),
            newSecrets: secrets
        )
        let sealed = try sealing.apply(edit, to: record.credentials, of: account)
        let isWritten = try await world.pool.withConnection {
            try await AccountStore.replaceCredentials(
                of: account,
                with: sealed,
                ifVersion: record.credentials.version,
                hasNewSecrets: true,
                on: $0
            )
        }
        #expect(isWritten)
    }

    /// Runs so many at once and waits for all.
    func together<Value>(_ count: Int, _ body: @escaping (Int) async throws -> Value) async throws -> [Value] {
        let promises = (0..<count).map { _ in Promise<Value>() }
        for (index, promise) in promises.enumerated() {
            world.loop.spawn {
                do { promise.succeed(try await body(index)) } catch { promise.fail(error) }
            }
        }
        var values: [Value] = []
        for promise in promises { values.append(try await promise.wait()) }
        return values
    }

    func close() async {
        for refresher in refreshers { refresher.close() }
        await server.stop()
    }
}

func withTokens(
    _ handler: @escaping @Sendable (ServerExchange, [String: String], Int, TokenWorld) async throws -> Void,
    _ body: @escaping @Sendable (TokenWorld) async throws -> Void
) async throws {
    // A server of its own: control planes take more connections than the one that all suites share has to give.
    try await withWorld(try await PrivatePostgres.forTokens()) { world in
        let box = Box()
        let tokens = try await TokenWorld(world) { exchange, form, count in
            guard let tokens = box.world else { return }
            try await handler(exchange, form, count, tokens)
        }
        box.world = tokens
        do {
            try await body(tokens)
        } catch {
            await tokens.close()
            throw error
        }
        await tokens.close()
    }
}

extension PrivatePostgres {
    private static let ofTokens = Task { try await start() }

    fileprivate static func forTokens() async throws -> PrivatePostgres { try await ofTokens.value }
}

private final class Box { weak var world: TokenWorld? }
