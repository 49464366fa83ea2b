import Crypto
import Domain
import Formats
import Testing

@testable import ControlKit

@Suite("The other forms")
struct OtherFormTests {
    private func faults<Draft>(_ form: Form<Draft>, _ empty: Draft, _ text: String) throws -> [String] {
        var draft = empty
        return form.fill(&draft, from: try json(text), for: .create).map(\.field).sorted()
    }

    @Test(
        "users",
        arguments: [
            (#"{"email": "a@b", "password": "12345678"}"#, [String]()),
            (#"{"email": "ünï@exämple.com", "password": "pässwörd"}"#, []),
            (
                #"{"email": "a@b", "password": "12345678", "role": "admin", "concurrency": 5, "rpm": 60, "balance": "1.5"}"#,
                []
            ),
            ("{}", ["email", "password"]), (#"{"email": null, "password": null}"#, ["email", "password"]),
            (#"{"email": "a", "password": "12345678"}"#, ["email"]),
            (#"{"email": "@b", "password": "12345678"}"#, ["email"]),
            (#"{"email": "a@", "password": "12345678"}"#, ["email"]),
            (#"{"email": "a@b@c", "password": "12345678"}"#, ["email"]),
            (#"{"email": "a b@c", "password": "12345678"}"#, ["email"]),
            (#"{"email": "<a@b>", "password": "12345678"}"#, ["email"]),
            (#"{"email": "a@b", "password": "1234567"}"#, ["password"]),
            (#"{"email": "a@b", "password": "1234567\u0000"}"#, ["password"]),
            (#"{"email": "a@b", "password": "12345678", "role": "root"}"#, ["role"]),
            (#"{"email": "a@b", "password": "12345678", "status": "gone"}"#, ["status"]),
            (#"{"email": "a@b", "password": "12345678", "concurrency": -1, "rpm": 1.5}"#, ["concurrency", "rpm"]),
            (#"{"email": "a@b", "password": "12345678", "balance": "-1"}"#, ["balance"]),
            (#"{"email": "a@b", "password": "12345678", "balance": 0.1}"#, ["balance"]),
            (#"{"email": "a@b", "password": "12345678", "created_at": "x", "nick": "y"}"#, ["created_at", "nick"]),
        ]
    )
    func users(_ text: String, _ fields: [String]) throws {
        #expect(try faults(UserForm.form, UserDraft(), text) == fields)
    }

    @Test(
        "balance changes",
        arguments: [
            (#"{"amount": "25.00", "note": "Überweisung\nzwei"}"#, [String]()), (#"{"amount": "-0.000000001"}"#, []),
            (#"{"amount": 25}"#, []), ("{}", ["amount"]), (#"{"amount": "0"}"#, ["amount"]),
            (#"{"amount": "0.0"}"#, ["amount"]),
            (#"{"amount": 0.5}"#, ["amount"]), (#"{"amount": "1,5"}"#, ["amount"]), (#"{"amount": "1e3"}"#, ["amount"]),
            (#"{"amount": "9000000.000000001"}"#, ["amount"]), (#"{"amount": " 5"}"#, ["amount"]),
            (#"{"amount": "5", "note": 5}"#, ["note"]),
        ]
    )
    func balances(_ text: String, _ fields: [String]) throws {
        #expect(try faults(UserForm.balanceForm, UserForm.BalanceChange(), text) == fields)
    }

    @Test(
        "groups",
        arguments: [
            (
                #"{"name": "g", "platform": "openai", "multiplier": "0.5", "sort_order": -3, "daily_limit": "5"}"#,
                [String]()
            ),
            (
                #"{"name": "g", "platform": "openai", "model_allowlist": ["gpt-*"], "open": true, "subscription": true}"#,
                []
            ),
            ("{}", ["name", "platform"]), (#"{"name": "g", "platform": "bedrock"}"#, ["platform"]),
            (#"{"name": "g", "platform": "openai", "status": "off"}"#, ["status"]),
            (#"{"name": "g", "platform": "openai", "sort_order": 1.5}"#, ["sort_order"]),
            (#"{"name": "g", "platform": "openai", "fallback_group_id": "x"}"#, ["fallback_group_id"]),
            (#"{"name": "g", "platform": "openai", "model_allowlist": ["a", "a"]}"#, ["model_allowlist"]),
            (
                #"{"name": "g", "platform": "openai", "model_allowlist": ["a b", 4]}"#,
                ["model_allowlist[0]", "model_allowlist[1]"]
            ),
            (
                #"{"name": "g", "platform": "openai", "monthly_limit": "x", "claude_code_only": 1}"#,
                ["claude_code_only", "monthly_limit"]
            ),
        ]
    )
    func groups(_ text: String, _ fields: [String]) throws {
        #expect(try faults(GroupForm.form, GroupDraft(), text) == fields)
    }

    @Test(
        "the order of groups",
        arguments: [
            (#"{"items": [{"id": 1, "sort_order": 2}, {"id": 2, "sort_order": 2}]}"#, [String]()),
            ("{}", ["items"]), (#"{"items": []}"#, ["items"]), (#"{"items": [{"id": 1}]}"#, ["items[0].sort_order"]),
            (#"{"items": [{"id": 1, "sort_order": 1}, {"id": 1, "sort_order": 2}]}"#, ["items"]),
            (#"{"items": [{"id": 1, "sort_order": "a"}, 5]}"#, ["items[0].sort_order", "items[1]"]),
        ]
    )
    func groupOrder(_ text: String, _ fields: [String]) throws {
        #expect(try faults(GroupForm.orderForm, GroupForm.Order(), text) == fields)
    }

    @Test("a fallback is another group of the platform that is not for Claude Code only")
    func fallback() {
        var draft = GroupDraft()
        draft.fallbackGroup = 2
        func record(_ id: Int64, _ platform: Platform, _ isClaudeCodeOnly: Bool = false) -> GroupRecord {
            var fields = GroupDraft()
            fields.platform = platform
            fields.isClaudeCodeOnly = isClaudeCodeOnly
            let zero = Timestamp(microseconds: 0)
            return GroupRecord(id: GroupID(id), fields: fields, revision: 1, createdAt: zero, updatedAt: zero)
        }
        #expect(GroupForm.fallbackFaults(draft, id: GroupID(1), fallback: record(2, .anthropic)).isEmpty)
        #expect(GroupForm.fallbackFaults(draft, id: GroupID(2), fallback: record(2, .anthropic)).count == 1)
        #expect(GroupForm.fallbackFaults(draft, id: nil, fallback: record(2, .openai)).count == 1)
        #expect(GroupForm.fallbackFaults(draft, id: nil, fallback: record(2, .anthropic, true)).count == 1)
        #expect(GroupForm.fallbackFaults(draft, id: nil, fallback: nil).count == 1)
    }

    @Test(
        "keys",
        arguments: [
            (
                #"{"name": "k", "user_id": 1, "group_id": 2, "quota": "5", "ip_whitelist": ["10.0.0.0/8", "::1", "1.2.3.4"]}"#,
                [String]()
            ),
            (
                #"{"name": "k", "user_id": 1, "group_id": 2, "quota": null, "expires_at": "2020-01-01T00:00:00Z", "tpm": 5}"#,
                []
            ),
            ("{}", ["group_id", "name", "user_id"]),
            (#"{"name": "k", "user_id": 0, "group_id": "2"}"#, ["group_id", "user_id"]),
            (
                #"{"name": "k", "user_id": 1, "group_id": 2, "ip_blacklist": ["10.0.0.0/33", "1.2.3", "x"]}"#,
                ["ip_blacklist[0]", "ip_blacklist[1]", "ip_blacklist[2]"]
            ),
            (
                #"{"name": "k", "user_id": 1, "group_id": 2, "ip_whitelist": ["::1/129"], "quota": "-1"}"#,
                ["ip_whitelist[0]", "quota"]
            ),
            (
                #"{"name": "k", "user_id": 1, "group_id": 2, "rpm": -1, "tpm": "x", "concurrency": 1e9}"#,
                ["concurrency", "rpm", "tpm"]
            ),
            (#"{"name": "k", "user_id": 1, "group_id": 2, "key": "tg-x", "quota_used": "1"}"#, ["key", "quota_used"]),
        ]
    )
    func keys(_ text: String, _ fields: [String]) throws {
        #expect(try faults(KeyForm.form, KeyDraft(), text) == fields)
    }

    @Test("a user's own key form knows neither owner, status nor rate limits")
    func ownKeys() throws {
        let text =
            #"{"name": "k", "group_id": 2, "user_id": 9, "status": "active", "rpm": 1, "tpm": 1, "concurrency": 1}"#
        #expect(try faults(KeyForm.ownForm, KeyDraft(), text) == ["concurrency", "rpm", "status", "tpm", "user_id"])
    }

    @Test("a limit of 0 is no limit")
    func zeroLimit() throws {
        var draft = KeyDraft()
        draft.quota = NanoUSD(5)
        #expect(KeyForm.form.fill(&draft, from: try json(#"{"quota": "0.00"}"#), for: .patch) == [])
        #expect(draft.quota == nil)
    }

    @Test(
        "prices",
        arguments: [
            (
                #"{"model": "m", "input": "3", "output": "15.5", "cache_write_5m": "3.75", "web_search": "0.01"}"#,
                [String]()
            ),
            (#"{"model": "claude-", "match": "prefix", "input": "0", "output": null}"#, []),
            ("{}", ["model"]), (#"{"model": "m", "match": "regex"}"#, ["match"]),
            (#"{"model": "m", "input": "-1", "output": 1.5}"#, ["input", "output"]), (#"{"model": "a b"}"#, ["model"]),
            (#"{"model": "m", "input": "1000001", "audio": "1"}"#, ["audio", "input"]),
        ]
    )
    func prices(_ text: String, _ fields: [String]) throws {
        #expect(try faults(PriceForm.form, PriceDraft(), text) == fields)
    }

    @Test("a price without input and output is a fault")
    func emptyPrice() { #expect(PriceForm.faults(PriceDraft()).map(\.field) == ["input"]) }

    @Test(
        "proxies",
        arguments: [
            (#"{"name": "p", "protocol": "socks5", "host": "proxy.example", "port": 1080}"#, [String]()),
            (
                #"{"name": "p", "protocol": "http", "host": "127.0.0.1", "port": 1, "username": "u", "password": "p w"}"#,
                []
            ),
            ("{}", ["host", "name", "port", "protocol"]),
            (
                #"{"name": "p", "protocol": "socks4", "host": "169.254.169.254", "port": 0}"#,
                ["host", "port", "protocol"]
            ),
            (#"{"name": "p", "protocol": "http", "host": "a/b", "port": 80}"#, ["host"]),
        ]
    )
    func proxies(_ text: String, _ fields: [String]) throws {
        #expect(try faults(ProxyForm.form, ProxyDraft(), text) == fields)
    }

    @Test(
        "settings",
        arguments: [
            ("overload-cooldown", #"{"enabled": false, "cooldown_minutes": 120}"#, [String]()),
            ("overload-cooldown", "{}", []), ("overload-cooldown", #"{"cooldown_minutes": 0}"#, ["cooldown_minutes"]),
            ("overload-cooldown", #"{"cooldown_minutes": 121, "enabled": 1}"#, ["cooldown_minutes", "enabled"]),
            ("rate-limit-cooldown", #"{"seconds": 7200}"#, []), ("beta-policy", "{}", []),
            (
                "beta-policy",
                #"{"rules": [{"token": "files-*", "action": "block", "scope": "oauth", "message": "no"}, {"token": "a", "action": "pass"}]}"#,
                []
            ),
            (
                "beta-policy",
                #"{"rules": [{"token": "a,b", "action": "deny", "scope": "gemini"}, {"action": "pass", "x": 1}]}"#,
                ["rules[0].action", "rules[0].scope", "rules[0].token", "rules[1].token", "rules[1].x"]
            ),
            ("rate-limit-cooldown", #"{"seconds": 7201}"#, ["seconds"]),
            (
                "security",
                #"{"trusted_proxies": ["10.0.0.0/8", "2001:db8::1"], "cors_origins": ["*", "https://A.example:8443"]}"#,
                []
            ),
            (
                "security",
                #"{"trusted_proxies": ["10.0.0.0/33"], "cors_origins": ["a.example"], "session_hours": 0, "login_attempts": 0}"#,
                ["cors_origins[0]", "login_attempts", "session_hours", "trusted_proxies[0]"]
            ),
            ("gateway", #"{"body_limit_bytes": 1024, "account_isolation": true}"#, []),
            (
                "gateway", #"{"body_limit_bytes": 1, "account_isolation": 1, "speed": 9}"#,
                ["account_isolation", "body_limit_bytes", "speed"]
            ),
        ]
    )
    func settings(_ name: String, _ text: String, _ fields: [String]) throws {
        let form = try #require(SettingForm.all.first { $0.name == name })
        #expect(form.read(try json(text)).faults.map(\.field).sorted() == fields)
    }

    @Test("a setting that was never stored, or is broken, reads as its defaults")
    func settingDefaults() throws {
        let form = try #require(SettingForm.all.first { $0.name == "overload-cooldown" })
        #expect(form.value(of: nil) == ["enabled": true, "cooldown_minutes": 10])
        #expect(
            form.value(of: ["enabled": false, "cooldown_minutes": 9999]) == ["enabled": false, "cooldown_minutes": 10]
        )
    }
}
