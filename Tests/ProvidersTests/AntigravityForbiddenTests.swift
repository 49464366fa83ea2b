import Domain
import Formats
import HTTPMessages
import Testing

@testable import Providers

@Suite("What a 403 of Antigravity wants")
struct AntigravityForbiddenTests {
    private static let validationURL =
        "https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=AKgnsbsNwvBsnWGViNvS90Rjm8_bfTFw0iIAMB0PNLLvJm6TVA"
        + "bKs4Z2A3nZrNJMqwckY4bK2dWjRQTpfan8&flowName=GlifWebSignIn"
    private static let appealURL = "https://forms.gle/hTestTestTest9"

    private func error(_ answer: UpstreamAnswer) -> AccountError? {
        let context = VerdictContext(now: VerdictFixture.now, accountType: .oauth)
        let verdict = VerdictCase.table(of: "Antigravity").verdict(.refused(answer), context)
        #expect(verdict.request == .failover)
        guard verdict.effects.count == 1, case .error(let error)? = verdict.effects.first else { return nil }
        return error
    }

    private func error(body: String) -> AccountError? {
        error(UpstreamAnswer(status: 403, headers: [:], body: Array(body.utf8)))
    }

    @Test(
        "real bodies are told apart, and their URL found",
        arguments: [
            ("403-validation", ForbiddenType.validation, Optional(validationURL)),
            ("403-validation-text", .validation, validationURL),
            ("403-validation-escaped", .validation, validationURL),
            ("403-validation-cut", .validation, validationURL),
            ("403-violation", .violation, appealURL),
            ("403-violation-text", .violation, appealURL),
            ("403-forbidden", .forbidden, nil),
        ]
    )
    func fixtures(name: String, type: ForbiddenType, url: String?) throws {
        let error = try #require(self.error(VerdictFixture.answer("Antigravity/\(name)")))
        #expect(error.forbiddenType == type)
        #expect(error.validationURL == url)
        #expect(error.message.hasPrefix("403: "))
        if let url { #expect(error.message.firstRange(of: url) != nil) }
    }

    @Test(
        "the words tell, in any case",
        arguments: [
            ("VERIFY YOUR ACCOUNT", ForbiddenType.validation), ("validation_required", .validation),
            (#"{"validation_url":""}"#, .validation), ("Terms Of Service", .violation), ("a Violation", .violation),
            ("BANNED", .violation), ("verify your account, banned", .validation), ("no", .forbidden), ("", .forbidden),
            ("<html>nothing for you</html>", .forbidden),
        ]
    )
    func words(body: String, type: ForbiddenType) {
        #expect(error(body: body)?.forbiddenType == type)
    }

    @Test(
        "a URL is taken from the structure first, then from a text that speaks of verification or appeal",
        arguments: [
            (
                #"{"error":{"message":"see https://a.test/verify","details":[{"metadata":{"appeal_url":"https://b.test"}},{"metadata":{"validation_url":"https://c.test/x"}}]}}"#,
                Optional("https://c.test/x")
            ),
            (
                #"{"error":{"message":"verify at https://a.test","details":[{"metadata":{"validation_url":"","appeal_url":"https://b.test"}}]}}"#,
                "https://b.test"
            ),
            (
                #"{"error":{"message":"see https://docs.test","details":[{"text":"to appeal, go to https://b.test."}]}}"#,
                "https://b.test"
            ),
            (#"{"error":{"message":"see https://docs.test/terms"}}"#, nil),
            (#"{"error":{"details":[{"metadata":{"validation_url":"javascript:alert(1)"}}]}}"#, nil),
            (#"{"error":{"details":[{"metadata":{"validation_url":{"a":1}}}]}}"#, nil),
            (#"{"error":{"message":"please verify"}}"#, nil),
            ("Verify your account: <https://a.test/b?c=1>.", "https://a.test/b?c=1"),
            (#"verify (https:\/\/a.test\/b?c\u003d1\u0026d=2)"#, "https://a.test/b?c=1&d=2"),
            ("verify https:// or http://b.test", "http://b.test"),
            ("verify HTTPS://A.test/", "HTTPS://A.test/"),
            (#"verify https://a.test/\u00e9"#, "https://a.test/"),
            (#"verify https://a.test/\u00"#, "https://a.test/"),
            ("appeal https://a.test/\\", "https://a.test/"),
        ]
    )
    func urls(body: String, url: String?) {
        #expect(error(body: body)?.validationURL == url)
    }

    @Test("whatever is cut from a body, nothing traps and a URL has its scheme")
    func truncated() {
        for name in VerdictFixture.names where name.hasPrefix("Antigravity/403") {
            let (status, headers, body) = VerdictFixture.parts(name)
            let parser = JSONParser()
            for count in 0...body.count {
                let answer = UpstreamAnswer(status: status, headers: headers, body: Array(body.prefix(count)), parser)
                let url = error(answer)?.validationURL
                #expect(url?.hasPrefix("https://") ?? true)
            }
        }
    }
}
