import Formats
import Postgres
import Testing

@testable import ControlKit

extension AdminAPITests {
    @Suite("Policies of keys")
    struct Policies {
        private static let policy: JSON = [
            "period": "daily", "quota": "5", "boundary": "strict", "exhausted_action": "disable_key",
            "auto_resume": true, "anchor_time": "2026-01-31T00:00:00Z",
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
    }
}
