import Crypto
import Formats
import HTTPFetching
import HTTPMessages
import Postgres
import Reactor
import Service
import Telemetry
import TestSupport
import Testing

@testable import ControlKit

/// A control plane on an empty database of its own, and a client that is signed in as its first admin.
final class AdminServer {
    static let email = "admin@example.com"
    static let password = "correct horse battery"

    let plane: ControlPlane
    let loop: EventLoop
    private let client: HTTPClient
    private let endpoint: Endpoint
    /// Sent as a bearer token, when there is one.
    var token: String?

    struct Answer {
        let status: Int
        let headers: HeaderFields
        let body: JSON

        subscript(_ name: String) -> JSON? { body[name] }
        var id: Int64 { body["id"]?.int64 ?? 0 }
        var items: [JSON] { body["items"]?.array ?? [] }
        var faults: [String] { (body["errors"]?.array ?? []).compactMap { $0["field"]?.string }.sorted() }
    }

    private init(_ plane: ControlPlane, _ loop: EventLoop, _ client: HTTPClient, _ endpoint: Endpoint) {
        self.plane = plane
        self.loop = loop
        self.client = client
        self.endpoint = endpoint
    }

    static func environment(database: String) -> [String: String] {
        let key = Base64.encode([UInt8](repeating: 9, count: 32))
        return [
            "TOLLGATE_DATABASE_URL": database, "TOLLGATE_REDIS_URL": "redis://127.0.0.1:1/0",
            "TOLLGATE_MASTER_KEYS": "k1:\(key)", "TOLLGATE_SNAPSHOT_KEY": key,
            "TOLLGATE_INTERNAL_TOKEN": "0123456789abcdef", "TOLLGATE_ADMIN_EMAIL": email,
            "TOLLGATE_ADMIN_PASSWORD": password, "TOLLGATE_ADMIN_LISTEN": "127.0.0.1:0",
            "TOLLGATE_INTERNAL_LISTEN": "127.0.0.1:0", "TOLLGATE_OPS_LISTEN": "127.0.0.1:0",
        ]
    }

    static func plane(
        _ loop: EventLoop,
        database: String,
        withAdmin: Bool = true,
        _ further: [String: String] = [:]
    ) -> ControlPlane {
        let environment = environment(database: database).filter { entry in
            withAdmin || !["TOLLGATE_ADMIN_EMAIL", "TOLLGATE_ADMIN_PASSWORD"].contains(entry.key)
        }.merging(further) { $1 }
        var reader = ConfigReader(environment: environment)
        let config = ControlPlaneConfig(&reader)
        #expect(reader.faults == [])
        return ControlPlane(config, loop, Log(service: "test", level: .error))
    }

    /// - Parameter further: settings beside or in place of the usual ones.
    static func start(_ loop: EventLoop, database: String, _ further: [String: String] = [:]) async throws
        -> AdminServer
    {
        let plane = plane(loop, database: database, further)
        try await plane.start()
        let address = try #require(plane.adminAddress)
        let client = try HTTPClient(loop)
        let server = AdminServer(
            plane,
            loop,
            client,
            Endpoint(isTLS: false, host: address.ip, port: address.port)
        )
        let answer = try await server.login(email, password)
        server.token = try #require(answer["token"]?.string)
        return server
    }

    func stop() async {
        client.close()
        await plane.stop()
    }

    // MARK: Calls

    func login(_ email: String, _ password: String) async throws -> Answer {
        try await call(
            "POST",
            "/auth/login",
            ["email": .string(email), "password": .string(password)],
            token: .some(nil)
        )
    }

    /// - Parameter token: another session's token; `.some(nil)` for none.
    func call(
        _ method: String,
        _ path: String,
        _ body: JSON? = nil,
        headers: [(String, String)] = [],
        token: String?? = nil
    ) async throws -> Answer {
        var fields: [(String, String)] = body == nil ? [] : [("content-type", "application/json")]
        if let token = token ?? self.token { fields.append(("authorization", "Bearer \(token)")) }
        return try await raw(method, "/api/v1" + path, body?.encoded ?? [], headers: fields + headers)
    }

    func raw(
        _ method: String,
        _ target: String,
        _ body: [UInt8],
        headers: [(String, String)]
    ) async throws -> Answer {
        let response = try await send(method, target, body, headers: headers)
        let bytes = try await response.collect(limit: 16 * 1024 * 1024)
        return Answer(
            status: response.head.status,
            headers: response.head.headers,
            body: bytes.isEmpty ? .null : try JSON(bytes)
        )
    }

    private func send(
        _ method: String,
        _ target: String,
        _ body: [UInt8],
        headers: [(String, String)]
    ) async throws -> FetchResponse {
        var head = HTTPRequestHead(method: method, target: target)
        for (name, value) in headers { head.headers.add(name, value) }
        return try await client.send(FetchRequest(to: endpoint, head, body: body))
    }

    /// The answer of a route that streams, as its body is still to be read.
    func stream(_ method: String, _ path: String, _ body: JSON? = nil) async throws -> FetchResponse {
        var fields: [(String, String)] = body == nil ? [] : [("content-type", "application/json")]
        if let token { fields.append(("authorization", "Bearer \(token)")) }
        return try await send(method, "/api/v1" + path, body?.encoded ?? [], headers: fields)
    }

    /// Runs calls side by side and waits for all; answers in their order.
    func together(_ count: Int, _ body: @escaping (Int) async throws -> Answer) async throws -> [Answer] {
        let promises = (0..<count).map { _ in Promise<Answer>() }
        for (index, promise) in promises.enumerated() {
            loop.spawn {
                do { promise.succeed(try await body(index)) } catch { promise.fail(error) }
            }
        }
        var answers: [Answer] = []
        for promise in promises { answers.append(try await promise.wait()) }
        return answers
    }

    // MARK: What most tests need

    func makeGroup(_ name: String = "Gruppe", _ fields: JSON = [:]) async throws -> Int64 {
        let body: JSON = ["name": .string(name), "platform": "anthropic"]
        let answer = try await call("POST", "/admin/groups", body.merged(with: fields))
        #expect(answer.status == 201, "\(answer.body.text)")
        return answer.id
    }

    func makeUser(_ email: String = "user@example.com", _ fields: JSON = [:]) async throws -> Int64 {
        let body: JSON = ["email": .string(email), "password": "a good password"]
        let answer = try await call("POST", "/admin/users", body.merged(with: fields))
        #expect(answer.status == 201, "\(answer.body.text)")
        return answer.id
    }

    func makeKey(user: Int64, group: Int64, _ fields: JSON = [:]) async throws -> Answer {
        let body: JSON = ["name": "Schlüssel", "user_id": .int(user), "group_id": .int(group)]
        let answer = try await call("POST", "/admin/keys", body.merged(with: fields))
        #expect(answer.status == 201, "\(answer.body.text)")
        return answer
    }

    func makeAccount(_ fields: JSON = [:]) async throws -> Answer {
        let body: JSON = [
            "name": "Konto", "platform": "anthropic", "type": "apikey",
            "credentials": ["api_key": "sk-ant-secret-1", "base_url": "https://api.anthropic.com"],
        ]
        let answer = try await call("POST", "/admin/accounts", body.merged(with: fields))
        #expect(answer.status == 201, "\(answer.body.text)")
        return answer
    }

    /// A number from the database.
    func count(_ sql: String) async throws -> Int64 {
        try await plane.pool.query(sql).first?.int("count") ?? -1
    }
}

extension PrivatePostgres {
    private static let forAdminTests = Task { try await start() }

    /// The suite's own server: control planes take more connections than the one that all suites share has to give.
    static func admin() async throws -> PrivatePostgres { try await forAdminTests.value }
}

/// Runs `body` against a control plane on a database of its own.
func withAdmin(_ body: @escaping @Sendable (AdminServer) async throws -> Void) async throws {
    let database = try await PrivatePostgres.admin().newDatabase()
    try await onLoop { loop in
        let server = try await AdminServer.start(loop, database: database)
        do {
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }
}
