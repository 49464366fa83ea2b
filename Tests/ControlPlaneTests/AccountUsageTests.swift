import Domain
import Formats
import Snapshots
import Testing

@testable import ControlKit

@Suite("How long a probe's outcome holds")
struct UsageCacheTests {
    private static let now = Timestamp(microseconds: 1_763_000_000_000_000)
    private static let key = UsageCache.Key(AccountID(1), credentials: 1)

    @Test(
        "successes and refusals hold for three minutes, limits and errors for one",
        arguments: [
            (.answered(AccountUsage(), at: now), 180), (.failed(UsageFailure(.forbidden, ""), at: now), 180),
            (.failed(UsageFailure(.unauthenticated, ""), at: now), 60),
            (.failed(UsageFailure(.rateLimited, ""), at: now), 60),
            (.failed(UsageFailure(.networkError, ""), at: now), 60),
        ] as [(UsageOutcome, Int)]
    )
    func lifetimes(outcome: UsageOutcome, seconds: Int) {
        var cache = UsageCache()
        cache.keep(outcome, of: Self.key, now: Self.now)
        #expect(cache.outcome(Self.key, now: Self.now) == outcome)
        #expect(cache.outcome(Self.key, now: Self.now + .seconds(seconds) + .microseconds(-1)) == outcome)
        #expect(cache.outcome(Self.key, now: Self.now + .seconds(seconds)) == nil)
    }

    @Test("it is of one account with these credentials, and can be forgotten")
    func keys() {
        var cache = UsageCache()
        let outcome = UsageOutcome.answered(AccountUsage(), at: Self.now)
        cache.keep(outcome, of: Self.key, now: Self.now)
        #expect(cache.outcome(UsageCache.Key(AccountID(1), credentials: 2), now: Self.now) == nil)
        #expect(cache.outcome(UsageCache.Key(AccountID(2), credentials: 1), now: Self.now) == nil)
        cache.forget(AccountID(1))
        #expect(cache.outcome(Self.key, now: Self.now) == nil)
    }

    @Test("a clock that was set back keeps nothing for ever, and many accounts do not fill the memory")
    func bounds() {
        var cache = UsageCache()
        cache.keep(.answered(AccountUsage(), at: Self.now + .seconds(7200)), of: Self.key, now: Self.now)
        #expect(cache.outcome(Self.key, now: Self.now) == nil)
        for id in 0..<25_000 {
            let key = UsageCache.Key(AccountID(Int64(id)), credentials: 1)
            cache.keep(.answered(AccountUsage(), at: Self.now), of: key, now: Self.now)
        }
        #expect(cache.outcome(UsageCache.Key(AccountID(24_999), credentials: 1), now: Self.now) != nil)
    }
}

@Suite("What the admin API tells of an account's usage")
struct UsageInfoTests {
    private static let now = Timestamp(microseconds: 1_763_000_000_000_000)
    private static func after(_ seconds: Int) -> Timestamp { now + .seconds(seconds) }

    private func account(_ status: AccountStatus = .active, _ message: String? = nil) -> AccountRecord {
        var fields = AccountDraft()
        fields.platform = .antigravity
        fields.type = .oauth
        fields.status = status
        return AccountRecord(
            id: AccountID(1),
            fields: fields,
            credentials: StoredCredentials(plain: [:], sealedFields: [], sealed: "", version: 1),
            errorMessage: message,
            lastUsedAt: nil,
            revision: 1,
            createdAt: Self.now,
            updatedAt: Self.now
        )
    }

    private func json(_ outcome: UsageOutcome?, _ stored: StoredUsage? = nil, _ account: AccountRecord? = nil) -> JSON {
        UsageInfo(account ?? self.account(), stored, outcome, now: Self.now).json
    }

    @Test("an account of which nothing is known has its empty answer, and nothing that is not")
    func empty() {
        #expect(json(nil) == ["updated_at": .null, "five_hour": .null, "seven_day": .null])
    }

    @Test(
        "tiers are told by what the upstream's name contains, in any case",
        arguments: [
            ("g1-ultra-tier", "ULTRA"), ("G1-PRO-tier", "PRO"), ("free-tier", "FREE"), ("Ultra Pro Free", "ULTRA"),
            ("standard-tier", "UNKNOWN"), ("", "UNKNOWN"),
        ]
    )
    func tiers(name: String, tier: String) {
        let answer = json(.answered(AccountUsage(tier: name), at: Self.now))
        #expect(answer["subscription_tier"]?.string == tier && answer["subscription_tier_raw"]?.string == name)
    }

    @Test("figures are told in percent with the ends of their windows; of a window that is over nothing is used")
    func figures() {
        let usage = AccountUsage(
            windows: AccountWindows(
                fiveHours: UsageWindow(used: 4250, endsAt: Self.after(60)),
                sevenDays: UsageWindow(used: 9900, endsAt: Self.after(-60)),
                families: ["opus": UsageWindow(used: 100)]
            ),
            models: ["gemini-3": UsageWindow(used: 10_000, endsAt: Self.after(5), isExhausted: true)],
            credits: [CreditBalance(type: "GOOGLE_ONE_AI", amount: 7, minimum: 5)]
        )
        let answer = json(.answered(usage, at: Self.now))
        #expect(answer["five_hour"] == ["utilization": 42.5, "resets_at": .time(Self.after(60))])
        #expect(answer["seven_day"] == ["utilization": 0.0, "resets_at": .null])
        #expect(answer["seven_day_opus"] == ["utilization": 1.0, "resets_at": .null])
        #expect(answer["models"]?["gemini-3"]?["utilization"] == 100.0)
        #expect(
            answer["ai_credits"] == [["credit_type": "GOOGLE_ONE_AI", "amount": 7, "minimum_balance": 5]]
        )
        #expect(answer["error_code"] == nil && answer["is_forbidden"] == nil)
    }

    @Test("a failed probe has its code and what was known last")
    func degraded() {
        var stored = StoredUsage()
        stored.figures = AccountUsage(models: ["m": UsageWindow(used: 100)], tier: "g1-pro-tier")
        stored.probedAt = Self.after(-1000)
        stored.windows = AccountWindows(fiveHours: UsageWindow(used: 4000, endsAt: Self.after(60)))
        stored.sampledAt = Self.after(-50)
        for code in UsageFailure.Code.allCases {
            let answer = json(.failed(UsageFailure(code, "503: Away."), at: Self.now), stored)
            #expect(answer["error_code"]?.string == code.rawValue && answer["error"] == "503: Away.")
            #expect(answer["five_hour"]?["utilization"] == 40.0)
            #expect(answer["models"]?["m"]?["utilization"] == 1.0)
            #expect(answer["subscription_tier"] == "PRO")
            #expect(answer["updated_at"] == .time(Self.after(-50)))
            #expect((answer["needs_reauth"] == true) == (code == .unauthenticated))
            #expect((answer["is_forbidden"] == true) == (code == .forbidden))
        }
    }

    @Test(
        "a refusal says what kind it is, what that means and where to set it right",
        arguments: [
            (.validation, true, nil), (.violation, nil, true), (.forbidden, nil, nil),
        ] as [(ForbiddenType, Bool?, Bool?)]
    )
    func forbidden(type: ForbiddenType, needsVerify: Bool?, isBanned: Bool?) {
        let failure = UsageFailure(.forbidden, "403: No.", forbiddenType: type, validationURL: "https://a.example/")
        let answer = json(.failed(failure, at: Self.now))
        #expect(answer["is_forbidden"] == true && answer["forbidden_type"]?.string == type.rawValue)
        #expect(answer["validation_url"] == "https://a.example/")
        #expect(answer["needs_verify"]?.bool == needsVerify && answer["is_banned"]?.bool == isBanned)
        #expect(answer["needs_reauth"] == nil)
    }

    @Test("what is known of the account's error is told with good figures and bad ones")
    func stored() {
        let good = UsageOutcome.answered(AccountUsage(tier: "pro"), at: Self.now)
        let bad = UsageOutcome.failed(UsageFailure(.networkError, "No answer in time."), at: Self.now)
        let forbidden = account(.error, "403: The caller does not have permission")
        let answer = json(good, nil, forbidden)
        #expect(answer["subscription_tier"] == "PRO" && answer["error_code"] == nil)
        #expect(answer["is_forbidden"] == true && answer["error"] == "403: The caller does not have permission")
        let degraded = json(bad, nil, forbidden)
        #expect(degraded["error_code"] == "network_error" && degraded["is_forbidden"] == true)
        #expect(json(good, nil, account(.error, "401: Gone"))["needs_reauth"] == true)
        // The kind and the way out, as they are kept.
        var validation = account(.error, "403: Verify your account.")
        validation.forbiddenType = "validation"
        validation.validationURL = "https://a.example/v"
        let verify = json(good, nil, validation)
        #expect(verify["forbidden_type"] == "validation" && verify["needs_verify"] == true)
        #expect(verify["validation_url"] == "https://a.example/v" && verify["error_code"] == nil)
        // An error that is over says nothing.
        #expect(json(good, nil, account(.active, "401: Gone"))["needs_reauth"] == nil)
    }

    @Test("a head that came after the probe has the newer windows")
    func newer() {
        var stored = StoredUsage()
        stored.windows = AccountWindows(fiveHours: UsageWindow(used: 5000, endsAt: Self.after(60)))
        stored.sampledAt = Self.after(-10)
        let usage = AccountUsage(windows: AccountWindows(fiveHours: UsageWindow(used: 4000, endsAt: Self.after(60))))
        #expect(json(.answered(usage, at: Self.after(-20)), stored)["five_hour"]?["utilization"] == 50.0)
        #expect(json(.answered(usage, at: Self.after(-5)), stored)["five_hour"]?["utilization"] == 40.0)
    }
}

@Suite("Samples of windows, taken in")
struct StoredUsageTests {
    private static let now = Timestamp(microseconds: 1_763_000_400_000_000)
    private static func after(_ seconds: Int) -> Timestamp { now + .seconds(seconds) }

    private func sample(_ at: Timestamp, end: Timestamp? = nil, used: Int? = nil, session: Bool = true) -> WindowsSample
    {
        WindowsSample(
            account: AccountID(1),
            at: at,
            windows: end == nil && used == nil
                ? AccountWindows() : AccountWindows(fiveHours: UsageWindow(used: used, endsAt: end)),
            countsForSession: session
        )
    }

    private func take(_ usage: inout StoredUsage, _ sample: WindowsSample) -> Bool { usage.take(sample) }

    @Test("older news never overwrites newer, and the same again changes nothing")
    func order() {
        var usage = StoredUsage()
        #expect(take(&usage, sample(Self.after(10), end: Self.after(5000), used: 20)))
        let taken = usage
        #expect(!take(&usage, sample(Self.after(10), end: Self.after(5000), used: 20)))
        #expect(!take(&usage, sample(Self.after(9), end: Self.after(6000), used: 99)))
        #expect(usage == taken)
        #expect(take(&usage, sample(Self.after(11), end: Self.after(5000), used: 30)))
        #expect(usage.windows.fiveHours?.used == 30)
    }

    @Test("an end that was said is the truth; one is predicted only while none is known to run, and then corrected")
    func session() {
        var usage = StoredUsage()
        // Nothing said, nothing known: the hour's beginning and five hours.
        #expect(take(&usage, sample(Self.now)))
        let hour = Timestamp(microseconds: Self.now.microseconds - Self.now.microseconds % 3_600_000_000)
        #expect(usage.session == SessionWindow(end: hour + .seconds(18_000), isPredicted: true))
        let predicted = usage.session
        #expect(take(&usage, sample(Self.after(60))))
        #expect(usage.session == predicted)
        // Corrected, and then kept against silence.
        #expect(take(&usage, sample(Self.after(70), end: Self.after(900))))
        #expect(usage.session == SessionWindow(end: Self.after(900), isPredicted: false))
        #expect(take(&usage, sample(Self.after(80))))
        #expect(usage.session?.end == Self.after(900))
        // It is over: the next one is predicted.
        #expect(take(&usage, sample(Self.after(901))))
        #expect(usage.session?.isPredicted == true)
    }

    @Test("what begins no window and says nothing of any is no news")
    func nothing() {
        var usage = StoredUsage()
        #expect(!take(&usage, sample(Self.now, session: false)))
        #expect(usage == StoredUsage())
    }
}
