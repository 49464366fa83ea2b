import Formats
import Postgres
import Telemetry
import Testing

@testable import ControlKit

extension AdminAPITests {
    @Suite("Policies of keys")
    struct Policies {
        private static let policy: JSON = [
            "period": "daily", "quota": "5", "boundary": "strict", "exhausted_action": "disable_key",
            "auto_resume": true, "anchor_time": "2026-01-31T00:00:00Z",
        ]

        /// Stays exhausted until a reset.
        private static let lasting: JSON = [
            "period": "daily", "quota": "5", "boundary": "strict", "exhausted_action": "disable_key",
            "auto_resume": false, "anchor_time": "2026-01-31T00:00:00Z",
        ]

        /// From now on the database refuses to write this table.
        private static func refuse(_ table: String, _ admin: AdminServer) async throws {
            try await admin.plane.pool.withConnection { connection in
                try await connection.runScript(
                    """
                    create function refuse() returns trigger language plpgsql as
                        $$ begin raise exception 'the disk is full' using errcode = '53100'; end $$;
                    create trigger refuse before insert or update or delete on \(table)
                        for each row execute function refuse()
                    """
                )
            }
        }

        @Test(
            "a save that fails half-way leaves key and policy as they were, and publishes nothing",
            arguments: ["key_policies", "api_keys", "outbox", "audit_log"]
        )
        func failedSave(table: String) async throws {
            try await withAdmin { admin in
                let group = try await admin.makeGroup()
                let user = try await admin.makeUser()
                let path =
                    "/admin/keys/\(try await admin.makeKey(user: user, group: group, ["policy": Self.policy]).id)"
                let before = try await admin.call("GET", path).body
                let counts = ["api_keys", "key_policies", "outbox", "audit_log"]
                func rows() async throws -> [Int64] {
                    var found: [Int64] = []
                    for table in counts {
                        found.append(try await admin.count("select count(*) as count from \(table)"))
                    }
                    return found
                }
                let rowsBefore = try await rows()
                try await Self.refuse(table, admin)
                for change in [
                    ["name": "another", "quota": "7", "policy": ["quota": "9"]],
                    ["name": "another", "policy": ["period": "weekly"]],
                    ["name": "another", "policy": .null],
                ] as [JSON] {
                    let answer = try await admin.call("PATCH", path, change)
                    #expect(answer.status >= 500, "\(answer.body)")
                    #expect(try await admin.call("GET", path).body == before)
                }
                let body: JSON = [
                    "name": "new", "user_id": .int(user), "group_id": .int(group), "policy": Self.policy,
                ]
                #expect(try await admin.call("POST", "/admin/keys", body).status >= 500)
                #expect(try await rows() == rowsBefore)
            }
        }

        /// What an exhausted policy of 5 USD is given, in a later window, and whether that ends the exhaustion.
        private static let changes: [(used: Int64, change: JSON, ends: Bool)] = [
            (5, ["exhausted_action": "reject"], false), (5, ["boundary": "graceful"], false),
            (5, ["quota": "4"], false), (5, ["quota": "5.01"], true), (7, ["quota": "6"], false),
            (7, ["quota": "7"], false), (7, ["quota": "8"], true), (5, ["period": "weekly"], true),
            (5, ["anchor_time": "2026-01-30T00:00:00Z"], true),
            // A strict call that could not fit.
            (3, ["exhausted_action": "reject"], false), (3, ["quota": "4"], false), (3, ["quota": "6"], true),
            (5, ["auto_resume": true], false),
        ]

        @Test("what waits for a reset is ended by no change but a quota that leaves room", arguments: 0..<13, [0, 3])
        func edits(number: Int, windowsAgo: Int64) async throws {
            let (used, change, ends) = Self.changes[number]
            try await withAdmin { admin in
                let id = try await admin.makeKey(
                    user: try await admin.makeUser(),
                    group: try await admin.makeGroup(),
                    ["policy": Self.lasting]
                ).id
                let path = "/admin/keys/\(id)"
                let day: Int64 = 86_400_000
                let window = WallClock.microseconds / 1000 / day * day - windowsAgo * day
                try await admin.plane.pool.execute(
                    """
                    update key_policies set window_start_ms = $1, used = $2, exhausted_window_ms = $1
                    where key_id = $3
                    """,
                    [.integer(window), .integer(used * 1_000_000_000), .integer(id)]
                )
                #expect(try await admin.call("GET", path)["display_status"] == "temporarily_disabled")
                #expect(try await admin.call("PATCH", path, ["policy": change]).status == 200)
                let row = try #require(
                    try await admin.plane.pool.query(
                        "select exhausted_window_ms as a, exhausted_until_ms as b from key_policies where key_id = $1",
                        [.integer(id)]
                    ).first
                )
                #expect(try row.optionalInt("a") == (ends ? nil : window))
                // It resumes at the end of the window in which it was exhausted, not of the one that runs.
                #expect(try row.optionalInt("b") == (change["auto_resume"] == true ? window + day : nil))
            }
        }
    }
}
