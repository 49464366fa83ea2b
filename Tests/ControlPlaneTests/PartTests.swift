import Crypto
import Domain
import Formats
import HTTPMessages
import Reactor
import Service
import Testing

@testable import ControlKit

@Suite("Passwords")
struct PasswordTests {
    @Test("a hash is a PHC string with OWASP's parameters, and only its password fits")
    func hash() throws {
        let hash = try #require(PasswordHash.make("pässwörd 🔑"))
        #expect(hash.hasPrefix("$argon2id$v=19$m=19456,t=2,p=1$"))
        #expect(PasswordHash.isValid("pässwörd 🔑", hash))
        #expect(!PasswordHash.isValid("passwörd 🔑", hash))
        #expect(try #require(PasswordHash.make("pässwörd 🔑")) != hash)
    }

    @Test("checking against nobody's hash is as much work, and never succeeds")
    func nobody() throws {
        let own = try #require(PasswordHash.make("x"))
        #expect(own.utf8.count == PasswordHash.nobody.utf8.count)
        #expect(!PasswordHash.isValid("", PasswordHash.nobody))
        let clock = ContinuousClock()
        let real = clock.measure { _ = PasswordHash.isValid("y", own) }
        let none = clock.measure { _ = PasswordHash.isValid("y", PasswordHash.nobody) }
        #expect(none > real / 4)
    }

    @Test(
        "a broken hash fits no password",
        arguments: ["", "x", "$argon2id$v=19$m=19456,t=2,p=1$", "$2b$10$abcdefghijklmnopqrstuv"]
    )
    func broken(_ hash: String) { #expect(!PasswordHash.isValid("x", hash)) }
}

@Suite("Login throttle")
struct LoginThrottleTests {
    private let start = MonotonicTime(nanoseconds: 1_000_000_000_000)

    @Test("after its burst an address waits as long as a token takes")
    func email() {
        var throttle = LoginThrottle(
            email: .init(burst: 3, secondsPerToken: 10),
            address: .init(burst: 100, secondsPerToken: 1)
        )
        for _ in 0..<3 { #expect(throttle.take(email: "A@x", address: "1", now: start) == nil) }
        #expect(throttle.take(email: "a@X", address: "2", now: start) == 10)
        #expect(throttle.take(email: "b@x", address: "1", now: start) == nil)
        #expect(throttle.take(email: "a@x", address: "1", now: start + .seconds(4)) == 6)
        #expect(throttle.take(email: "a@x", address: "1", now: start + .seconds(10)) == nil)
        #expect(throttle.take(email: "a@x", address: "1", now: start + .seconds(10)) == 10)
    }

    @Test("one client that tries many addresses is slowed too")
    func address() {
        var throttle = LoginThrottle(
            email: .init(burst: 3, secondsPerToken: 10),
            address: .init(burst: 5, secondsPerToken: 2)
        )
        for index in 0..<5 { #expect(throttle.take(email: "\(index)", address: "1", now: start) == nil) }
        #expect(throttle.take(email: "new", address: "1", now: start) == 2)
        #expect(throttle.take(email: "new", address: "2", now: start) == nil)
    }

    @Test("signing in gives back what it took, so that a program may do it often")
    func success() {
        var throttle = LoginThrottle(
            email: .init(burst: 2, secondsPerToken: 10),
            address: .init(burst: 2, secondsPerToken: 10)
        )
        for _ in 0..<100 {
            #expect(throttle.take(email: "a", address: "1", now: start) == nil)
            throttle.succeed(email: "a", address: "1", now: start)
        }
    }

    @Test("invented addresses do not fill the memory")
    func bounded() {
        var throttle = LoginThrottle(capacity: 100)
        for index in 0..<1000 { _ = throttle.take(email: "\(index)", address: "\(index)", now: start) }
        #expect(throttle.count <= 200)
    }
}

@Suite("Credentials of a call")
struct AuthenticatorTests {
    @Test(
        "a bearer token wins over the cookie",
        arguments: [
            (["authorization": "Bearer abc"], Authenticator.Credential.bearer("abc")),
            (["authorization": "bearer abc", "cookie": "tollgate_session=x"], .bearer("abc")),
            (["cookie": "a=b; tollgate_session=xyz; c=d"], .cookie("xyz")),
            (["cookie": "tollgate_session2=xyz"], .none),
            (["authorization": "Basic abc", "cookie": "tollgate_session=x"], .none),
            (["authorization": "Bearer"], .none),
            ([:], .none),
        ] as [([String: String], Authenticator.Credential)]
    )
    func credential(_ fields: [String: String], _ expected: Authenticator.Credential) {
        var headers = HeaderFields()
        for (name, value) in fields { headers.add(name, value) }
        #expect(Authenticator.credential(in: headers) == expected)
    }

    @Test("the cookie is for this site and scripts cannot read it; over TLS it never leaves TLS")
    func cookie() {
        #expect(
            Authenticator.cookie("t", lasting: .seconds(43_200), isTLS: false)
                == "tollgate_session=t; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200"
        )
        #expect(Authenticator.cookie("t", lasting: .seconds(43_200), isTLS: true).hasSuffix("; Secure"))
        #expect(Authenticator.cookie("", isTLS: false).contains("Max-Age=0"))
    }
}

@Suite("Views, masks, seeds and partitions")
struct ViewTests {
    @Test("an account's answer has every field of the contract and none of its secrets")
    func account() throws {
        var account = try AccountFormTests.account()
        account.credentials.sealed = "v1.k1.SECRET"
        let json = AccountView.view.json(account)
        #expect(json["credentials"]?["api_key"] == "•••")
        #expect(json["credentials"]?["base_url"] == "https://api.anthropic.com")
        #expect(json["credentials"]?["sign_in_state"] == "signed_in")
        #expect(!json.text.contains("SECRET") && !json.text.contains("sk-ant"))
        for name in [
            "id", "name", "platform", "type", "credentials", "group_ids", "priority", "concurrency", "rpm",
            "multiplier",
            "model_mapping", "proxy_id", "schedulable", "expires_at", "pool_mode", "pool_retry_count",
            "custom_error_codes", "temp_unschedulable_rules", "quota_daily", "quota_weekly", "quota_total",
            "upstream_protocol", "cache_ttl_override", "allow_overages", "header_overrides", "status", "error_message",
            "forbidden_type", "validation_url", "rate_limited_until", "overloaded_until", "temp_unschedulable_until",
            "temp_unschedulable_reason", "model_limits", "quota_daily_used", "quota_weekly_used", "quota_total_used",
            "in_flight", "last_used_at", "session_window_start", "session_window_end", "subscription_tier",
            "credits_state",
        ] { #expect(json[name] != nil, "\(name)") }
    }

    @Test("masking finds secrets at any depth and leaves the rest")
    func masks() throws {
        let masked = SecretMask.masked(
            try json(
                #"{"name": "a", "password": "p", "credentials": {"api_key": "k", "region": "r", "access_token": null}, "header_overrides": {"x-a": "s"}, "items": [{"refresh_token": "t", "id": 1}]}"#
            )
        )
        #expect(
            masked
                == (try json(
                    #"{"name": "a", "password": "•••", "credentials": {"api_key": "•••", "region": "r", "access_token": null}, "header_overrides": {"x-a": "•••"}, "items": [{"refresh_token": "•••", "id": 1}]}"#
                ))
        )
    }

    @Test("the price seed has every current model once and ends in families")
    func seed() throws {
        let drafts = try PriceSeed.drafts()
        #expect(Set(drafts.map { "\($0.model) \($0.match)" }).count == drafts.count)
        let families = drafts.filter { $0.match == .prefix }.map(\.model)
        #expect(families.suffix(3) == ["claude-", "gpt-", "gemini-"] && families.contains("claude-opus-"))
        #expect(drafts.allSatisfy { $0.rates[.input] != nil && $0.rates[.output] != nil })
        let sonnet = try #require(drafts.first { $0.model == "claude-sonnet-4-5" })
        #expect(sonnet.rates[.input] == PricePerMillion(3_000_000_000))
        #expect(sonnet.rates[.cacheWrite1h] == PricePerMillion(6_000_000_000))
        for draft in drafts { #expect(PriceForm.faults(draft).isEmpty) }
    }

    @Test("tokens of a class without a price cost what those they are part of do; a price of 0 is a price")
    func fallbackPrices() throws {
        func price(_ rates: [RateClass: Int64]) -> ModelPrice {
            var draft = PriceDraft()
            draft.rates = rates.mapValues { PricePerMillion($0) }
            let now = Timestamp(microseconds: 0)
            return PriceRecord(id: 1, fields: draft, revision: 1, createdAt: now, updatedAt: now).price
        }
        let bare = price([.input: 3, .output: 5])
        #expect(bare.cacheWrite5m.raw == 3 && bare.cacheWrite1h.raw == 3 && bare.cacheRead.raw == 3)
        #expect(bare.inputMedia == .init() && bare.outputMedia == .init())
        #expect(bare.webSearch == .zero && bare.request == .zero)
        #expect(price([.input: 3, .cacheWrite5m: 4]).cacheWrite1h.raw == 4)
        let full = price([
            .input: 3, .output: 5, .cacheWrite5m: 0, .cacheWrite1h: 7, .cacheRead: 0, .imageInput: 8, .audioInput: 9,
            .imageOutput: 10, .audioOutput: 0, .webSearch: 11, .request: 12,
        ])
        #expect(full.cacheWrite5m.raw == 0 && full.cacheWrite1h.raw == 7 && full.cacheRead.raw == 0)
        #expect(full.inputMedia == .init(image: .init(8), audio: .init(9)))
        #expect(full.outputMedia == .init(image: .init(10), audio: .init(0)))
        #expect(full.webSearch.raw == 11 && full.request.raw == 12)
    }

    @Test(
        "prices of long contexts and tiers stand in where they are given; what costs what input does goes on doing so"
    )
    func variants() throws {
        func price(_ rates: [RateClass: Int64]) -> ModelPrice {
            var draft = PriceDraft()
            draft.rates = rates.mapValues { PricePerMillion($0) }
            let now = Timestamp(microseconds: 0)
            return PriceRecord(id: 1, fields: draft, revision: 1, createdAt: now, updatedAt: now).price
        }
        #expect(price([.input: 3, .output: 5]).longContexts.isEmpty && price([.input: 3]).tiers.isEmpty)
        let long = price([
            .input: 3, .output: 5, .cacheRead: 1, .outputAbove100k: 6, .inputAbove200k: 6, .inputAbove272k: 9,
            .outputAbove272k: 8,
        ])
        #expect(
            long.longContexts == [
                .init(above: 100_000, .init(output: .init(6))),
                .init(above: 200_000, .init(input: .init(6), cacheWrite5m: .init(6), cacheWrite1h: .init(6))),
                .init(
                    above: 272_000,
                    .init(input: .init(9), output: .init(8), cacheWrite5m: .init(9), cacheWrite1h: .init(9))
                ),
            ]
        )
        let tiers = price([
            .input: 3, .cacheWrite5m: 4, .cacheRead: 1, .inputFlex: 2, .cacheReadFlex: 0, .outputPriority: 7,
        ]).tiers
        #expect(tiers == [.flex: .init(input: .init(2), cacheRead: .init(0)), .priority: .init(output: .init(7))])
        // Every name that a variant can have is a class.
        for tier in ServiceTier.allCases where tier.priced == [tier] {
            #expect(RateClass(rawValue: "input_\(tier)") != nil)
        }
        let served = price([.input: 3, .output: 5, .inputFast: 6, .cacheWrite1hUS: 4, .cacheReadUS: 1]).tiers
        #expect(
            served == [
                .fast: .init(input: .init(6), cacheWrite5m: .init(6), cacheWrite1h: .init(6), cacheRead: .init(6)),
                .us: .init(cacheWrite1h: .init(4), cacheRead: .init(1)),
            ]
        )
    }

    @Test("the price seed knows long contexts, tiers, and how much models take and give")
    func seedFacts() throws {
        let drafts = Dictionary(try PriceSeed.drafts().map { ($0.model, $0) }) { $1 }
        let gemini = try #require(drafts["gemini-2.5-pro"])
        #expect(gemini.rates[.inputAbove200k]?.raw == 2_500_000_000)
        #expect(gemini.rates[.outputAbove200k]?.raw == 15_000_000_000)
        #expect(gemini.rates[.cacheReadAbove200k]?.raw == 250_000_000)
        #expect(gemini.maximumInput == 1_048_576 && gemini.maximumOutput == 65_536)
        let gpt = try #require(drafts["gpt-5.5"])
        #expect(gpt.rates[.inputAbove272k]?.raw == 10_000_000_000)
        #expect(gpt.rates[.outputPriority]?.raw == 75_000_000_000 && gpt.rates[.inputFlex]?.raw == 2_500_000_000)
        #expect(gpt.rates[.cacheReadAbove272k]?.raw == 1_000_000_000)
        let haiku = try #require(drafts["claude-haiku-5-5"])
        #expect(haiku.rates[.input]?.raw == 100_000_000 && haiku.rates[.inputAbove100k]?.raw == 500_000_000)
        #expect(haiku.rates[.cacheReadAbove100k]?.raw == 50_000_000)
        #expect(drafts["claude-fable-5-2"]?.rates[.cacheReadFast]?.raw == 400_000_000)
        let astra = try #require(drafts["gpt-6-astra"])
        #expect(astra.rates[.outputPriority]?.raw == 100_000_000_000 && astra.rates[.inputFlex]?.raw == 5_000_000_000)
        #expect(astra.rates[.cacheReadUltrafast]?.raw == 6_000_000_000)
        #expect(astra.rates[.cacheWrite5mAbove272k]?.raw == 25_000_000_000)
        #expect(drafts["gpt-6.2-sol"]?.rates[.outputUltrafast]?.raw == 30_000_000_000)
        let opus = try #require(drafts["claude-opus-5-5"])
        #expect(opus.rates[.outputFast]?.raw == 40_000_000_000 && opus.rates[.cacheReadFast]?.raw == 400_000_000)
        #expect(opus.rates[.outputUS]?.raw == 22_000_000_000 && opus.rates[.cacheReadUS]?.raw == 220_000_000)
        #expect(drafts["claude-sonnet-4-5"]?.rates[.inputUS] == nil)
        #expect(drafts["claude-haiku-4-5"]?.maximumOutput == 64_000)
        #expect(drafts.values.count(where: { $0.maximumOutput != nil }) > 140)
    }

    @Test("months follow one another over the end of a year")
    func partitions() throws {
        let now = try #require(Timestamp(rfc3339: "2026-11-30T23:59:59.999999Z"))
        let months = UsagePartitions.months(from: now, count: 4)
        #expect(
            months.map(\.table) == [
                "usage_records_2026_11", "usage_records_2026_12", "usage_records_2027_01", "usage_records_2027_02",
            ]
        )
        #expect(months[1].from == "2026-12-01 00:00:00+00")
        #expect(zip(months, months.dropFirst()).allSatisfy { $0.until == $1.from })
    }
}

@Suite("The control plane's settings")
struct ConfigTests {
    private static let key = Base64.encode([UInt8](repeating: 1, count: 32))
    private static let good = [
        "TOLLGATE_DATABASE_URL": "postgres://x", "TOLLGATE_REDIS_URL": "redis://127.0.0.1:6379/0",
        "TOLLGATE_MASTER_KEYS": "k1:\(key)", "TOLLGATE_SNAPSHOT_KEY": key,
        "TOLLGATE_INTERNAL_TOKEN": "0123456789abcdef",
    ]

    private func faults(_ changes: [String: String]) -> [String] {
        var reader = ConfigReader(environment: Self.good.merging(changes) { $1 })
        _ = ControlPlaneConfig(&reader)
        return reader.faults.map(\.key).sorted()
    }

    @Test("the five secrets suffice")
    func minimal() {
        var reader = ConfigReader(environment: Self.good)
        let config = ControlPlaneConfig(&reader)
        #expect(reader.faults == [])
        #expect(config.adminListen?.description == "127.0.0.1:8081")
        #expect(config.internalTokens.count == 1)
    }

    @Test("an empty environment names everything that is missing")
    func empty() {
        var reader = ConfigReader(environment: [:])
        _ = ControlPlaneConfig(&reader)
        #expect(reader.faults.map(\.key).sorted() == Self.good.keys.sorted())
    }

    @Test(
        "a fault names its key and never the value",
        arguments: [
            (["TOLLGATE_ADMIN_LISTEN": "x"], ["TOLLGATE_ADMIN_LISTEN"]),
            (["TOLLGATE_REDIS_URL": "http://x"], ["TOLLGATE_REDIS_URL"]),
            (["TOLLGATE_MASTER_KEYS": "k1:abc"], ["TOLLGATE_MASTER_KEYS"]),
            (["TOLLGATE_SNAPSHOT_KEY": "YQ=="], ["TOLLGATE_SNAPSHOT_KEY"]),
            (["TOLLGATE_INTERNAL_TOKEN": "short"], ["TOLLGATE_INTERNAL_TOKEN"]),
            (
                ["TOLLGATE_INTERNAL_TOKEN": "0123456789abcdef,0123456789abcdef,0123456789abcdef"],
                ["TOLLGATE_INTERNAL_TOKEN"]
            ),
            (["TOLLGATE_ADMIN_EMAIL": "a@b"], ["TOLLGATE_ADMIN_PASSWORD"]),
            (
                ["TOLLGATE_ADMIN_EMAIL": "a", "TOLLGATE_ADMIN_PASSWORD": "short"],
                ["TOLLGATE_ADMIN_EMAIL", "TOLLGATE_ADMIN_PASSWORD"]
            ),
            (["TOLLGATE_ADMIN_TLS_CERT": "c.pem"], ["TOLLGATE_ADMIN_TLS_KEY"]),
            (["TOLLGATE_INTERNAL_LISTEN": "0.0.0.0:8082"], ["TOLLGATE_INTERNAL_TLS_CERT"]),
            (
                ["TOLLGATE_INTERNAL_LISTEN": "[fd00::7]:8082", "TOLLGATE_INTERNAL_TLS_CERT": "c.pem"],
                ["TOLLGATE_INTERNAL_TLS_KEY"]
            ),
            (
                [
                    "TOLLGATE_INTERNAL_LISTEN": "0.0.0.0:8082", "TOLLGATE_INTERNAL_TLS_CERT": "c.pem",
                    "TOLLGATE_INTERNAL_TLS_KEY": "k.pem",
                ], []
            ),
            (["TOLLGATE_INTERNAL_LISTEN": "[::1]:8082"], []),
            (["TOLLGATE_LOG_LEVEL": "loud"], ["TOLLGATE_LOG_LEVEL"]),
        ] as [([String: String], [String])]
    )
    func named(_ changes: [String: String], _ keys: [String]) {
        #expect(faults(changes) == keys)
        var reader = ConfigReader(environment: Self.good.merging(changes) { $1 })
        _ = ControlPlaneConfig(&reader)
        for fault in reader.faults {
            for value in changes.values where value.utf8.count > 3 { #expect(!fault.description.contains(value)) }
        }
    }
}

@Suite("Cursors of the usage log")
struct UsageCursorTests {
    @Test(
        "a time that no row can have makes no cursor",
        arguments: [Int64.min, Int64.min + 1, -8_000_000_000_000_000, 8_000_000_000_000_000, Int64.max]
    )
    func times(_ time: Int64) {
        #expect(UsageStore.Cursor(Base64.encode(Array("\(time) req_a".utf8), .url)) == nil)
        #expect(UsageStore.Cursor(Base64.encode(Array("1763700001000000 req_a".utf8), .url))?.requestID == "req_a")
    }
}
