import Domain
import Formats
import Postgres
import Telemetry
import Testing

@testable import ControlKit

extension AdminServer {
    fileprivate func addEvent(_ kind: String, user: Int64, key: Int64, at time: String, actor: Int64? = nil)
        async throws
    {
        try await plane.pool.execute(
            """
            insert into policy_events (created_at, key_id, user_id, kind, window_start_ms, actor_id)
            values ($1::text::timestamptz, $2, $3, $4, 1793491200000, $5::bigint)
            """,
            [.text(time), .integer(key), .integer(user), .text(kind), .optional(actor)]
        )
    }
}

extension AdminAPITests {
    @Suite("The usage log")
    struct UsageLog {
        private static func kinds(_ answer: AdminServer.Answer) -> [String] {
            answer.items.compactMap { $0["kind"]?.string }
        }

        @Test("what becomes of policies stands among the calls, in order, and can be filtered and walked")
        func events() async throws {
            try await withAdmin { admin in
                let user = try await admin.makeUser()
                for index in 0..<6 {
                    try await admin.addUsage("req-\(index)", user: user, key: 7, at: "2026-11-01T12:00:0\(index)Z")
                }
                // Two at the moment of a call, one after, one of somebody else.
                try await admin.addEvent("exhausted", user: user, key: 7, at: "2026-11-01T12:00:03Z")
                try await admin.addEvent("recovered", user: user, key: 7, at: "2026-11-01T12:00:03Z")
                try await admin.addEvent("reset", user: user, key: 7, at: "2026-11-01T13:00:00Z", actor: 1)
                try await admin.addEvent("exhausted", user: 1, key: 8, at: "2026-11-01T11:00:00Z")
                let all = try await admin.call("GET", "/admin/usage")
                #expect(
                    Self.kinds(all) == [
                        "policy_reset", "call", "call", "policy_recovered", "policy_exhausted", "call", "call", "call",
                        "call", "policy_exhausted",
                    ]
                )
                for size in 1...4 {
                    var seen: [JSON] = []
                    var cursor = ""
                    repeat {
                        let answer = try await admin.call(
                            "GET",
                            "/admin/usage?page_size=\(size)" + (cursor.isEmpty ? "" : "&cursor=\(cursor)")
                        )
                        seen += answer.items
                        cursor = answer["next_cursor"]?.string ?? ""
                    } while !cursor.isEmpty
                    #expect(seen == all.items)
                }
                func kinds(_ query: String, token: String?? = nil) async throws -> [String] {
                    Self.kinds(try await admin.call("GET", query, token: token))
                }
                #expect(try await kinds("/admin/usage?kind=policy_exhausted").count == 2)
                #expect(try await kinds("/admin/usage?kind=call").count == 6)
                #expect(try await kinds("/admin/usage?key_id=8") == ["policy_exhausted"])
                #expect(try await kinds("/admin/usage?from=2026-11-01T12:59:00Z") == ["policy_reset"])
                // What only calls have keeps events out.
                for filter in ["account_id=5", "group_id=6", "model=claude-sonnet-5", "stream=true"] {
                    #expect(
                        try await kinds("/admin/usage?\(filter)&page_size=200") == Array(repeating: "call", count: 6)
                    )
                }
                #expect(try await admin.call("GET", "/admin/usage?kind=other").faults == ["kind"])

                let reset = try #require(all.items.first)
                #expect(reset["actor_id"] == 1 && reset["window_start"] == "2026-11-01T00:00:00Z")
                #expect(reset["cost"] == "0" && reset["input_tokens"] == 0 && reset["account_id"] == .null)
                #expect(reset["key_id"] == 7 && reset["user_id"] == .int(user) && reset["model"] == .null)
                let id = try #require(reset["request_id"]?.string)
                #expect(try await kinds("/admin/usage?request_id=\(id)") == ["policy_reset"])

                let token = try await admin.login("user@example.com", "a good password")["token"]?.string
                #expect(try await kinds("/usage?page_size=200", token: token).count == 9)
                #expect(try await kinds("/usage?kind=policy_reset", token: token) == ["policy_reset"])

                // The file has the same entries, each with all of its columns.
                var file = UsageFile(forAdmin: true)
                for entry in try await UsageStore.page(Conditions(), after: nil, limit: 50, in: admin.plane.pool) {
                    file.add(entry)
                }
                let lines = String(decoding: file.bytes, as: UTF8.self).split(separator: "\r\n").map { line in
                    line.split(separator: ",", omittingEmptySubsequences: false)
                }
                #expect(lines.count == 11 && lines.allSatisfy { $0.count == lines[0].count })
                #expect(lines[0].first == "kind" && lines[1].first == "policy_reset" && lines[2].first == "call")
            }
        }

        @Test("a row keeps the prices that it was billed at, whatever becomes of the price list")
        func prices() async throws {
            try await withAdmin { admin in
                let created = try await admin.call(
                    "POST",
                    "/admin/prices",
                    [
                        "model": "mein-", "match": "prefix", "input": "4", "output": "20", "cache_read": "0.4",
                        "input_above_200k": "8", "input_flex": "2", "max_input_tokens": 1000, "max_output_tokens": 64,
                    ]
                )
                #expect(created.status == 201 && created["max_output_tokens"] == 64 && created["input_flex"] == "2")
                let version = try #require(created["version"]?.int64)
                try await admin.addUsage("small", user: 1, key: 1, at: "2026-11-01T12:00:00Z")
                try await admin.addUsage("long", user: 1, key: 1, at: "2026-11-01T12:00:01Z")
                try await admin.addUsage("old", user: 1, key: 1, at: "2026-11-01T12:00:02Z")
                try await admin.plane.pool.execute(
                    "update usage_records set price_version = $1 where request_id <> 'old'",
                    [.integer(version)]
                )
                try await admin.plane.pool.execute(
                    "update usage_records set input_tokens = 200000, service_tier = 'flex' where request_id = 'long'"
                )
                let path = "/admin/prices/\(created.id)"
                #expect(try await admin.call("PATCH", path, ["input": "5"]).status == 200)
                #expect(try await admin.call("DELETE", path).status == 204)
                let rows = try await admin.call("GET", "/admin/usage").items
                #expect(rows[0]["prices"] == .null && rows[0]["price_match"] == .null)
                #expect(rows[1]["service_tier"] == "flex" && rows[1]["prices"]?["input"] == "4")
                #expect(rows[2]["prices"]?["input"] == "4" && rows[2]["prices"]?["output"] == "20")
                #expect(rows[2]["prices"]?["cache_write_5m"] == "4" && rows[2]["prices"]?["cache_read"] == "0.4")
                #expect(rows[2]["price_match"] == "prefix" && rows[2]["price_model"] == "mein-")
            }
        }

        @Test(
            "what is no price and no number of tokens is refused by the field's name",
            arguments: [
                ("input_above_272k", "-1"), ("cache_read_priority", "NaN"), ("output_flex", "0.0000000001"),
                ("max_output_tokens", "0"), ("max_input_tokens", "100000001"), ("max_output_tokens", "1.5"),
            ]
        )
        func refused(field: String, text: String) async throws {
            try await withAdmin { admin in
                let value: JSON =
                    field.hasPrefix("max") ? (Int64(text).map { .int($0) } ?? .string(text)) : .string(text)
                let answer = try await admin.call(
                    "POST",
                    "/admin/prices",
                    .object([(key: "model", value: "m"), (key: "input", value: "1"), (key: field, value: value)])
                )
                #expect(answer.faults == [field])
            }
        }

        @Test("months that are kept no longer go whole, with what policies had in them; the others stay")
        func retention() async throws {
            try await withAdmin { admin in
                let pool = admin.plane.pool
                for month in ["2030-01", "2030-02", "2030-05"] {
                    let at = try #require(Timestamp(rfc3339: "\(month)-15T00:00:00Z"))
                    try await UsagePartitions.ensure(now: at, in: pool)
                    try await admin.addUsage("r\(month)", user: 1, key: 1, at: "\(month)-28T23:59:59Z")
                    try await admin.addEvent("exhausted", user: 1, key: 1, at: "\(month)-28T23:59:59Z")
                }
                let now = try #require(Timestamp(rfc3339: "2030-05-01T00:00:00Z"))
                try await UsagePartitions.drop(now: now, keeping: 3, in: pool)
                let rows = try await admin.call("GET", "/admin/usage?from=2029-01-01T00:00:00Z").items
                #expect(rows.count == 4)
                #expect(
                    try await admin.count(
                        "select count(*) as count from pg_class where relname = 'usage_records_2030_01'"
                    ) == 0
                )
                #expect(
                    try await admin.count(
                        "select count(*) as count from pg_class where relname = 'usage_records_2030_02'"
                    ) == 1
                )
                try await UsagePartitions.drop(now: now, keeping: 3, in: pool)
            }
        }
    }
}
