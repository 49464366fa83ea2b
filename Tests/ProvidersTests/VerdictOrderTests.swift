import Domain
import HTTPMessages
import Testing

@testable import Providers

@Suite("In which order verdicts count")
struct VerdictOrderTests {
    private static let ruleFor401 = PauseRule(status: 401, minutes: 7)
    private static let ruleFor429 = PauseRule(status: 429, minutes: 7)
    private static let platforms = ["Anthropic", "OpenAI", "Gemini", "Antigravity", "Bedrock"]

    private func ask(
        _ platform: String,
        _ status: Int,
        _ rules: AccountRules = AccountRules(),
        _ type: AccountType = .apikey,
        body: String = "{}"
    ) -> UpstreamVerdict {
        let answer = UpstreamAnswer(status: status, headers: [:], body: Array(body.utf8))
        let context = VerdictContext(now: VerdictFixture.now, accountType: type, rules: rules, model: "m")
        return VerdictCase.table(of: platform).verdict(.refused(answer), context)
    }

    private func isError(_ verdict: UpstreamVerdict) -> Bool {
        if case .error? = verdict.effects.first { true } else { false }
    }

    private func isRulePause(_ verdict: UpstreamVerdict) -> Bool {
        if case .paused(let end, .rule, _)? = verdict.effects.first { end == .after(420) } else { false }
    }

    // MARK: (1) before all others

    @Test("a listed status is an error, whatever the other rows say of it", arguments: platforms)
    func listed(platform: String) {
        for status in [302, 400, 401, 403, 404, 418, 429, 500, 529] {
            for isPoolMode in [false, true] {
                let rules = AccountRules(
                    isPoolMode: isPoolMode,
                    customErrorCodes: [status],
                    pauseRules: [PauseRule(status: Int64(status), minutes: 7)]
                )
                let verdict = ask(platform, status, rules)
                #expect(verdict.request == .failover)
                #expect(verdict.reason == .customErrorCode)
                #expect(isError(verdict) && verdict.effects.count == 1)
            }
        }
    }

    @Test("with codes any other status leaves the account untouched, before pool mode, 401, own rules and the rest")
    func unlisted() {
        let rules = AccountRules(
            isPoolMode: true,
            customErrorCodes: [418],
            pauseRules: [Self.ruleFor401, Self.ruleFor429, PauseRule(status: 500, minutes: 1)]
        )
        for platform in Self.platforms {
            for status in [401, 402, 403, 408, 429, 500, 529] {
                let verdict = ask(platform, status, rules)
                #expect(verdict.request == .failover)
                #expect(verdict.effects.isEmpty)
            }
            #expect(ask(platform, 422, rules).request == .passThrough)
        }
        let disabled = #"{"error":{"type":"x","message":"organization has been disabled"}}"#
        let verdict = ask("Anthropic", 400, rules, body: disabled)
        #expect(verdict.request == .failover && verdict.effects.isEmpty)
    }

    @Test("with codes a call is still tried again where that is all it takes")
    func retriesWithCodes() {
        let rules = AccountRules(customErrorCodes: [418])
        let context = VerdictContext(now: VerdictFixture.now, accountType: .oauth, rules: rules)
        for outcome in [UpstreamAnswer.Outcome.emptyStream, .refused(VerdictFixture.answer("Antigravity/400-project"))]
        {
            let verdict = VerdictCase.table(of: "Antigravity").verdict(outcome, context)
            #expect(verdict.request == .retryHere(limit: 2, after: .milliseconds(500)))
            #expect(verdict.resolved(retriesDone: 2) == verdict.withoutMarks.resolved(retriesDone: 2))
            #expect(verdict.resolved(retriesDone: 2).effects.isEmpty)
        }
    }

    // MARK: (2) before 401, specific and generic rows

    @Test("in pool mode 401, 403 and 429 are tried here again, as often as the account says", arguments: platforms)
    func pool(platform: String) {
        for (count, limit) in [(3, 3), (0, 0), (10, 10), (11, 10), (Int.max, 10), (-1, 0)] {
            let rules = AccountRules(isPoolMode: true, poolRetryCount: count)
            for type in [AccountType.apikey, .oauth] {
                for status in [401, 403, 429] {
                    let verdict = ask(platform, status, rules, type)
                    #expect(verdict.request == .retryHere(limit: limit, after: .milliseconds(500)))
                    #expect(!verdict.effects.contains { if case .invalidateToken = $0 { false } else { true } })
                    #expect(verdict.resolved(retriesDone: limit).request == .failover)
                }
            }
        }
        #expect(AccountRules().poolRetryCount == 3)
    }

    @Test("in pool mode nothing else marks the account", arguments: platforms)
    func poolLeavesState(platform: String) {
        let rules = AccountRules(isPoolMode: true)
        for status in [400, 402, 404, 408, 500, 503, 529, 422] {
            for body in ["{}", #"{"error":{"type":"not_found_error","code":"model_not_found","message":"model"}}"#] {
                let verdict = ask(platform, status, rules, body: body)
                #expect(verdict.effects.isEmpty)
                if case .retryHere = verdict.request { Issue.record("\(status) is tried again") }
            }
        }
        let context = VerdictContext(now: VerdictFixture.now, accountType: .apikey, rules: rules)
        let empty = VerdictCase.table(of: platform).verdict(.emptyStream, context)
        #expect(empty.request == .retryHere(limit: 2, after: .milliseconds(500)))
        #expect(empty.effects.isEmpty)
    }

    @Test("in pool mode a rejected token is still not used again")
    func poolToken() {
        let verdict = ask("Anthropic", 401, AccountRules(isPoolMode: true), .oauth)
        #expect(verdict.effects == [.invalidateToken(version: 0)])
        #expect(verdict.resolved(retriesDone: 0).effects == [.invalidateToken(version: 0)])
    }

    @Test("in pool mode the account's own rules apply, also to a 401", arguments: platforms)
    func poolRules(platform: String) {
        let rules = AccountRules(isPoolMode: true, pauseRules: [Self.ruleFor401, Self.ruleFor429])
        for type in [AccountType.apikey, .oauth] {
            for status in [401, 429] {
                let verdict = ask(platform, status, rules, type)
                #expect(verdict.request == .failover)
                #expect(verdict.reason == .ownRule)
                #expect(isRulePause(verdict))
            }
        }
    }

    // MARK: (3) before own rules

    @Test("a 401 is not for the account's own rules to decide, but on Antigravity", arguments: platforms)
    func unauthorizedFirst(platform: String) {
        let rules = AccountRules(pauseRules: [Self.ruleFor401])
        for type in [AccountType.apikey, .oauth] {
            let verdict = ask(platform, 401, rules, type)
            #expect((verdict.reason == .ownRule) == (platform == "Antigravity"))
            #expect(isRulePause(verdict) == (platform == "Antigravity"))
        }
    }

    @Test("on Antigravity a matching rule renews the pause and never becomes more; without a match it is an error")
    func antigravityRules() {
        let rules = AccountRules(pauseRules: [PauseRule(status: 401, keywords: ["Quota"], minutes: 7)])
        for _ in 0..<5 { #expect(isRulePause(ask("Antigravity", 401, rules, .oauth, body: #"{"a":"no QUOTA"}"#))) }
        #expect(isError(ask("Antigravity", 401, rules, .oauth, body: #"{"a":"none"}"#)))
        let answer = UpstreamAnswer(status: 401, headers: [:], body: Array(#"{"a":"quota"}"#.utf8))
        var context = VerdictContext(now: VerdictFixture.now, accountType: .oauth, rules: rules)
        context.credential = CredentialUse(
            version: 2,
            hasRefreshToken: false,
            counted: CountedUnauthorized(version: 1, pausedUntil: .after(-1))
        )
        #expect(isRulePause(VerdictCase.table(of: "Antigravity").verdict(.refused(answer), context)))
    }

    // MARK: (4) before specific and generic rows

    @Test("the account's own rules come before the platform's rows and the generic ones", arguments: platforms)
    func rulesFirst(platform: String) {
        for status in [302, 400, 402, 403, 404, 408, 422, 429, 500, 529] {
            let rules = AccountRules(pauseRules: [PauseRule(status: Int64(status), minutes: 7)])
            let verdict = ask(platform, status, rules)
            #expect(verdict.request == .failover)
            #expect(verdict.reason == .ownRule)
            #expect(isRulePause(verdict))
        }
    }

    @Test("the account's own rule comes before exhausted credits")
    func ruleBeforeCredits() {
        let verdict = VerdictCase(fixture: "Antigravity/429-credits", type: .oauth).verdict {
            $0.carriedCredits = true
            $0.rules.pauseRules = [Self.ruleFor429]
        }
        #expect(isRulePause(verdict))
    }

    @Test(
        "a rule matches by its status and one of its keywords, in any case and however JSON writes it",
        arguments: [
            (#"{"error":"Zu Viel davon"}"#, true), (#"{"error":"\u007au v\u0069el"}"#, true),
            (#"{"error":"a \ud83d\udc22 b"}"#, true), ("plain text: ZU VIEL", true), (#"{"error":"viel zu"}"#, false),
            ("", false),
        ]
    )
    func keywords(body: String, matches: Bool) {
        let rule = PauseRule(status: 503, keywords: ["zu viel", "🐢"], minutes: 7)
        let rules = AccountRules(pauseRules: [PauseRule(status: 500, minutes: 1), rule])
        let verdict = ask("Anthropic", 503, rules, body: body)
        #expect(isRulePause(verdict) == matches)
        #expect(verdict.reason == (matches ? .ownRule : .upstreamError))
    }

    @Test("a rule's minutes have bounds, whatever they are")
    func minutes() {
        for (minutes, seconds) in [(Int64.max, 604_800.0), (Int64.min, 60), (0, 60), (10_080, 604_800)] {
            let rules = AccountRules(pauseRules: [PauseRule(status: 500, minutes: minutes)])
            guard case .paused(let end, .rule, _)? = ask("OpenAI", 500, rules).effects.first else {
                Issue.record("no pause")
                continue
            }
            #expect(end == .after(seconds))
        }
    }

    // MARK: (5) before (6)

    @Test("specific rows come before generic ones")
    func specificFirst() {
        let disabled = #"{"error":{"type":"x","message":"organization has been disabled"}}"#
        for platform in Self.platforms {
            #expect(isError(ask(platform, 400, body: disabled)))
            #expect(isError(ask(platform, 402)))
            #expect(ask(platform, 529).effects == [.overloaded(until: .after(600))])
        }
    }
}
