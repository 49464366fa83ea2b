import Crypto
import Domain
import Formats
import Postgres
import Testing

@testable import ControlKit

extension AdminAPITests {
    @Suite("API keys")
    struct Keys {
        @Test("the key is in the answers to creation and rotation alone, and only its hash is kept")
        func secret() async throws {
            try await withAdmin { admin in
                let group = try await admin.makeGroup()
                let user = try await admin.makeUser()
                let created = try await admin.makeKey(
                    user: user,
                    group: group,
                    ["quota": "5", "ip_whitelist": ["10.0.0.0/8"]]
                )
                let key = try #require(created["key"]?.string)
                #expect(APIKeyFormat.isWellFormed(key))
                #expect(created["key_prefix"] == .string(APIKeyFormat.displayPrefix(key)))
                let path = "/admin/keys/\(created.id)"
                let read = try await admin.call("GET", path)
                #expect(read["key"] == nil && read["quota"] == "5" && read["display_status"] == "active")
                let rotated = try await admin.call("POST", path + "/rotate")
                let next = try #require(rotated["key"]?.string)
                #expect(next != key && rotated.id == created.id && rotated["quota"] == "5")
                #expect(
                    try await admin.count(
                        "select count(*) as count from api_keys where key_hash = '\(APIKeyFormat.hash(next))'"
                    ) == 1
                )
                for table in ["api_keys", "audit_log"] {
                    for text in [key, next] {
                        #expect(
                            try await admin.count(
                                "select count(*) as count from \(table) t where t::text like '%\(text)%'"
                            ) == 0
                        )
                    }
                }
            }
        }

        @Test("what a key is from outside is computed, and the filter agrees with what is shown")
        func displayStatus() async throws {
            try await withAdmin { admin in
                let group = try await admin.makeGroup()
                let user = try await admin.makeUser()
                var expected: [Int64: String] = [:]
                for (fields, status) in [
                    ([:], "active"), (["status": "disabled"], "disabled"),
                    (["expires_at": "2020-01-01T00:00:00Z"], "expired"),
                    (["quota": "1"], "quota_exhausted"), (["quota": "2"], "active"),
                    (["status": "disabled", "expires_at": "2020-01-01T00:00:00Z"], "disabled"),
                ] as [(JSON, String)] {
                    expected[try await admin.makeKey(user: user, group: group, fields).id] = status
                }
                try await admin.plane.pool.execute("update api_keys set quota_used = 1000000000")
                for status in ["active", "disabled", "expired", "quota_exhausted"] {
                    let items = try await admin.call("GET", "/admin/keys?display_status=\(status)").items
                    #expect(items.allSatisfy { $0["display_status"] == .string(status) })
                    let ids = Set(items.compactMap { $0["id"]?.int64 })
                    #expect(ids == Set(expected.filter { $0.value == status }.keys))
                }
                let exhausted = try #require(expected.first { $0.value == "quota_exhausted" }).key
                #expect(
                    try await admin.call("POST", "/admin/keys/\(exhausted)/reset-quota")["display_status"] == "active"
                )
                let expired = try #require(expected.first { $0.value == "expired" }).key
                let cleared = try await admin.call("POST", "/admin/keys/\(expired)/clear-expiration")
                #expect(cleared["display_status"] == "active" && cleared["expires_at"] == .null)
            }
        }

        @Test("user and group must be there; the user never changes")
        func references() async throws {
            try await withAdmin { admin in
                let answer = try await admin.call("POST", "/admin/keys", ["name": "k", "user_id": 77, "group_id": 88])
                #expect(answer.status == 400 && answer.faults == ["group_id", "user_id"])
                let group = try await admin.makeGroup()
                let user = try await admin.makeUser()
                let key = try await admin.makeKey(user: user, group: group)
                let path = "/admin/keys/\(key.id)"
                #expect(try await admin.call("PATCH", path, ["user_id": 1]).faults == ["user_id"])
                #expect(try await admin.call("PATCH", path, ["group_id": 999]).faults == ["group_id"])
                #expect(try await admin.call("PATCH", path, ["quota_used": "0"]).faults == ["quota_used"])
                let other = try await admin.makeGroup("Andere")
                #expect(try await admin.call("PATCH", path, ["group_id": .int(other)])["group_id"] == .int(other))
            }
        }

        @Test("users manage their own keys in open groups, and nobody else's")
        func own() async throws {
            try await withAdmin { admin in
                let closed = try await admin.makeGroup("closed")
                let open = try await admin.makeGroup("open", ["open": true])
                let user = try await admin.makeUser()
                let foreign = try await admin.makeKey(user: 1, group: open)
                let token = try await admin.login("user@example.com", "a good password")["token"]?.string
                func call(_ method: String, _ path: String, _ body: JSON? = nil) async throws -> AdminServer.Answer {
                    try await admin.call(method, path, body, token: token)
                }
                #expect(
                    try await call("POST", "/keys", ["name": "k", "group_id": .int(closed)]).faults == ["group_id"]
                )
                #expect(
                    try await call("POST", "/keys", ["name": "k", "group_id": .int(open), "rpm": 9]).faults == ["rpm"]
                )
                let key = try await call("POST", "/keys", ["name": "k", "group_id": .int(open), "quota": "3"])
                #expect(key.status == 201 && key["key"]?.string != nil && key["user_id"] == .int(user))
                #expect(try await call("GET", "/keys").items.compactMap { $0["id"]?.int64 } == [key.id])
                #expect(try await call("GET", "/keys?user_id=1")["total"] == 0)
                #expect(try await call("GET", "/keys/groups").items.compactMap { $0["id"]?.int64 } == [open])
                for (method, body) in [("GET", nil), ("PATCH", ["name": "x"]), ("DELETE", nil)] as [(String, JSON?)] {
                    #expect(try await call(method, "/keys/\(foreign.id)", body).status == 404)
                }
                let patched = try await call("PATCH", "/keys/\(key.id)", ["name": "neu", "ip_blacklist": ["::1"]])
                #expect(patched["name"] == "neu" && patched["quota"] == "3")
                #expect(try await call("PATCH", "/keys/\(key.id)", ["group_id": .int(closed)]).faults == ["group_id"])
                #expect(try await call("DELETE", "/keys/\(key.id)").status == 204)
                #expect(try await call("GET", "/profile")["email"] == "user@example.com")
                #expect(try await call("PATCH", "/profile", ["email": "neu@example.com"])["email"] == "neu@example.com")
                #expect(try await call("PATCH", "/profile", ["role": "admin"]).faults == ["role"])
                #expect(try await call("PATCH", "/profile", ["email": .string(AdminServer.email)]).status == 409)
            }
        }
    }
}
