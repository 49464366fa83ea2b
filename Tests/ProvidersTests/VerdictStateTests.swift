import Domain
import HTTPMessages
import Testing

@testable import Providers

@Suite("Verdicts that depend on what came before")
struct VerdictStateTests {
    private static let expired = VerdictCase(fixture: "Anthropic/401-token-expired", type: .oauth)

    private func isError(_ verdict: UpstreamVerdict) -> Bool {
        if case .error? = verdict.effects.first { verdict.effects.count == 1 } else { false }
    }

    // MARK: 401

    @Test("a 401 to a token that has been replaced already changes nothing")
    func replacedToken() {
        let verdict = Self.expired.verdict {
            $0.credential = CredentialUse(version: 7, currentVersion: 8, hasRefreshToken: false)
        }
        #expect(verdict == UpstreamVerdict(.failover, .credentialStale))
    }

    @Test("without a refresh token a 401 is an error", arguments: [AccountType.oauth, .setupToken])
    func noRefreshToken(type: AccountType) {
        let verdict = VerdictCase(fixture: "Anthropic/401-token-expired", type: type).verdict {
            $0.credential.hasRefreshToken = false
        }
        #expect(isError(verdict))
        #expect(verdict.reason == .credentialRejected)
    }

    @Test("calls in flight on one stale token are one 401, however late they come back")
    func inFlight() {
        for now in [1.0, 599, 601, 5000] {
            let verdict = Self.expired.verdict {
                $0.now = .after(now)
                $0.startedAt = .after(0.5)
                $0.credential.counted = CountedUnauthorized(version: 7, pausedUntil: .after(600))
            }
            #expect(verdict == UpstreamVerdict(.failover, .credentialStale))
        }
    }

    @Test("the next 401 is an error: on a newer version, or on the same one after the pause")
    func nextOne() {
        let newer = Self.expired.verdict {
            $0.credential = CredentialUse(
                version: 8,
                counted: CountedUnauthorized(version: 7, pausedUntil: .after(600))
            )
        }
        let later = Self.expired.verdict {
            $0.credential.counted = CountedUnauthorized(version: 7, pausedUntil: .after(0))
        }
        for verdict in [newer, later] {
            #expect(isError(verdict))
            #expect(verdict.reason == .credentialRejectedAgain)
        }
    }

    @Test("after a success between, the next 401 is the first again")
    func successBetween() {
        let verdict = Self.expired.verdict { $0.credential = CredentialUse(version: 8, counted: nil) }
        #expect(verdict.reason == .credentialRejected)
        #expect(verdict.effects.count == 3)
    }

    @Test("how long a 401 pauses is a setting")
    func pauseSetting() {
        let verdict = Self.expired.verdict { $0.cooldowns.unauthorized = .seconds(90) }
        #expect(verdict.effects[1] == .countUnauthorized(version: 7, pausedUntil: .after(90)))
    }

    // MARK: 403 of OpenAI

    @Test("the third 403 of OpenAI within its time is an error; those in flight together are one")
    func forbiddenCount() {
        let refused = VerdictCase(fixture: "OpenAI/403-country", type: .oauth)
        func verdict(_ count: Int, _ pausedUntil: Timestamp? = nil) -> UpstreamVerdict {
            refused.verdict { $0.forbidden = CountedForbidden(count: count, pausedUntil: pausedUntil) }
        }
        #expect(verdict(1).effects.count == 2)
        #expect(isError(verdict(2)))
        #expect(isError(verdict(9)))
        #expect(verdict(2, .after(1)) == UpstreamVerdict(.failover, .forbidden))
        #expect(isError(verdict(2, .after(0))))
        let page = VerdictCase(fixture: "OpenAI/403-page", type: .oauth).verdict {
            $0.forbidden = CountedForbidden(count: 2)
        }
        #expect(page == UpstreamVerdict(.failover, .proxyPage))
    }

    @Test(
        "a page is one by its type or by how it begins",
        arguments: [
            ("text/html; charset=utf-8", "blocked", true), ("TEXT/HTML", "", true), (nil, "<HTML>", true),
            (nil, "\n  <!doctype HTML>", true), ("application/json", "<html>", true), ("text/plain", "no", false),
            ("text/html", #"{"error":{"message":"JSON all the same"}}"#, false), (nil, "", false),
        ]
    )
    func pages(type: String?, body: String, isPage: Bool) {
        var headers = HeaderFields()
        if let type { headers.add("content-type", type) }
        let answer = UpstreamAnswer(status: 403, headers: headers, body: Array(body.utf8))
        let context = VerdictContext(now: VerdictFixture.now, accountType: .apikey)
        for platform in ["Anthropic", "OpenAI", "Gemini", "Bedrock"] {
            let verdict = VerdictCase.table(of: platform).verdict(.refused(answer), context)
            #expect((verdict == UpstreamVerdict(.failover, .proxyPage)) == isPage)
        }
    }

    // MARK: Settings

    @Test("after a 529 an account rests as long as the setting says, or not at all")
    func overloadSetting() {
        let refused = VerdictCase(fixture: "Anthropic/529-overloaded", type: .apikey)
        #expect(
            refused.verdict { $0.cooldowns.overload = .seconds(120 * 60) }.effects == [.overloaded(until: .after(7200))]
        )
        let off = refused.verdict { $0.cooldowns.overload = nil }
        #expect(off == UpstreamVerdict(.failover, .overloaded))
    }

    @Test("the rest after a 429 without a reset is a setting; one with a reset does not care")
    func rateLimitSetting() {
        let plain = VerdictCase(fixture: "Gemini/429-plain", type: .oauth)
        #expect(
            plain.verdict { $0.cooldowns.rateLimit = .seconds(7200) }.effects
                == [.rateLimited(until: .after(7200), isGuessed: true)]
        )
        #expect(plain.verdict { $0.cooldowns.rateLimit = nil } == UpstreamVerdict(.failover, .rateLimited))
        let stated = VerdictCase(fixture: "Gemini/429-project", type: .oauth).verdict { $0.cooldowns.rateLimit = nil }
        #expect(stated.effects == [.rateLimited(until: .after(3.957525), isGuessed: false)])
    }

    // MARK: Credits

    @Test("a call that carried credits and found too few limits them for five hours, and nothing else")
    func credits() {
        for fixture in ["Antigravity/429-credits", "Antigravity/400-credits"] {
            let verdict = VerdictCase(fixture: fixture, type: .oauth).verdict { $0.carriedCredits = true }
            #expect(verdict.request == .failover)
            #expect(verdict.reason == .creditsExhausted)
            #expect(verdict.effects == [.modelLimited("AICredits", until: .after(18_000))])
        }
    }

    @Test(
        "only a 4xx that says so is one about credits",
        arguments: [
            (400, "You do not have enough credits.", true), (402, "Out of AI credits", true),
            (403, "Your credit balance is too low", true), (429, "AI credits exhausted", true),
            (429, "INSUFFICIENT_G1_CREDITS_BALANCE", true), (408, "Insufficient credits", false),
            (500, "Insufficient credits", false), (503, "not enough credits", false),
            (429, "Resource has been exhausted (e.g. check quota).", false),
            (429, "You have exhausted your capacity on this model. Enable AI credits to go on.", false),
            (429, "Quota used up; credits can be bought", false), (400, "Thanks to everybody in the credits", false),
        ]
    )
    func creditTexts(status: Int, message: String, isAboutCredits: Bool) {
        let body = "{\"error\":{\"code\":\(status),\"message\":\"\(message)\",\"status\":\"X\"}}"
        let answer = UpstreamAnswer(status: status, headers: [:], body: Array(body.utf8))
        let context = VerdictContext(now: VerdictFixture.now, accountType: .oauth, model: "m", carriedCredits: true)
        let verdict = VerdictCase.table(of: "Antigravity").verdict(.refused(answer), context)
        #expect((verdict.reason == .creditsExhausted) == isAboutCredits)
    }

    // MARK: Success

    @Test("a success disproves what it can, and only that")
    func success() {
        let context = VerdictContext(now: VerdictFixture.now, accountType: .oauth, model: "m")
        let verdict = VerdictCase.table(of: "Antigravity").success([:], context)
        #expect(verdict.request == .deliver)
        #expect(verdict.effects.isEmpty)
        #expect(verdict.clears.rateLimited && verdict.clears.overloaded && verdict.clears.unauthorized)
        #expect(verdict.clears.models == ["m"])
        #expect(verdict.clears.pauses == [.unauthorized, .forbidden, .invalidProject, .emptyStream])
    }

    @Test("a success that was paid with credits clears those, not the model's own limit")
    func successWithCredits() {
        let context = VerdictContext(now: VerdictFixture.now, accountType: .oauth, model: "m", carriedCredits: true)
        #expect(VerdictCase.table(of: "Antigravity").success([:], context).clears.models == ["AICredits"])
    }

    @Test("an answer beyond a subscription that is used up does not clear its limit")
    func overage() {
        let context = VerdictContext(now: VerdictFixture.now, accountType: .oauth, model: "m")
        let table = VerdictCase.table(of: "Anthropic")
        for status in ["allowed", "allowed_warning"] {
            #expect(table.success(["anthropic-ratelimit-unified-status": status], context).clears.rateLimited)
        }
        let clears = table.success(["anthropic-ratelimit-unified-status": "rejected"], context).clears
        #expect(!clears.rateLimited && clears.models.isEmpty)
        #expect(clears.overloaded)
    }
}
