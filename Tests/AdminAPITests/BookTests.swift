import Domain
import Formats
import HTTPMessages
import Postgres
import Reactor
import Telemetry
import TestSupport
import Testing

@testable import ControlKit

extension AdminServer {
    var now: Int64 { WallClock.microseconds }

    /// What waits to be published, sorted.
    func outbox() async throws -> [String] {
        try await plane.pool.query("select kind, subject from outbox order by kind, subject").map { row in
            "\(try row.text("kind")) \(try row.int("subject"))"
        }
    }

    func addUsage(_ id: String, user: Int64, key: Int64, model: String = "claude-sonnet-5", at time: String)
        async throws
    {
        try await plane.pool.execute(
            """
            insert into usage_records (request_id, created_at, user_id, key_id, account_id, group_id, model,
                upstream_model, dialect, stream, input_tokens, output_tokens, cache_creation_5m_tokens,
                cache_creation_1h_tokens, cache_read_tokens, cost, account_cost, multiplier, account_multiplier,
                duration_ms, status, ip, user_agent, usage_estimated, cache_ttl_overridden, "end")
            values ($1, $2::text::timestamptz, $3, $4, 5, 6, $5, 'upstream', 'anthropic', true, 10, 20, 1, 2, 3,
                1234567890, 1234567890, 10000, 12500, 250, 200, '10.0.0.1', 'ünit/1', false, false, 'complete')
            """,
            [.text(id), .text(time), .integer(user), .integer(key), .text(model)]
        )
    }
}

extension AdminAPITests {
    @Suite("The books")
    struct Books {
        @Test(
            "every change leaves a revision, an outbox entry and an audit entry, and is published before it is answered"
        )
        func change() async throws {
            try await withAdmin { admin in
                var published = 0
                admin.plane.changes.onCommitted = { published += 1 }
                let group = try await admin.makeGroup()
                #expect(published == 1)
                let user = try await admin.makeUser()
                let key = try await admin.makeKey(user: user, group: group)
                let account = try await admin.makeAccount()
                try await admin.plane.pool.execute("delete from outbox")
                let revision = "select revision as count from groups where id = \(group)"
                let before = try await admin.count(revision)
                published = 0

                let steps: [(String, String, JSON?, [String])] = [
                    ("PATCH", "/admin/groups/\(group)", ["multiplier": "2"], ["config 0"]),
                    ("PATCH", "/admin/keys/\(key.id)", ["rpm": 5], ["key \(key.id)", "money \(user)"]),
                    ("POST", "/admin/keys/\(key.id)/rotate", nil, ["key \(key.id)", "money \(user)"]),
                    ("PATCH", "/admin/users/\(user)", ["rpm": 5], ["user \(user)"]),
                    ("POST", "/admin/users/\(user)/balance", ["amount": "1"], ["money \(user)"]),
                    ("PATCH", "/admin/accounts/\(account.id)", ["rpm": 5], ["config 0"]),
                    (
                        "PATCH", "/admin/accounts/\(account.id)", ["credentials": ["api_key": "x"]],
                        ["account \(account.id)", "config 0"]
                    ),
                    ("PUT", "/admin/settings/gateway", [:], ["config 0"]),
                    ("DELETE", "/admin/keys/\(key.id)", nil, ["key \(key.id)", "money \(user)"]),
                ]
                for (index, (method, path, body, entries)) in steps.enumerated() {
                    #expect(try await admin.call(method, path, body).status < 300)
                    #expect(try await admin.outbox() == entries, "\(method) \(path)")
                    #expect(published == index + 1)
                    try await admin.plane.pool.execute("delete from outbox")
                }
                #expect(try await admin.count(revision) > before)
                // A look and a refusal leave nothing.
                _ = try await admin.call("GET", "/admin/groups/\(group)")
                _ = try await admin.call("PATCH", "/admin/groups/\(group)", ["multiplier": "x"])
                #expect(published == steps.count)
                #expect(try await admin.outbox() == [])

                let audit = try await admin.call("GET", "/admin/audit?resource=key&resource_id=\(key.id)")
                #expect(audit.items.compactMap { $0["action"]?.string } == ["delete", "rotate", "update", "create"])
                #expect(audit.items[2]["detail"] == ["rpm": 5])
                #expect(audit.items[2]["actor_id"] == 1 && audit.items[2]["ip"] == "127.0.0.1")
                let account1 = try await admin.call("GET", "/admin/audit?resource=account&action=update").items
                #expect(account1.first?["detail"] == ["credentials": ["api_key": "•••"]])
            }
        }

        @Test("a publisher that fails does not fail the call; the outbox keeps what is due")
        func publisherFails() async throws {
            struct Failure: Error {}
            try await withAdmin { admin in
                try await admin.plane.pool.execute("delete from outbox")
                admin.plane.changes.onCommitted = { throw Failure() }
                #expect(try await admin.makeGroup() > 0)
                #expect(try await admin.outbox() == ["config 0"])
            }
        }

        @Test("the usage log is filtered, walked by cursor without gap or overlap, and shows users their own alone")
        func usage() async throws {
            try await withAdmin { admin in
                let user = try await admin.makeUser()
                for index in 0..<25 {
                    // Several at the same moment: the request id decides.
                    try await admin.addUsage(
                        "req-\(index < 10 ? "0" : "")\(index)",
                        user: index % 5 == 0 ? user : 1,
                        key: Int64(index % 3),
                        model: index % 2 == 0 ? "claude-sonnet-5" : "gpt-6-sol",
                        at: "2026-11-0\(1 + index / 5)T12:00:00Z"
                    )
                }
                var seen: [String] = []
                var cursor = ""
                repeat {
                    let answer = try await admin.call(
                        "GET",
                        "/admin/usage?page_size=4" + (cursor.isEmpty ? "" : "&cursor=\(cursor)")
                    )
                    seen += answer.items.compactMap { $0["request_id"]?.string }
                    cursor = answer["next_cursor"]?.string ?? ""
                } while !cursor.isEmpty
                #expect(seen.count == 25 && seen == seen.sorted(by: >))

                func total(_ query: String, token: String?? = nil) async throws -> Int {
                    try await admin.call("GET", query, token: token).items.count
                }
                #expect(try await total("/admin/usage?user_id=\(user)") == 5)
                #expect(try await total("/admin/usage?model=gpt-6-sol&page_size=200") == 12)
                #expect(try await total("/admin/usage?request_id=req-07") == 1)
                #expect(try await total("/admin/usage?from=2026-11-02T00:00:00Z&to=2026-11-03T00:00:00Z") == 5)
                #expect(
                    try await admin.call("GET", "/admin/usage?from=x&cursor=y&user=1").faults == [
                        "cursor", "from", "user",
                    ]
                )

                let row = try #require(try await admin.call("GET", "/admin/usage?request_id=req-00").items.first)
                #expect(row["cost"] == "1.23456789" && row["account_multiplier"] == "1.25" && row["ip"] == "10.0.0.1")
                #expect(
                    row["upstream_model"] == "upstream" && row["end"] == "complete" && row["first_token_ms"] == .null
                )

                let token = try await admin.login("user@example.com", "a good password")["token"]?.string
                let own = try await admin.call("GET", "/usage", token: token).items
                #expect(own.count == 5)
                for name in ["ip", "account_id", "account_cost", "upstream_model"] {
                    #expect(own.allSatisfy { $0[name] == nil })
                }
                #expect(try await admin.call("GET", "/usage?user_id=1", token: token).status == 400)
            }
        }
    }

    @Suite("Starting")
    struct Starting {
        @Test("control planes that start together on an empty database make one schema, one admin and one price list")
        func together() async throws {
            let database = try await PrivatePostgres.admin().newDatabase()
            try await onLoop { loop in
                let planes = (0..<3).map { _ in AdminServer.plane(loop, database: database) }
                let done = planes.map { _ in Promise<Void>() }
                for (plane, promise) in zip(planes, done) {
                    loop.spawn {
                        do { promise.succeed(try await plane.start()) } catch { promise.fail(error) }
                    }
                }
                for promise in done { try await promise.wait() }
                let counts = try await planes[0].pool.query(
                    """
                    select (select count(*) from users) as users, (select count(*) from schema_migrations) as steps,
                        (select count(*) from prices where model in ('claude-', 'gpt-', 'gemini-')) as families,
                        (select count(*) from pg_inherits where inhparent = 'usage_records'::regclass) as partitions
                    """
                )
                let row = try #require(counts.first)
                #expect(try row.int("users") == 1 && row.int("steps") == Int64(Migrations.all.count))
                #expect(try row.int("families") == 3 && row.int("partitions") == 5)
                for plane in planes { await plane.stop() }
            }
        }

        @Test("a database of a newer program, or with a changed step, is refused")
        func migrations() async throws {
            try await withAdmin { admin in
                let pool = admin.plane.pool
                try await Migrations.run(in: pool)
                let next = try #require(Migrations.all.last).version + 1
                let step = Migration(version: next, name: "next", script: "create table second (id int); select 1;")
                try await Migrations.run(Migrations.all + [step], in: pool)
                await #expect(throws: MigrationError.databaseIsNewer(version: next)) {
                    try await Migrations.run(in: pool)
                }
                let changed = Migration(version: next, name: "next", script: "create table second (id bigint)")
                await #expect(throws: MigrationError.changed(version: next)) {
                    try await Migrations.run(Migrations.all + [changed], in: pool)
                }
                // A step that fails leaves nothing behind.
                let broken = Migration(
                    version: next + 1,
                    name: "further",
                    script: "create table third (id int); select nonsense;"
                )
                await #expect(throws: (any Error).self) {
                    try await Migrations.run(Migrations.all + [step, broken], in: pool)
                }
                #expect(try await admin.count("select count(*) as count from pg_class where relname = 'third'") == 0)
            }
        }

        @Test("records of a month without a partition are kept, and move into it when it is made")
        func partitions() async throws {
            try await withAdmin { admin in
                try await admin.addUsage("far", user: 1, key: 1, at: "2031-05-31T23:59:59.999Z")
                let far = try #require(Timestamp(rfc3339: "2031-05-01T00:00:00Z"))
                try await UsagePartitions.ensure(now: far, in: admin.plane.pool)
                try await UsagePartitions.ensure(now: far, in: admin.plane.pool)
                #expect(try await admin.count("select count(*) as count from usage_records_default") == 0)
                #expect(try await admin.count("select count(*) as count from usage_records_2031_05") == 1)
                #expect(try await admin.call("GET", "/admin/usage?request_id=far").items.count == 1)
            }
        }

        @Test("without users and without a named admin it says so")
        func noAdmin() async throws {
            let database = try await PrivatePostgres.admin().newDatabase()
            try await onLoop { loop in
                let plane = AdminServer.plane(loop, database: database, withAdmin: false)
                await #expect(throws: StartError.self) { try await plane.start() }
                await plane.stop()
            }
        }

        @Test("while the database is away calls are told to come back, and then they can")
        func databaseAway() async throws {
            let postgres = try await PrivatePostgres.start()
            let database = try await postgres.newDatabase()
            try await onLoop { loop in
                let admin = try await AdminServer.start(loop, database: database)
                try await postgres.kill()
                let away = try await admin.call("GET", "/admin/users")
                #expect(away.status == 503 && away.headers["retry-after"] != nil)
                #expect(away["type"] == "urn:tollgate:problem:unavailable")
                try await postgres.restart()
                var back = away
                for _ in 0..<20 where back.status != 200 { back = try await admin.call("GET", "/admin/users") }
                #expect(back.status == 200)
                await admin.stop()
            }
            try await postgres.stop()
        }

        @Test("probes answer on the admin listener")
        func probes() async throws {
            try await withAdmin { admin in
                let live = try await admin.raw("GET", "/health/live", [], headers: [])
                #expect(live.status == 200)
                // No Redis runs here.
                let down = try await admin.raw("GET", "/health/ready", [], headers: [])
                #expect(down.status == 503 && down["reason"] == "redis")
                admin.plane.probes.missing = { nil }
                let ready = try await admin.raw("GET", "/health/ready", [], headers: [])
                #expect(ready.status == 200)
                admin.plane.probes.isDraining = true
                let draining = try await admin.raw("GET", "/health/ready", [], headers: [])
                #expect(draining.status == 503)
            }
        }
    }
}
