import Crypto
import Domain
import Formats
import HTTPMessages
import Postgres
import Reactor
import Telemetry
import Testing

@testable import ControlKit

@Suite("The route table and its description")
struct RouterTests {
    private static func route(_ method: String, _ path: String) -> Route {
        Route(method, path, .open, "\(method) \(path)") { _ in .noContent }
    }
    private let table = RouteTable([
        route("GET", "/a"), route("POST", "/a"), route("GET", "/a/{id}"), route("PUT", "/a/order"),
        route("PATCH", "/a/{id}"), route("GET", "/a/{id}/b/{name}"),
    ])

    @Test(
        "finds the route and its parameters",
        arguments: [
            ("GET", "/a", "GET /a", [String: String]()), ("HEAD", "/a", "GET /a", [:]), ("POST", "/a", "POST /a", [:]),
            ("GET", "/a/5", "GET /a/{id}", ["id": "5"]), ("PUT", "/a/order", "PUT /a/order", [:]),
            ("PATCH", "/a/order", "PATCH /a/{id}", ["id": "order"]),
            ("GET", "/a/5/b/x%20y", "GET /a/{id}/b/{name}", ["id": "5", "name": "x%20y"]),
        ]
    )
    func finds(_ method: String, _ path: String, _ summary: String, _ parameters: [String: String]) throws {
        guard case .route(let route, let found) = table.find(method, path) else {
            Issue.record("no route")
            return
        }
        #expect(route.summary == summary)
        #expect(found == parameters)
    }

    @Test(
        "an unknown path is none, a known one names its methods",
        arguments: [
            ("GET", "/", nil), ("GET", "", nil), ("GET", "/b", nil), ("GET", "/a/", nil), ("GET", "//a", nil),
            ("GET", "/a/5/", nil),
            ("GET", "/a/5/b", nil), ("GET", "*", nil),
            ("DELETE", "/a", ["GET", "POST", "HEAD"]), ("POST", "/a/5", ["GET", "PATCH", "HEAD"]),
            ("DELETE", "/a/order", ["GET", "PUT", "PATCH", "HEAD"]),
        ] as [(String, String, [String]?)]
    )
    func misses(_ method: String, _ path: String, _ methods: [String]?) {
        switch table.find(method, path) {
        case .route: Issue.record("found a route")
        case .otherMethods(let found): #expect(found == methods)
        case .none: #expect(methods == nil)
        }
    }

    @Test("the description has every route, each with an operation id of its own and schemas for its body and answer")
    func openAPI() throws {
        let routes = try Self.allRoutes()
        let document = OpenAPI.document(for: routes)
        #expect(document["openapi"] == "3.1.0")
        var ids: Set<String> = []
        for route in routes {
            let operation = try #require(
                document["paths"]?[route.path]?[route.method.lowercased()],
                "\(route.method) \(route.path)"
            )
            let id = try #require(operation["operationId"]?.string)
            #expect(ids.insert(id).inserted, "\(id) stands twice")
            #expect((operation["requestBody"] != nil) == (route.body != nil))
            #expect(operation["responses"]?[String(route.status)] != nil)
            #expect((route.status == 204) == (route.answer == nil), "\(route.method) \(route.path)")
            #expect((operation["security"]?.array?.isEmpty == true) == (route.access == .open))
            let names = route.path.split(separator: "/").filter { $0.hasPrefix("{") }.map {
                String($0.dropFirst().dropLast())
            }
            let described = operation["parameters"]?.array?.filter { $0["in"] == "path" }.compactMap {
                $0["name"]?.string
            }
            #expect((described ?? []) == names)
        }
        let count = document["paths"]?.object?.reduce(0) { $0 + ($1.value.object?.count ?? 0) }
        #expect(count == routes.count)
    }

    @Test("everything under /admin needs the role, and only signing in and the description need nobody")
    func access() throws {
        for route in try Self.allRoutes() {
            if route.path.hasPrefix("/api/v1/admin/") {
                #expect(route.access == .admin, "\(route.method) \(route.path)")
            } else if route.access == .open {
                #expect(["/api/v1/auth/login", OpenAPI.path].contains(route.path))
            }
        }
    }

    @Test("every request schema says additionalProperties false, as the forms do")
    func closedSchemas() throws {
        for route in try Self.allRoutes() {
            if let body = route.body { #expect(body["additionalProperties"] == false, "\(route.method) \(route.path)") }
        }
    }

    /// The real table, on a pool that never connects.
    private static func allRoutes() throws -> [Route] {
        let loop = try EventLoop(name: "never run")
        let pool = PostgresPool(loop, url: "postgres://nowhere")
        let log = Log(service: "test")
        let keys = try MasterKeyRing("k1:" + Base64.encode([UInt8](repeating: 7, count: 32)))
        let upstream = try UpstreamClient(loop)
        return AdminContext(
            pool: pool,
            changes: ChangeNotifier(pool, log: log),
            passwords: PasswordHasher(loop),
            masterKeys: keys,
            upstream: upstream,
            usage: UsageProber(loop, upstream, pool, keys, log: log),
            log: log
        ).routes
    }
}

@Suite("Queries of lists")
struct ListQueryTests {
    private let rules = ListRules(
        sorts: ["name": "lower(t.name)", "created_at": "t.created_at"],
        defaultSort: "t.id",
        search: ["t.name"],
        filters: [
            .id("user_id", "t.user_id"), .choice("status", "t.status", ["on", "off"]), .flag("open", "t.open"),
            .from("from", "t.created_at"),
        ]
    )

    private func page(_ query: String) throws -> PageRequest {
        try PageRequest(
            HTTPRequestHead(method: "GET", target: "/x?" + query),
            rules,
            where: Conditions("t.deleted_at is null")
        )
    }

    @Test("without a query there are defaults")
    func defaults() throws {
        let page = try page("")
        #expect((page.page, page.size, page.offset) == (1, 50, 0))
        #expect(page.order == "t.id")
        #expect(page.conditions.clause == " where t.deleted_at is null")
    }

    @Test("values become parameters, never SQL")
    func parameters() throws {
        let page = try page(
            "page=3&page_size=20&sort=-name&q=%27%3B+drop+table+users%3B--&user_id=7&status=on&open=true"
        )
        #expect(page.offset == 40)
        #expect(page.order == "lower(t.name) desc nulls last, t.id")
        #expect(!page.conditions.clause.contains("drop"))
        #expect(page.conditions.parameters == [.text("'; drop table users;--"), .integer(7), .text("on")])
    }

    @Test(
        "what is not understood is refused, all of it at once",
        arguments: [
            ("page=0", ["page"]), ("page=x", ["page"]), ("page_size=201", ["page_size"]),
            ("page_size=0", ["page_size"]),
            ("sort=id;drop", ["sort"]), ("sort=", ["sort"]), ("user_id=1%20or%201=1", ["user_id"]),
            ("status=maybe", ["status"]),
            ("open=1", ["open"]), ("from=yesterday", ["from"]), ("colour=red", ["colour"]), ("q=a%00b", ["q"]),
            ("page=1&page=2", ["page"]), ("page=0&sort=x&colour=1", ["colour", "page", "sort"]),
        ]
    )
    func refused(_ query: String, _ fields: [String]) {
        #expect {
            _ = try page(query)
        } throws: { error in
            (error as? Problem)?.faults.map(\.field).sorted() == fields && (error as? Problem)?.status == 400
        }
    }

    @Test(
        "a cursor survives its text, and nothing else is one",
        arguments: ["", "MQ", "!", "MSBh", "OTIyMzM3MjAzNjg1NDc3NTgwNyBh"]
    )
    func cursor(_ text: String) throws {
        let cursor = UsageStore.Cursor(createdAt: Timestamp(microseconds: 1_700_000_000_000_001), requestID: "req-ü 1")
        #expect(UsageStore.Cursor(cursor.text) == cursor)
        if text != "MSBh" { #expect(UsageStore.Cursor(text) == nil) }
    }
}
