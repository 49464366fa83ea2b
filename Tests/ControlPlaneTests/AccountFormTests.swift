import Crypto
import Domain
import Formats
import Testing

@testable import ControlKit

@Suite("The account form")
struct AccountFormTests {
    static let valid = """
        {"name": "Konto", "platform": "anthropic", "type": "apikey",
         "credentials": {"api_key": "sk-ant-1", "base_url": "https://api.anthropic.com"}}
        """

    static func faults(_ patch: String) throws -> [FieldFault] {
        AccountForm.read(try json(valid).merged(with: try json(patch)), current: nil).faults
    }

    @Test("a body with the required fields alone has no fault, and the others have their defaults")
    func defaults() throws {
        let reading = AccountForm.read(try json(Self.valid), current: nil)
        #expect(reading.faults == [])
        #expect(reading.draft.priority == 50)
        #expect(reading.draft.concurrency == 10)
        #expect(reading.draft.multiplier == .one)
        #expect(reading.draft.poolRetryCount == 3)
        #expect(reading.draft.isSchedulable)
        #expect(reading.draft.status == .active)
    }

    @Test(
        "every field takes what it should",
        arguments: [
            #"{"priority": 0, "concurrency": 0, "rpm": 100, "schedulable": false, "pool_mode": true, "pool_retry_count": 10}"#,
            #"{"multiplier": "1.25"}"#, #"{"multiplier": 1.25}"#, #"{"multiplier": 2}"#, #"{"multiplier": "0"}"#,
            #"{"quota_daily": "12.50", "quota_weekly": "0.000000001", "quota_total": 100}"#,
            #"{"expires_at": "2027-01-01T00:00:00+02:00"}"#,
            #"{"upstream_protocol": "h2", "cache_ttl_override": "1h"}"#,
            #"{"model_mapping": {"claude-*": "claude-sonnet-5", "gpt-4o": "x"}}"#,
            #"{"header_overrides": {"X-Team": "blue", "user-agent": "tollgate"}}"#,
            #"{"custom_error_codes": [100, 599]}"#,
            #"{"temp_unschedulable_rules": [{"status": 429, "keywords": ["busy"], "minutes": 1}]}"#,
            #"{"name": "日本語 — ünïcode 🚀"}"#, #"{"status": "inactive"}"#, #"{"proxy_id": null, "group_ids": []}"#,
            #"{"credentials": {"base_url": "http://127.0.0.1:8090/v1"}}"#,
        ]
    )
    func accepts(_ patch: String) throws {
        #expect(try Self.faults(patch) == [])
    }

    @Test(
        "a wrong value is a fault that names its field",
        arguments: [
            (#"{"name": ""}"#, "name"), (#"{"name": "   "}"#, "name"), (#"{"name": 5}"#, "name"),
            (#"{"name": "a\u0000b"}"#, "name"), (#"{"name": "a\nb"}"#, "name"),
            (#"{"platform": "azure"}"#, "platform"), (#"{"platform": 1}"#, "platform"),
            (#"{"type": "upstream"}"#, "type"), (#"{"platform": "openai", "type": "bedrock"}"#, "type"),
            (#"{"platform": "gemini", "type": "setup_token"}"#, "type"),
            (#"{"status": "error"}"#, "status"), (#"{"status": true}"#, "status"),
            (#"{"priority": -1}"#, "priority"), (#"{"priority": 1.5}"#, "priority"),
            (#"{"priority": "1"}"#, "priority"),
            (#"{"priority": 99999999999999999999}"#, "priority"),
            (#"{"concurrency": -1}"#, "concurrency"), (#"{"rpm": -1}"#, "rpm"), (#"{"rpm": true}"#, "rpm"),
            (#"{"multiplier": "-1"}"#, "multiplier"), (#"{"multiplier": "1.00001"}"#, "multiplier"),
            (#"{"multiplier": "1001"}"#, "multiplier"), (#"{"multiplier": "1e3"}"#, "multiplier"),
            (#"{"multiplier": []}"#, "multiplier"), (#"{"multiplier": 1e300}"#, "multiplier"),
            (#"{"schedulable": 1}"#, "schedulable"), (#"{"schedulable": "true"}"#, "schedulable"),
            (#"{"pool_mode": "yes"}"#, "pool_mode"), (#"{"pool_retry_count": 11}"#, "pool_retry_count"),
            (#"{"custom_error_codes": [99]}"#, "custom_error_codes[0]"),
            (#"{"custom_error_codes": [500, 600]}"#, "custom_error_codes[1]"),
            (#"{"custom_error_codes": [500, 500]}"#, "custom_error_codes"),
            (#"{"custom_error_codes": 500}"#, "custom_error_codes"),
            (#"{"temp_unschedulable_rules": [{"keywords": [], "minutes": 1}]}"#, "temp_unschedulable_rules[0].status"),
            (#"{"temp_unschedulable_rules": [{"status": 429, "minutes": 0}]}"#, "temp_unschedulable_rules[0].minutes"),
            (
                #"{"temp_unschedulable_rules": [{"status": 429, "minutes": 1, "keywords": [""]}]}"#,
                "temp_unschedulable_rules[0].keywords[0]"
            ),
            (
                #"{"temp_unschedulable_rules": [{"status": 429, "minutes": 1, "regex": "x"}]}"#,
                "temp_unschedulable_rules[0].regex"
            ),
            (#"{"temp_unschedulable_rules": [7]}"#, "temp_unschedulable_rules[0]"),
            (#"{"temp_unschedulable_rules": {}}"#, "temp_unschedulable_rules"),
            (#"{"quota_daily": "-1"}"#, "quota_daily"), (#"{"quota_daily": "0.0000000001"}"#, "quota_daily"),
            (#"{"quota_weekly": 1.5}"#, "quota_weekly"), (#"{"quota_total": "9000001"}"#, "quota_total"),
            (#"{"quota_total": "NaN"}"#, "quota_total"), (#"{"quota_total": ""}"#, "quota_total"),
            (#"{"expires_at": "tomorrow"}"#, "expires_at"), (#"{"expires_at": 1700000000}"#, "expires_at"),
            (#"{"expires_at": "2027-02-30T00:00:00Z"}"#, "expires_at"),
            (#"{"upstream_protocol": "h3"}"#, "upstream_protocol"),
            (#"{"cache_ttl_override": "2h"}"#, "cache_ttl_override"),
            (#"{"allow_overages": true}"#, "allow_overages"),
            (#"{"group_ids": [0]}"#, "group_ids[0]"), (#"{"group_ids": ["1"]}"#, "group_ids[0]"),
            (#"{"group_ids": [1, 1]}"#, "group_ids"), (#"{"group_ids": 1}"#, "group_ids"),
            (#"{"proxy_id": "1"}"#, "proxy_id"), (#"{"proxy_id": -1}"#, "proxy_id"),
            (#"{"model_mapping": {"a": 1}}"#, "model_mapping.a"), (#"{"model_mapping": {"a": ""}}"#, "model_mapping.a"),
            (#"{"model_mapping": {"a*b*": "c"}}"#, "model_mapping.a*b*"),
            (#"{"model_mapping": {"": "c"}}"#, "model_mapping."),
            (#"{"model_mapping": []}"#, "model_mapping"),
            (#"{"header_overrides": {"authorization": "x"}}"#, "header_overrides.authorization"),
            (#"{"header_overrides": {"X-Api-Key": "x"}}"#, "header_overrides.X-Api-Key"),
            (#"{"header_overrides": {"connection": "x"}}"#, "header_overrides.connection"),
            (#"{"header_overrides": {"host": "x"}}"#, "header_overrides.host"),
            (#"{"header_overrides": {"bad name": "x"}}"#, "header_overrides.bad name"),
            (#"{"header_overrides": {"x-a": "a\r\nx-b: c"}}"#, "header_overrides.x-a"),
            (#"{"header_overrides": {"x-a": "1", "X-A": "2"}}"#, "header_overrides"),
            (#"{"credentials": {"api_key": ""}}"#, "credentials.api_key"),
            (#"{"credentials": {"api_key": null}}"#, "credentials.api_key"),
            (#"{"credentials": {"api_key": 7}}"#, "credentials.api_key"),
            (#"{"credentials": {"api_key": "two words"}}"#, "credentials.api_key"),
            (#"{"credentials": {"api_key": "•••"}}"#, "credentials.api_key"),
            (#"{"credentials": {"base_url": "ftp://x"}}"#, "credentials.base_url"),
            (#"{"credentials": {"base_url": "http://169.254.169.254/latest"}}"#, "credentials.base_url"),
            (#"{"credentials": {"refresh_token": "x"}}"#, "credentials.refresh_token"),
            (#"{"credentials": 1}"#, "credentials"),
            (#"{"colour": "red"}"#, "colour"), (#"{"id": 7}"#, "id"), (#"{"in_flight": 1}"#, "in_flight"),
        ]
    )
    func refuses(_ patch: String, _ field: String) throws {
        #expect(try Self.faults(patch).map(\.field) == [field])
    }

    @Test("which API an OpenAI key's upstream has is a choice, of these keys alone")
    func upstreamAPI() {
        func faults(_ api: String, _ platform: Platform, _ type: AccountType = .apikey) -> [String] {
            CredentialForm.edit(
                ["api_key": "k", "upstream_api": .string(api)],
                of: nil,
                platform: platform,
                type: type
            ).faults.map(\.field)
        }
        for api in ["auto", "chat", "responses"] { #expect(faults(api, .openai) == []) }
        #expect(faults("grpc", .openai) == ["credentials.upstream_api"])
        #expect(faults("chat", .gemini) == ["credentials.upstream_api"])
    }

    @Test("all faults come at once, required fields and credentials among them")
    func allAtOnce() throws {
        let body = try json(
            #"{"type": "bedrock", "platform": "anthropic", "priority": "x", "rpm": -1, "credentials": {"auth_mode": "sigv4"}}"#
        )
        let fields = Set(AccountForm.read(body, current: nil).faults.map(\.field))
        #expect(
            fields == [
                "name", "priority", "rpm", "credentials.region", "credentials.access_key_id",
                "credentials.secret_access_key",
            ]
        )
    }

    @Test("a field that stands twice is a fault, since readers differ in which one they take")
    func duplicates() throws {
        let body = try json(
            #"{"name": "a", "name": "b", "platform": "anthropic", "type": "apikey", "credentials": {"api_key": "k"}}"#
        )
        #expect(AccountForm.read(body, current: nil).faults.map(\.field) == ["name"])
    }

    // MARK: Patches

    static func account() throws -> AccountRecord {
        let reading = AccountForm.read(try json(valid), current: nil)
        return AccountRecord(
            id: AccountID(7),
            fields: reading.draft,
            credentials: StoredCredentials(
                plain: ["base_url": "https://api.anthropic.com"],
                sealedFields: ["api_key"],
                sealed: "",
                version: 3
            ),
            errorMessage: nil,
            lastUsedAt: nil,
            revision: 1,
            createdAt: Timestamp(microseconds: 0),
            updatedAt: Timestamp(microseconds: 0)
        )
    }

    @Test("a patch touches only what it names, and null puts the default back")
    func patch() throws {
        var account = try Self.account()
        account.fields.priority = 7
        account.fields.rpm = 60
        let reading = AccountForm.read(try json(#"{"rpm": null, "name": "neu"}"#), current: account)
        #expect(reading.faults == [])
        #expect(reading.draft.name == "neu")
        #expect(reading.draft.priority == 7)
        #expect(reading.draft.rpm == 0)
        #expect(!reading.credentials.changes(account.credentials))
    }

    @Test(
        "platform and type cannot be changed, but may be repeated",
        arguments: [
            (#"{"platform": "openai"}"#, ["platform"]), (#"{"type": "oauth"}"#, ["type"]),
            (#"{"platform": "anthropic", "type": "apikey"}"#, []), (#"{"name": null}"#, ["name"]),
        ]
    )
    func identity(_ patch: String, _ fields: [String]) throws {
        #expect(AccountForm.read(try json(patch), current: try Self.account()).faults.map(\.field) == fields)
    }

    @Test(
        "credentials are a merge patch of their own",
        arguments: [
            (#"{"credentials": {"api_key": "•••"}}"#, ["base_url"], ["api_key"], [String]()),
            (#"{"credentials": {"api_key": "new"}}"#, ["base_url"], ["api_key"], ["api_key"]),
            (
                #"{"credentials": {"api_key": "•••", "base_url": null, "sign_in_state": "signed_in"}}"#, [],
                ["api_key"], []
            ),
            (#"{"credentials": {"base_url": "https://example.com"}}"#, ["base_url"], ["api_key"], []),
        ]
    )
    func credentials(_ patch: String, _ plain: [String], _ sealed: [String], _ new: [String]) throws {
        let reading = AccountForm.read(try json(patch), current: try Self.account())
        #expect(reading.faults == [])
        #expect(reading.credentials.plain.keys.sorted() == plain)
        #expect(reading.credentials.sealedFields == sealed)
        #expect(reading.credentials.newSecrets.keys.sorted() == new)
    }

    @Test("the word error may be sent back where an upstream put it, not invented")
    func errorStatus() throws {
        var account = try Self.account()
        account.fields.status = .error
        #expect(AccountForm.read(try json(#"{"status": "error"}"#), current: account).faults == [])
        #expect(AccountForm.read(try json(#"{"status": "active"}"#), current: account).faults == [])
    }
}

@Suite("Credential fields")
struct CredentialFieldTests {
    @Test(
        "each platform and type takes its own fields",
        arguments: [
            ("anthropic", "apikey", #"{"api_key": "k"}"#),
            ("openai", "apikey", #"{"api_key": "k", "base_url": "https://x.y"}"#),
            ("gemini", "apikey", #"{"api_key": "k"}"#),
            ("antigravity", "apikey", #"{"api_key": "k", "base_url": "https://x.y"}"#),
            ("anthropic", "setup_token", #"{"access_token": "t"}"#),
            ("anthropic", "oauth", #"{"refresh_token": "r"}"#),
            ("openai", "oauth", #"{"access_token": "a", "expires_at": "2027-01-01T00:00:00Z", "account_id": "acc"}"#),
            ("gemini", "oauth", #"{"access_token": "a", "refresh_token": "r", "project_id": "p"}"#),
            (
                "antigravity", "oauth",
                #"{"refresh_token": "r", "token_url": "https://x.y/t", "client_id": "c", "client_secret": "s"}"#
            ),
            (
                "anthropic", "bedrock",
                #"{"auth_mode": "sigv4", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "s", "region": "us-east-1"}"#
            ),
            (
                "anthropic", "bedrock",
                #"{"auth_mode": "apikey", "api_key": "k", "region": "eu-central-1", "base_url": "http://127.0.0.1:1"}"#
            ),
        ]
    )
    func accepts(_ platform: String, _ type: String, _ text: String) throws {
        let (_, faults) = CredentialForm.edit(
            try json(text),
            of: nil,
            platform: Platform(rawValue: platform),
            type: try #require(AccountType(rawValue: type))
        )
        #expect(faults == [])
    }

    @Test(
        "what is missing or strange is named",
        arguments: [
            ("anthropic", "apikey", "{}", ["api_key"]),
            ("antigravity", "apikey", #"{"api_key": "k"}"#, ["base_url"]),
            ("anthropic", "oauth", "{}", ["access_token"]),
            ("anthropic", "oauth", #"{"access_token": "a", "expires_at": "soon"}"#, ["expires_at"]),
            ("anthropic", "oauth", #"{"access_token": "a", "project_id": "p"}"#, ["project_id"]),
            ("anthropic", "setup_token", #"{"refresh_token": "r"}"#, ["access_token", "refresh_token"]),
            ("anthropic", "bedrock", "{}", ["access_key_id", "auth_mode", "region", "secret_access_key"]),
            (
                "anthropic", "bedrock",
                #"{"auth_mode": "iam", "region": "us-east-1", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "s"}"#,
                ["auth_mode"]
            ),
            ("anthropic", "bedrock", #"{"auth_mode": "apikey", "api_key": "k", "region": "US EAST"}"#, ["region"]),
            (
                "anthropic", "bedrock",
                #"{"auth_mode": "apikey", "api_key": "k", "region": "us-east-1", "secret_access_key": "s"}"#,
                ["secret_access_key"]
            ),
        ]
    )
    func refuses(_ platform: String, _ type: String, _ text: String, _ fields: [String]) throws {
        let (_, faults) = CredentialForm.edit(
            try json(text),
            of: nil,
            platform: Platform(rawValue: platform),
            type: try #require(AccountType(rawValue: type))
        )
        #expect(faults.map(\.field).sorted() == fields.map { "credentials.\($0)" })
    }

    @Test("another auth_mode drops the fields of the old one")
    func changesMode() throws {
        let stored = StoredCredentials(
            plain: ["auth_mode": "sigv4", "region": "us-east-1", "access_key_id": "AKIAIOSFODNN7EXAMPLE"],
            sealedFields: ["secret_access_key", "session_token"],
            sealed: "",
            version: 1
        )
        let (edit, faults) = CredentialForm.edit(
            try json(#"{"auth_mode": "apikey", "api_key": "k"}"#),
            of: stored,
            platform: .anthropic,
            type: .bedrock
        )
        #expect(faults == [])
        #expect(edit.plain == ["auth_mode": "apikey", "region": "us-east-1"])
        #expect(edit.sealedFields == ["api_key"])
    }

    @Test("sealing keeps what is not new, and opens only for its own account")
    func sealing() throws {
        let keys = try MasterKeyRing("k1:" + Base64.encode([UInt8](repeating: 7, count: 32)))
        let sealing = CredentialSealing(keys)
        let first = CredentialEdit(
            plain: [:],
            sealedFields: ["access_token", "refresh_token"],
            newSecrets: ["access_token": "secret-a1", "refresh_token": "secret-r1"]
        )
        let stored = try sealing.apply(first, to: nil, of: AccountID(1))
        #expect(stored.version == 1)
        let second = CredentialEdit(
            plain: [:],
            sealedFields: ["access_token", "refresh_token"],
            newSecrets: ["access_token": "secret-a2"]
        )
        let next = try sealing.apply(second, to: stored, of: AccountID(1))
        #expect(next.version == 2)
        #expect(
            try sealing.open(next.sealed, of: AccountID(1)) == [
                "access_token": "secret-a2", "refresh_token": "secret-r1",
            ]
        )
        #expect(throws: SealingError.tampered) { try sealing.open(next.sealed, of: AccountID(2)) }
        #expect(!next.sealed.contains("secret"))
    }
}
