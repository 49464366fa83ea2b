import Crypto
import Domain
import Formats
import Postgres
import Testing

@testable import ControlKit

extension AdminAPITests {
    @Suite("Users and wallets")
    struct Users {
        @Test("a user is created, read, changed and deleted; the address is free again afterwards")
        func life() async throws {
            try await withAdmin { admin in
                let created = try await admin.call(
                    "POST",
                    "/admin/users",
                    ["email": "Größe@exämple.com", "password": "пароль-пароль", "concurrency": 3, "rpm": 60]
                )
                #expect(created.status == 201)
                #expect(
                    created["email"] == "Größe@exämple.com" && created["role"] == "user" && created["balance"] == "0"
                )
                #expect(created.body["password"] == nil)
                let path = "/admin/users/\(created.id)"
                #expect(try await admin.call("GET", path).body == created.body)
                #expect(try await admin.login("Größe@exämple.com", "пароль-пароль").status == 200)

                let patched = try await admin.call("PATCH", path, ["rpm": .null, "role": "admin"])
                #expect(patched["rpm"] == 0 && patched["concurrency"] == 3 && patched["role"] == "admin")
                let again = try await admin.call(
                    "POST",
                    "/admin/users",
                    ["email": "GRÖSSE@exämple.com", "password": "пароль-пароль"]
                )
                #expect(again.status == 201)

                #expect(try await admin.call("DELETE", path).status == 204)
                #expect(try await admin.call("GET", path).status == 404)
                #expect(try await admin.call("PATCH", path, ["rpm": 1]).status == 404)
                #expect(try await admin.call("DELETE", path).status == 404)
                let reborn = try await admin.makeUser("Größe@exämple.com")
                #expect(reborn != created.id)
            }
        }

        @Test("an address in use is a conflict that names the field, whatever its case")
        func conflict() async throws {
            try await withAdmin { admin in
                _ = try await admin.makeUser("one@example.com")
                let other = try await admin.makeUser("two@example.com")
                let answer = try await admin.call(
                    "POST",
                    "/admin/users",
                    ["email": "ONE@example.com", "password": "a good password"]
                )
                #expect(answer.status == 409 && answer.faults == ["email"])
                let patch = try await admin.call("PATCH", "/admin/users/\(other)", ["email": "one@EXAMPLE.com"])
                #expect(patch.status == 409 && patch.faults == ["email"])
                #expect(try await admin.call("GET", "/admin/users/\(other)")["email"] == "two@example.com")
            }
        }

        @Test("the last active admin cannot be deleted, disabled or demoted")
        func lastAdmin() async throws {
            try await withAdmin { admin in
                for patch: JSON in [["role": "user"], ["status": "disabled"]] {
                    #expect(try await admin.call("PATCH", "/admin/users/1", patch).status == 409)
                }
                #expect(try await admin.call("DELETE", "/admin/users/1").status == 409)
                let second = try await admin.makeUser("second@example.com", ["role": "admin"])
                #expect(try await admin.call("PATCH", "/admin/users/\(second)", ["role": "user"]).status == 200)
                #expect(try await admin.call("PATCH", "/admin/users/\(second)", ["role": "admin"]).status == 200)
                #expect(try await admin.call("DELETE", "/admin/users/1").status == 204)
                #expect(try await admin.call("GET", "/auth/me").status == 401)
            }
        }

        @Test("deleting a user deletes the user's keys with it and tells the workers of both")
        func deletesKeys() async throws {
            try await withAdmin { admin in
                let group = try await admin.makeGroup()
                let user = try await admin.makeUser()
                let key = try await admin.makeKey(user: user, group: group)
                try await admin.plane.pool.execute("delete from outbox")
                #expect(try await admin.call("DELETE", "/admin/users/\(user)").status == 204)
                #expect(try await admin.call("GET", "/admin/keys/\(key.id)").status == 404)
                #expect(
                    try await admin.count(
                        "select count(*) as count from api_keys where status = 'disabled' and deleted_at is not null"
                    ) == 1
                )
                #expect(try await admin.outbox() == ["key \(key.id)", "user \(user)"])
            }
        }

        @Test("the balance is the sum of the ledger, whatever is done at once")
        func ledger() async throws {
            try await withAdmin { admin in
                let user = try await admin.makeUser("u@example.com", ["balance": "10"])
                let path = "/admin/users/\(user)/balance"
                let amounts = ["25.00", "-3.5", "0.000000001", "-40", "100", "7", "-0.5", "1", "2", "3"]
                let answers = try await admin.together(amounts.count) { index in
                    try await admin.call(
                        "POST",
                        path,
                        ["amount": .string(amounts[index]), "note": .string("Nr. \(index) 💶")]
                    )
                }
                #expect(answers.allSatisfy { $0.status == 200 })
                let balance = try await admin.call("GET", "/admin/users/\(user)")["balance"]?.string
                #expect(balance == "104.000000001")
                #expect(
                    try await admin.count(
                        "select (sum(amount) - (select balance from users where id = \(user)))::bigint as count from wallet_ledger where user_id = \(user)"
                    ) == 0
                )
                // Each entry says what the balance was after it.
                let entries = try await admin.call("GET", path + "?page_size=200").items
                #expect(entries.count == 11)
                #expect(entries.first?["balance_after"]?.string == balance)
                var running = NanoUSD.zero
                for entry in entries.reversed() {
                    running += try #require(entry["amount"]?.string.flatMap { NanoUSD(decimal: $0) })
                    #expect(entry["balance_after"]?.string == running.description)
                }
                #expect(entries.last?["kind"] == "top_up")
                #expect(entries.contains { $0["kind"] == "adjustment" })
            }
        }

        @Test("an amount beyond what every part can count is refused and leaves nothing")
        func bounds() async throws {
            try await withAdmin { admin in
                let user = try await admin.makeUser()
                let path = "/admin/users/\(user)/balance"
                #expect(try await admin.call("POST", path, ["amount": "9000000"]).status == 200)
                let answer = try await admin.call("POST", path, ["amount": "0.000000001"])
                #expect(answer.status == 400 && answer.faults == ["amount"])
                #expect(try await admin.call("GET", path)["total"] == 1)
                let direct = try await admin.call("PATCH", "/admin/users/\(user)", ["balance": "5"])
                #expect(direct.status == 400 && direct.faults == ["balance"])
                #expect(try await admin.call("POST", "/admin/users/999/balance", ["amount": "1"]).status == 404)
            }
        }

        @Test("patches at once to different fields all last")
        func concurrentPatches() async throws {
            try await withAdmin { admin in
                let group = try await admin.makeGroup()
                let fields: [JSON] = [
                    ["name": "Neu"], ["multiplier": "1.5"], ["claude_code_only": true], ["daily_limit": "5"],
                    ["weekly_limit": "6"], ["monthly_limit": "7"], ["open": true], ["model_allowlist": ["claude-*"]],
                ]
                let answers = try await admin.together(fields.count) {
                    try await admin.call("PATCH", "/admin/groups/\(group)", fields[$0])
                }
                #expect(answers.allSatisfy { $0.status == 200 })
                let result = try await admin.call("GET", "/admin/groups/\(group)").body
                for field in fields { #expect(result.merged(with: field) == result) }
            }
        }
    }
}
