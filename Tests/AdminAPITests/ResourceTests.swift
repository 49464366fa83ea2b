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

    @Suite("Accounts")
    struct Accounts {
        private static func secrets(_ id: Int64, _ admin: AdminServer) async throws -> [String: String] {
            let rows = try await admin.plane.pool.query(
                "select credentials_sealed from accounts where id = $1",
                [.integer(id)]
            )
            let sealed = try #require(rows.first).text("credentials_sealed")
            return try CredentialSealing(try #require(admin.plane.config.masterKeys)).open(sealed, of: AccountID(id))
        }

        @Test("credentials come back masked, and a mask sent back changes nothing")
        func masked() async throws {
            try await withAdmin { admin in
                let account = try await admin.makeAccount()
                #expect(account["credentials"]?["api_key"] == "•••")
                #expect(account["credentials"]?["base_url"] == "https://api.anthropic.com")
                #expect(account["credentials"]?["sign_in_state"] == "signed_in")
                #expect(!account.body.text.contains("sk-ant-secret"))
                let path = "/admin/accounts/\(account.id)"
                let version = "select credentials_version as count from accounts"

                // The whole credentials object as it was shown.
                let credentials = try #require(account["credentials"])
                #expect(try await admin.call("PATCH", path, ["credentials": credentials, "priority": 9]).status == 200)
                #expect(try await admin.count(version) == 1)
                #expect(try await Self.secrets(account.id, admin) == ["api_key": "sk-ant-secret-1"])

                let plain = try await admin.call("PATCH", path, ["credentials": ["base_url": "http://127.0.0.1:9/x"]])
                #expect(plain["credentials"]?["base_url"] == "http://127.0.0.1:9/x")
                #expect(plain["priority"] == 9)
                #expect(try await admin.count(version) == 2)
                #expect(try await Self.secrets(account.id, admin) == ["api_key": "sk-ant-secret-1"])

                let changed = try await admin.call("PATCH", path, ["credentials": ["api_key": "sk-ant-secret-2"]])
                #expect(changed["credentials"]?["api_key"] == "•••")
                #expect(try await Self.secrets(account.id, admin) == ["api_key": "sk-ant-secret-2"])
                // Nowhere in the database is a secret in clear: not in the row, not in the audit log.
                for table in ["accounts", "audit_log", "outbox"] {
                    #expect(
                        try await admin.count(
                            "select count(*) as count from \(table) t where t::text like '%sk-ant-secret%'"
                        ) == 0
                    )
                }
            }
        }

        @Test("every field is stored and answered as it was given")
        func roundTrip() async throws {
            try await withAdmin { admin in
                let group = try await admin.makeGroup()
                let proxy = try await admin.call(
                    "POST",
                    "/admin/proxies",
                    ["name": "p", "protocol": "socks5", "host": "localhost", "port": 1080]
                )
                let fields: JSON = [
                    "name": "Konto № 1 — 账户", "group_ids": [.int(group)], "priority": 1, "concurrency": 2, "rpm": 3,
                    "multiplier": "1.2345", "model_mapping": ["claude-*": "claude-sonnet-5", "ä": "ö"],
                    "header_overrides": ["x-team": "blue"], "proxy_id": .int(proxy.id), "schedulable": false,
                    "upstream_protocol": "http1", "expires_at": "2030-01-02T03:04:05.678901Z", "pool_mode": true,
                    "pool_retry_count": 7, "custom_error_codes": [418, 503],
                    "temp_unschedulable_rules": [["status": 429, "keywords": ["zu viel", "🐢"], "minutes": 5]],
                    "quota_daily": "1.000000001", "quota_weekly": "2", "quota_total": "9000000",
                    "cache_ttl_override": "1h", "status": "inactive",
                ]
                let account = try await admin.makeAccount(fields)
                #expect(account.body.merged(with: fields) == account.body)
                #expect(try await admin.call("GET", "/admin/accounts/\(account.id)").body == account.body)
                // Null puts every optional field back.
                let empty = JSON.object(
                    (fields.object ?? []).filter { $0.key != "name" }.map { (key: $0.key, value: JSON.null) }
                )
                let reset = try await admin.call("PATCH", "/admin/accounts/\(account.id)", empty)
                #expect(reset.status == 200)
                #expect(reset["group_ids"] == [] && reset["priority"] == 50 && reset["quota_total"] == .null)
                #expect(reset["model_mapping"] == [:] && reset["proxy_id"] == .null && reset["schedulable"] == true)
            }
        }

        @Test("groups must be there and of the platform, a proxy must be there, and all faults come at once")
        func references() async throws {
            try await withAdmin { admin in
                let own = try await admin.makeGroup("own")
                let foreign = try await admin.makeGroup("foreign", ["platform": "openai"])
                let answer = try await admin.call(
                    "POST",
                    "/admin/accounts",
                    [
                        "name": "", "platform": "anthropic", "type": "apikey", "credentials": [:],
                        "group_ids": [.int(own), .int(foreign), 9999], "proxy_id": 5, "priority": "high",
                    ]
                )
                #expect(answer.status == 400)
                #expect(
                    answer.faults == [
                        "credentials.api_key", "group_ids[1]", "group_ids[2]", "name", "priority", "proxy_id",
                    ]
                )
                #expect(try await admin.call("GET", "/admin/accounts")["total"] == 0)
            }
        }

        @Test("a change that fails leaves nothing of itself: no row, no group, no outbox, no audit")
        func atomic() async throws {
            try await withAdmin { admin in
                let group = try await admin.makeGroup()
                _ = try await admin.makeAccount(["name": "taken"])
                let other = try await admin.makeAccount(["name": "other"])
                try await admin.plane.pool.execute("delete from outbox")
                let audits = try await admin.count("select count(*) as count from audit_log")
                let create = try await admin.call(
                    "POST",
                    "/admin/accounts",
                    [
                        "name": "taken", "platform": "anthropic", "type": "apikey", "credentials": ["api_key": "k"],
                        "group_ids": [.int(group)],
                    ]
                )
                #expect(create.status == 409 && create.faults == ["name"])
                let patch = try await admin.call(
                    "PATCH",
                    "/admin/accounts/\(other.id)",
                    ["name": "taken", "group_ids": [.int(group)], "credentials": ["api_key": "k2"]]
                )
                #expect(patch.status == 409)
                #expect(try await admin.count("select count(*) as count from account_groups") == 0)
                #expect(try await admin.count("select count(*) as count from accounts") == 2)
                #expect(try await admin.count("select count(*) as count from audit_log") == audits)
                #expect(try await admin.outbox() == [])
                #expect(try await Self.secrets(other.id, admin) == ["api_key": "sk-ant-secret-1"])
            }
        }

        @Test("concurrent edits of credentials and of other fields all last")
        func concurrent() async throws {
            try await withAdmin { admin in
                let account = try await admin.makeAccount()
                let edits: [JSON] = [
                    ["credentials": ["api_key": "new-key"]], ["credentials": ["base_url": "https://example.com"]],
                    ["priority": 3], ["rpm": 4], ["quota_daily": "5"], ["schedulable": false],
                ]
                let answers = try await admin.together(edits.count) {
                    try await admin.call("PATCH", "/admin/accounts/\(account.id)", edits[$0])
                }
                #expect(answers.allSatisfy { $0.status == 200 })
                let result = try await admin.call("GET", "/admin/accounts/\(account.id)")
                #expect(
                    result["priority"] == 3 && result["rpm"] == 4 && result["quota_daily"] == "5"
                        && result["schedulable"] == false
                )
                #expect(result["credentials"]?["base_url"] == "https://example.com")
                #expect(try await Self.secrets(account.id, admin) == ["api_key": "new-key"])
                #expect(try await admin.count("select credentials_version as count from accounts") == 3)
            }
        }

        @Test("accounts of every platform and type can be made, found, and recovered from an error")
        func platforms() async throws {
            try await withAdmin { admin in
                let kinds: [(String, String, JSON)] = [
                    ("anthropic", "apikey", ["api_key": "k"]), ("anthropic", "oauth", ["refresh_token": "r"]),
                    ("anthropic", "setup_token", ["access_token": "t"]),
                    ("anthropic", "bedrock", ["auth_mode": "apikey", "api_key": "k", "region": "us-east-1"]),
                    ("openai", "apikey", ["api_key": "k"]),
                    ("gemini", "oauth", ["access_token": "a", "project_id": "p"]),
                    ("antigravity", "apikey", ["api_key": "k", "base_url": "https://x.example"]),
                ]
                for (index, (platform, type, credentials)) in kinds.enumerated() {
                    let answer = try await admin.call(
                        "POST",
                        "/admin/accounts",
                        [
                            "name": .string("a\(index)"), "platform": .string(platform), "type": .string(type),
                            "credentials": credentials,
                        ]
                    )
                    #expect(answer.status == 201, "\(answer.body.text)")
                }
                #expect(try await admin.call("GET", "/admin/accounts?platform=anthropic&type=bedrock")["total"] == 1)
                #expect(try await admin.call("GET", "/admin/accounts?platform=anthropic&sort=-name").items.count == 4)
                try await admin.plane.pool.execute(
                    "update accounts set status = 'error', error_message = 'Kaputt' where id = 1"
                )
                let broken = try await admin.call("GET", "/admin/accounts/1")
                #expect(broken["status"] == "error" && broken["error_message"] == "Kaputt")
                // An edit of something else does not make it well.
                #expect(
                    try await admin.call("PATCH", "/admin/accounts/1", ["priority": 2])["error_message"] == "Kaputt"
                )
                let well = try await admin.call("POST", "/admin/accounts/1/recover")
                #expect(well["status"] == "active" && well["error_message"] == .null)
            }
        }
    }

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

    @Suite("Prices, proxies and settings")
    struct Others {
        @Test("prices are seeded once, and every change has a version of its own")
        func prices() async throws {
            try await withAdmin { admin in
                let seeded = try await admin.call("GET", "/admin/prices?page_size=1")["total"]?.int ?? 0
                #expect(seeded > 150)
                let family = try await admin.call("GET", "/admin/prices?match=prefix").items
                #expect(family.compactMap { $0["model"]?.string } == ["claude-", "gemini-", "gpt-"])
                let created = try await admin.call(
                    "POST",
                    "/admin/prices",
                    ["model": "mein-modell", "input": "1.5", "output": "0.000000001", "web_search": "0.01"]
                )
                #expect(created.status == 201 && created["input"] == "1.5" && created["cache_read"] == .null)
                let media = try await admin.call(
                    "POST",
                    "/admin/prices",
                    ["model": "klang", "input": "1", "audio_input": "32", "image_output": "0", "request": "0.03"]
                )
                #expect(media.status == 201 && media["audio_input"] == "32" && media["image_output"] == "0")
                #expect(media["request"] == "0.03" && media["image_input"] == .null)
                let twin = try await admin.call("POST", "/admin/prices", ["model": "mein-modell", "input": "2"])
                #expect(twin.status == 409 && twin.faults == ["model"])
                let path = "/admin/prices/\(created.id)"
                let patched = try await admin.call("PATCH", path, ["web_search": .null, "cache_read": "0.15"])
                #expect(patched["web_search"] == .null && patched["input"] == "1.5" && patched["cache_read"] == "0.15")
                #expect((patched["version"]?.int ?? 0) > (created["version"]?.int ?? 0))
                #expect(try await admin.call("PATCH", path, ["input": .null, "output": .null]).faults == ["input"])
                #expect(try await admin.call("DELETE", path).status == 204)
                // Deleting all does not bring the seed back at the next start.
                try await admin.plane.pool.execute("update prices set deleted_at = now()")
                try await PriceSeed.plant(with: admin.plane.changes)
                #expect(try await admin.call("GET", "/admin/prices")["total"] == 0)
            }
        }

        @Test("a proxy's password is sealed, masked, kept when the mask comes back, and removed by null")
        func proxies() async throws {
            try await withAdmin { admin in
                let created = try await admin.call(
                    "POST",
                    "/admin/proxies",
                    [
                        "name": "Ausgang", "protocol": "https", "host": "proxy.example", "port": 3128, "username": "u",
                        "password": "geheim-1",
                    ]
                )
                #expect(created.status == 201 && created["password"] == "•••")
                let path = "/admin/proxies/\(created.id)"
                let sealed = { () async throws -> String? in
                    try await admin.plane.pool.query("select password_sealed from proxies").first?.optionalText(
                        "password_sealed"
                    )
                }
                let first = try await sealed()
                #expect(try await admin.call("PATCH", path, ["password": "•••", "port": 3129])["port"] == 3129)
                #expect(try await sealed() == first)
                #expect(try await admin.call("PATCH", path, ["password": "geheim-2"]).status == 200)
                #expect(try await sealed() != first)
                let opened = try SealedBox.open(
                    try #require(try await sealed()),
                    for: SealingContext(kind: "proxy", id: created.id, field: "password"),
                    with: try #require(admin.plane.config.masterKeys)
                )
                #expect(String(decoding: opened, as: UTF8.self) == "geheim-2")
                let account = try await admin.makeAccount(["proxy_id": .int(created.id)])
                #expect(try await admin.call("DELETE", path).status == 409)
                #expect(
                    try await admin.call("PATCH", "/admin/accounts/\(account.id)", ["proxy_id": .null]).status == 200
                )
                #expect(try await admin.call("PATCH", path, ["password": .null])["password"] == .null)
                #expect(try await admin.call("PATCH", path, ["password": "•••"]).faults == ["password"])
                #expect(try await admin.call("DELETE", path).status == 204)
                #expect(
                    try await admin.count("select count(*) as count from audit_log t where t::text like '%geheim%'")
                        == 0
                )
            }
        }

        @Test("settings have defaults, bounds and replace themselves whole")
        func settings() async throws {
            try await withAdmin { admin in
                let path = "/admin/settings/overload-cooldown"
                #expect(try await admin.call("GET", path).body == ["enabled": true, "cooldown_minutes": 10])
                #expect(try await admin.call("PUT", path, ["enabled": false, "cooldown_minutes": 30]).status == 200)
                #expect(try await admin.call("GET", path).body == ["enabled": false, "cooldown_minutes": 30])
                #expect(try await admin.call("PUT", path, ["cooldown_minutes": 121]).faults == ["cooldown_minutes"])
                #expect(try await admin.call("PUT", path, ["minutes": 5]).faults == ["minutes"])
                #expect(try await admin.call("PUT", path, [:]).body == ["enabled": true, "cooldown_minutes": 10])
                let gateway = try await admin.call("GET", "/admin/settings/gateway")
                #expect(gateway["body_limit_bytes"] == 33_554_432 && gateway["max_switches"] == 10)
                #expect(
                    try await admin.call("PUT", "/admin/settings/gateway", ["max_switches": 3])["max_switches"] == 3
                )
                #expect(try await admin.call("GET", "/admin/settings/nothing").status == 404)
                #expect(try await admin.call("PATCH", path, [:]).status == 405)
            }
        }
    }
}
