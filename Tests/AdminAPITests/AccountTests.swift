import Crypto
import Domain
import Formats
import Postgres
import Testing

@testable import ControlKit

extension AdminAPITests {
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

        @Test(
            "flags are shown while they last, with their reason, and an admin can end them; whether it is chosen, too"
        )
        func flags() async throws {
            try await withAdmin { admin in
                let body: JSON = [
                    "name": "a", "platform": "anthropic", "type": "apikey", "credentials": ["api_key": "k"],
                ]
                let id = try await admin.call("POST", "/admin/accounts", body).id
                try await admin.plane.pool.execute(
                    """
                    update accounts set forbidden_type = 'validation', validation_url = 'https://x.example', flags = '{
                        "rate_limited": "4102444800000000 1 0 - - ",
                        "overloaded": "1000000 1 1 - - ",
                        "temp_unschedulable": "4102444800000000 1 0 rule - 503: too busy",
                        "model:a b": "4102444800000000 1 0 - - ",
                        "model:c": "1000000 1 0 - - "
                    }'
                    """
                )
                let shown = try await admin.call("GET", "/admin/accounts/\(id)")
                #expect(shown["rate_limited_until"] == "2100-01-01T00:00:00Z" && shown["overloaded_until"] == .null)
                #expect(shown["temp_unschedulable_until"] == "2100-01-01T00:00:00Z")
                #expect(shown["temp_unschedulable_reason"] == "503: too busy")
                #expect(shown["model_limits"] == ["a b": "2100-01-01T00:00:00Z"])
                #expect(shown["forbidden_type"] == "validation" && shown["validation_url"] == "https://x.example")
                let cleared = try await admin.call("POST", "/admin/accounts/\(id)/clear-flags")
                #expect(cleared.status == 200 && cleared["rate_limited_until"] == .null)
                #expect(cleared["model_limits"] == [:] && cleared["forbidden_type"] == "validation")
                #expect(try await admin.call("POST", "/admin/accounts/\(id)/recover")["forbidden_type"] == .null)
                let empty = try await admin.call("POST", "/admin/accounts/\(id)/schedulable", [:])
                #expect(empty.status == 400 && empty.faults == ["schedulable"])
                let off = try await admin.call("POST", "/admin/accounts/\(id)/schedulable", ["schedulable": false])
                #expect(off["schedulable"] == false)
                for action in ["recover", "clear-flags"] {
                    #expect(try await admin.call("POST", "/admin/accounts/99/\(action)").status == 404)
                }
                let audit = try await admin.call("GET", "/admin/audit?resource=account").items
                let actions = Set(audit.compactMap { $0["action"]?.string })
                #expect(actions == ["create", "clear-flags", "recover", "schedulable"])
            }
        }
    }
}
