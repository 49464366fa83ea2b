import Crypto
import Domain
import Formats
import Postgres
import Testing

@testable import ControlKit

extension AdminAPITests {
    @Suite("Groups")
    struct Groups {
        @Test("a group is created, read, changed and deleted")
        func life() async throws {
            try await withAdmin { admin in
                let created = try await admin.call(
                    "POST",
                    "/admin/groups",
                    [
                        "name": "群组 Größe", "platform": "gemini", "multiplier": "0.8", "subscription": true,
                        "daily_limit": "10.5", "weekly_limit": "0", "model_allowlist": ["gemini-*", "gemma-3"],
                        "open": true,
                    ]
                )
                #expect(created.status == 201)
                #expect(
                    created["name"] == "群组 Größe" && created["multiplier"] == "0.8" && created["daily_limit"] == "10.5"
                )
                #expect(created["weekly_limit"] == .null && created["status"] == "active")
                let path = "/admin/groups/\(created.id)"
                let patched = try await admin.call("PATCH", path, ["daily_limit": .null, "status": "inactive"])
                #expect(patched["daily_limit"] == .null && patched["status"] == "inactive" && patched["open"] == true)
                #expect(try await admin.call("PATCH", path, ["platform": "openai"]).faults == ["platform"])
                #expect(try await admin.call("PATCH", path, ["name": .null]).faults == ["name"])
                let twin = try await admin.call("POST", "/admin/groups", ["name": "群组 Größe", "platform": "openai"])
                #expect(twin.status == 409 && twin.faults == ["name"])
                #expect(try await admin.call("DELETE", path).status == 204)
                #expect(try await admin.call("GET", path).status == 404)
            }
        }

        @Test("a group that is used says by what when it is deleted")
        func used() async throws {
            try await withAdmin { admin in
                let group = try await admin.makeGroup()
                let user = try await admin.makeUser()
                let key = try await admin.makeKey(user: user, group: group)
                let account = try await admin.makeAccount(["group_ids": [.int(group)]])
                let fallback = try await admin.makeGroup("Ausweich", ["fallback_group_id": .int(group)])
                let refused = try await admin.call("DELETE", "/admin/groups/\(group)")
                #expect(refused.status == 409)
                let detail = refused["detail"]?.string ?? ""
                for word in ["1 API key", "1 account", "1 group"] { #expect(detail.contains(word)) }
                for path in ["/admin/keys/\(key.id)", "/admin/accounts/\(account.id)", "/admin/groups/\(fallback)"] {
                    #expect(try await admin.call("DELETE", path).status == 204)
                }
                #expect(try await admin.call("DELETE", "/admin/groups/\(group)").status == 204)
            }
        }

        @Test("a fallback is checked from both sides")
        func fallback() async throws {
            try await withAdmin { admin in
                let plain = try await admin.makeGroup("plain")
                let strict = try await admin.makeGroup(
                    "strict",
                    ["claude_code_only": true, "fallback_group_id": .int(plain)]
                )
                let foreign = try await admin.makeGroup("foreign", ["platform": "openai"])
                for wrong in [strict, foreign, 9999] {
                    let answer = try await admin.call(
                        "PATCH",
                        "/admin/groups/\(strict)",
                        ["fallback_group_id": .int(wrong)]
                    )
                    #expect(answer.status == 400 && answer.faults == ["fallback_group_id"])
                }
                let turned = try await admin.call("PATCH", "/admin/groups/\(plain)", ["claude_code_only": true])
                #expect(turned.status == 409 && turned.faults == ["claude_code_only"])
            }
        }

        @Test("a new order is taken whole or not at all, and every listing follows it")
        func order() async throws {
            try await withAdmin { admin in
                var ids: [Int64] = []
                for name in ["a", "b", "c"] { ids.append(try await admin.makeGroup(name)) }
                func names() async throws -> [String] {
                    try await admin.call("GET", "/admin/groups").items.compactMap { $0["name"]?.string }
                }
                #expect(try await names() == ["a", "b", "c"])
                func put(_ places: [(Int64, Int64)]) async throws -> AdminServer.Answer {
                    try await admin.call(
                        "PUT",
                        "/admin/groups/sort-order",
                        ["items": .array(places.map { ["id": .int($0.0), "sort_order": .int($0.1)] })]
                    )
                }
                let answer = try await put([(ids[2], 1), (ids[0], 2), (ids[1], 3)])
                #expect(answer.status == 200)
                #expect(answer.items.compactMap { $0["name"]?.string } == ["c", "a", "b"])
                #expect(try await names() == ["c", "a", "b"])
                let wrong = try await put([(ids[0], 1), (9999, 2), (ids[2], 3)])
                #expect(wrong.status == 400 && wrong.faults == ["items[1].id"])
                #expect(try await names() == ["c", "a", "b"])
            }
        }
    }
}
