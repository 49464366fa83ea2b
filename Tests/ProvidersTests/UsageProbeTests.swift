import Crypto
import Domain
import Formats
import HTTPMessages
import Testing

@testable import Providers

@Suite("Asking upstreams how much of an account is used")
struct UsageProbeTests {
    private static let now = VerdictFixture.now
    private static let end = RFC3339.format(now.microseconds + 3_600_000_000)
    private static let secrets = ["access_token": Secret("ya29.a")]

    private func made(_ platform: Platform, _ type: AccountType, _ fields: [String: String] = [:]) -> (any UsageProbe)?
    {
        ProviderRegistry.provider(for: ProviderAccount(platform: platform, type: type, fields: fields))?.usage
    }

    private func read(_ probe: any UsageProbe, _ text: String, _ subject: UsageQuestion.Subject) throws -> AccountUsage?
    {
        var usage = AccountUsage()
        return probe.read(try JSON(text: text), to: subject, now: Self.now, into: &usage) ? usage : nil
    }

    @Test(
        "only logins whose platform tells can be asked",
        arguments: [
            (.anthropic, .oauth, true), (.anthropic, .setupToken, false), (.anthropic, .apikey, false),
            (.anthropic, .bedrock, false), (.openai, .oauth, false), (.openai, .apikey, false),
            (.gemini, .oauth, false), (.antigravity, .oauth, true), (.antigravity, .apikey, false),
        ] as [(Platform, AccountType, Bool)]
    )
    func who(platform: Platform, type: AccountType, can: Bool) {
        #expect((made(platform, type, ["base_url": "http://localhost:1", "region": "us-east-1"]) != nil) == can)
    }

    @Test("only Anthropic's subscriptions have windows that can be predicted, only Antigravity's logins take credits")
    func traits() throws {
        func provider(_ platform: Platform, _ type: AccountType) throws -> any Provider {
            try #require(
                ProviderRegistry.provider(
                    for: ProviderAccount(
                        platform: platform,
                        type: type,
                        fields: ["base_url": "http://localhost:1", "region": "us-east-1"]
                    )
                )
            )
        }
        for platform in Platform.all {
            for type in AccountType.allowed(on: platform) {
                let provider = try provider(platform, type)
                #expect(
                    provider.hasSessionWindows == (platform == .anthropic && (type == .oauth || type == .setupToken))
                )
                #expect(provider.takesCredits == (platform == .antigravity && type == .oauth))
            }
        }
    }

    // MARK: Anthropic

    @Test("Anthropic is asked with the login's token, and with nothing that pretends to be another program")
    func anthropicQuestion() throws {
        let probe = try #require(made(.anthropic, .oauth, ["base_url": "https://api.anthropic.com/v1/"]))
        let question = try #require(probe.questions(Self.secrets)?.first)
        #expect(question.head.method == "GET" && question.head.target == "/api/oauth/usage")
        #expect(question.head.headers["authorization"] == "Bearer ya29.a")
        #expect(question.head.headers["anthropic-beta"] == "oauth-2025-04-20")
        #expect(question.head.headers["user-agent"] == nil)
        #expect(probe.questions([:]) == nil)
    }

    @Test("Anthropic's windows are read with those of single families; what is null is not there")
    func anthropicAnswer() throws {
        let probe = try #require(made(.anthropic, .oauth))
        let usage = try read(
            probe,
            """
            {"five_hour":{"utilization":33.25,"resets_at":"\(Self.end)"},
             "seven_day":{"utilization":100,"resets_at":null},"seven_day_opus":null,
             "seven_day_sonnet":{"utilization":1.0,"resets_at":"\(Self.end)"},
             "extra_usage":{"is_enabled":false,"utilization":null},"iguana":{"utilization":3},
             "limits":[7,{"kind":"session","percent":33},{"kind":"weekly_scoped","percent":5,"scope":null},
              {"kind":"weekly_scoped","percent":52,"resets_at":"\(Self.end)","scope":{"model":{"display_name":"Fable"}}}]}
            """,
            .windows
        )
        let end = Self.now + .seconds(3600)
        #expect(
            usage?.windows
                == AccountWindows(
                    fiveHours: UsageWindow(used: 3325, endsAt: end),
                    sevenDays: UsageWindow(used: 10_000, isExhausted: true),
                    families: [
                        "sonnet": UsageWindow(used: 100, endsAt: end), "fable": UsageWindow(used: 5200, endsAt: end),
                    ]
                )
        )
    }

    @Test(
        "what Anthropic's answer cannot mean is left out",
        arguments: ["-5", "1e300", "\"33\"", "null", "[]", "99999999999999"]
    )
    func absurdPercent(figure: String) throws {
        let probe = try #require(made(.anthropic, .oauth))
        let text = "{\"five_hour\":{\"utilization\":\(figure),\"resets_at\":\"9999-01-01T00:00:00Z\"}}"
        #expect(try read(probe, text, .windows)?.windows.fiveHours == UsageWindow())
    }

    @Test("an answer without windows is none", arguments: ["{}", "[]", "3", #"{"error":{"type":"x"}}"#])
    func notUsage(text: String) throws {
        #expect(try read(#require(made(.anthropic, .oauth)), text, .windows) == nil)
    }

    // MARK: Antigravity

    @Test("Antigravity is asked for models and subscription, of the account's project")
    func antigravityQuestions() throws {
        let probe = try #require(made(.antigravity, .oauth, ["project_id": "p-1"]))
        let questions = try #require(probe.questions(Self.secrets))
        #expect(questions.map(\.head.target) == ["/v1internal:fetchAvailableModels", "/v1internal:loadCodeAssist"])
        #expect(questions.map(\.isEssential) == [true, false])
        #expect(try JSON(questions[0].body) == ["project": "p-1"])
        #expect(try JSON(questions[1].body)["cloudaicompanionProject"] == "p-1")
        for question in questions {
            #expect(question.head.method == "POST" && question.head.headers["authorization"] == "Bearer ya29.a")
        }
        #expect(probe.questions(["refresh_token": Secret("r")]) == nil)
    }

    @Test("what is left of each model is turned into what is used; a fraction that is not there is none left")
    func models() throws {
        let usage = try read(
            #require(made(.antigravity, .oauth)),
            """
            {"models":{
              "gemini-3-pro-high":{"displayName":"x","quotaInfo":{"remainingFraction":0.5825,"resetTime":"\(Self.end)"}},
              "claude-opus":{"quotaInfo":{"resetTime":"\(Self.end)"}},
              "full":{"quotaInfo":{"remainingFraction":1}},
              "absurd":{"quotaInfo":{"remainingFraction":-3}},"odd":{"quotaInfo":{"remainingFraction":"0.5"}},
              "plain":{"displayName":"no quota"}}}
            """,
            .models
        )
        let end = Self.now + .seconds(3600)
        #expect(
            usage?.models == [
                "gemini-3-pro-high": UsageWindow(used: 4175, endsAt: end),
                "claude-opus": UsageWindow(used: 10_000, endsAt: end, isExhausted: true), "full": UsageWindow(used: 0),
            ]
        )
    }

    @Test("the paid tier comes before the current one, with its credits")
    func subscription() throws {
        let probe = try #require(made(.antigravity, .oauth))
        let usage = try read(
            probe,
            """
            {"currentTier":{"id":"free-tier","name":"Antigravity"},"paidTier":{"id":"g1-Ultra-tier","availableCredits":[
              {"creditType":"GOOGLE_ONE_AI","creditAmount":"990","minimumCreditAmountForUsage":"10"},
              {"creditType":"","creditAmount":"1"},{"creditType":"ODD","creditAmount":"-4"}]}}
            """,
            .subscription
        )
        #expect(usage?.tier == "g1-Ultra-tier")
        #expect(
            usage?.credits == [
                CreditBalance(type: "GOOGLE_ONE_AI", amount: 990, minimum: 10), CreditBalance(type: "ODD", amount: nil),
            ]
        )
        #expect(try read(probe, #"{"currentTier":{"id":"free-tier"}}"#, .subscription)?.tier == "free-tier")
        #expect(try read(probe, "{}", .subscription) == nil)
        #expect(try read(probe, "{}", .models) == nil)
    }

    // MARK: Refusals

    private func failure(_ platform: Platform, _ status: Int, _ body: String, html: Bool = false) throws -> UsageFailure
    {
        let probe = try #require(made(platform, .oauth))
        let headers: HeaderFields = html ? ["content-type": "text/html"] : ["content-type": "application/json"]
        let answer = UpstreamAnswer(status: status, headers: headers, body: Array(body.utf8))
        return probe.failure(answer, type: .oauth, now: Self.now)
    }

    @Test(
        "each refusal has its code",
        arguments: [
            (401, .unauthenticated), (403, .forbidden), (429, .rateLimited), (500, .networkError), (404, .networkError),
            (302, .networkError), (529, .networkError),
        ] as [(Int, UsageFailure.Code)]
    )
    func codes(status: Int, code: UsageFailure.Code) throws {
        for platform in [Platform.anthropic, .antigravity] {
            let failure = try failure(platform, status, #"{"error":{"message":"No."}}"#)
            #expect(failure.code == code && failure.message == "\(status): No.")
        }
    }

    @Test("a proxy's page is no word of the upstream's")
    func page() throws {
        #expect(try failure(.anthropic, 403, "<html>Blocked</html>", html: true).code == .networkError)
        #expect(try failure(.antigravity, 403, "<html>Blocked</html>", html: true).code == .networkError)
    }

    @Test("of Antigravity's refusals the kind and the way out are told")
    func forbidden() throws {
        let validation = try failure(
            .antigravity,
            403,
            #"{"error":{"message":"Verify your account.","details":[{"metadata":{"validation_url":"https://a.example/v?x=1"}}]}}"#
        )
        #expect(validation.forbiddenType == .validation && validation.validationURL == "https://a.example/v?x=1")
        #expect(try failure(.antigravity, 403, #"{"error":{"message":"banned"}}"#).forbiddenType == .violation)
        #expect(try failure(.antigravity, 403, "{}").forbiddenType == .forbidden)
    }
}

@Suite("Calls paid with AI credits")
struct CreditRequestTests {
    private func body(_ type: AccountType, usesCredits: Bool, _ action: CallRoute.Action = .generate) throws -> JSON {
        let provider = try #require(
            ProviderRegistry.provider(
                for: ProviderAccount(platform: .antigravity, type: type, fields: ["base_url": "http://localhost:1"])
            )
        )
        let call = UpstreamCall(
            dialect: .gemini,
            action: action,
            model: "gemini-3-pro",
            body: Array(#"{"contents":[]}"#.utf8),
            usesCredits: usesCredits,
            secrets: ["access_token": Secret("t"), "api_key": Secret("k")],
            now: Timestamp(microseconds: 0)
        )
        return try JSON(#require(try provider.request(for: call)).body)
    }

    @Test("a call that may cost credits says so from the start, and no other one does")
    func says() throws {
        #expect(try body(.oauth, usesCredits: true)["enabledCreditTypes"] == ["GOOGLE_ONE_AI"])
        #expect(try body(.oauth, usesCredits: false)["enabledCreditTypes"] == nil)
        #expect(try body(.apikey, usesCredits: true)["enabledCreditTypes"] == nil)
        #expect(try body(.oauth, usesCredits: true, .countTokens)["enabledCreditTypes"] == nil)
    }
}
