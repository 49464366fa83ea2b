import Domain
import Formats
import HTTPMessages
import Providers
import SimulatorKit
import Testing

/// The simulator can send whatever the gateway has a verdict for.
@Suite("What the simulator's faults mean to the gateway")
struct FaultVerdictTests {
    typealias Question = Dialect.Question

    private struct Fault: Sendable {
        var word: String
        var type: AccountType
        var reason: VerdictReason

        init(_ word: String, _ type: AccountType, _ reason: VerdictReason) {
            (self.word, self.type, self.reason) = (word, type, reason)
        }
    }

    /// What every platform says in its own words.
    private static func common(_ type: AccountType) -> [Fault] {
        [
            Fault("400", type, .callerFault), Fault("400disabled", type, .organizationDisabled),
            Fault("402", type, .paymentRequired), Fault("404", type, .modelNotFound),
            Fault("408", type, .requestTimeout), Fault("413", type, .callerFault),
            Fault("429", type, .rateLimited), Fault("429retry30", type, .rateLimited),
            Fault("429neg", type, .rateLimited), Fault("429huge", type, .rateLimited),
            Fault("429junk", type, .rateLimited), Fault("500", type, .upstreamError),
            Fault("502", type, .upstreamError), Fault("503", type, .upstreamError),
            Fault("504", type, .upstreamError), Fault("529", type, .overloaded),
        ]
    }

    private static func own(_ dialect: Dialect) -> [Fault] {
        switch dialect {
        case .anthropic:
            [
                Fault("400credit", .apikey, .paymentRequired), Fault("400credit", .oauth, .callerFault),
                Fault("401", .oauth, .credentialRejected), Fault("401revoked", .setupToken, .credentialRejected),
                Fault("403revoked", .oauth, .forbidden), Fault("403html", .oauth, .proxyPage),
                Fault("404file", .apikey, .callerFault), Fault("429family90", .oauth, .modelRateLimited),
                Fault("429unified90", .oauth, .rateLimited), Fault("429context", .oauth, .optionLimited),
                Fault("429fast90", .apikey, .optionLimited),
            ]
        case .chat, .responses:
            [
                Fault("401", .apikey, .credentialRejected), Fault("401detail", .oauth, .credentialRevoked),
                Fault("401invalidated", .oauth, .credentialRevoked), Fault("401revoked", .oauth, .credentialRevoked),
                Fault("401expired", .oauth, .credentialRejected), Fault("402workspace", .oauth, .paymentRequired),
                Fault("403", .oauth, .forbidden), Fault("403html", .oauth, .proxyPage),
                Fault("404route", .apikey, .callerFault), Fault("429quota", .apikey, .insufficientQuota),
            ]
        case .gemini, .geminiArray:
            [
                Fault("400key", .apikey, .credentialRejected), Fault("400project", .oauth, .invalidProject),
                Fault("401", .oauth, .credentialRejected), Fault("403", .oauth, .forbidden),
                Fault("403html", .apikey, .proxyPage), Fault("404file", .apikey, .callerFault),
                Fault("429model30", .apikey, .modelRateLimited), Fault("429quota60", .oauth, .modelRateLimited),
                Fault("429header30", .apikey, .rateLimited),
            ]
        case .antigravity, .antigravityKey:
            (dialect == .antigravity
                ? [
                    Fault("400project", .oauth, .invalidProject),
                    Fault("403validationtext", .oauth, .validationRequired),
                    Fault("429quota60", .oauth, .modelRateLimited), Fault("429capacity", .oauth, .rateLimited),
                    Fault("429credits", .oauth, .rateLimited),
                ] : [])
                + [
                    Fault("401", .oauth, .credentialRejected), Fault("403", .oauth, .forbidden),
                    Fault("403validation", .oauth, .validationRequired), Fault("403violation", .oauth, .termsViolated),
                    Fault("403violationtext", .apikey, .termsViolated), Fault("403banned", .oauth, .termsViolated),
                ]
        case .bedrock:
            [
                Fault("400model", .bedrock, .modelNotFound), Fault("400ondemand", .bedrock, .modelNotFound),
                Fault("400quota", .bedrock, .rateLimited), Fault("401", .bedrock, .credentialRejected),
                Fault("403", .bedrock, .forbidden), Fault("403html", .bedrock, .proxyPage),
                Fault("403model", .bedrock, .modelNotFound), Fault("403policy", .bedrock, .modelNotFound),
                Fault("403expired", .bedrock, .forbidden),
                Fault("424", .bedrock, .upstreamError),
            ]
        }
    }

    private func table(of dialect: Dialect, _ type: AccountType) throws -> VerdictTable {
        let platform: Platform =
            switch dialect {
            case .anthropic, .bedrock: .anthropic
            case .chat, .responses: .openai
            case .gemini, .geminiArray: .gemini
            case .antigravity, .antigravityKey: .antigravity
            }
        let account = ProviderAccount(
            platform: platform,
            type: type == .setupToken && platform != .anthropic ? .oauth : type,
            fields: ["base_url": "http://127.0.0.1:9", "region": "us-east-1"]
        )
        return try #require(ProviderRegistry.provider(for: account)).verdicts
    }

    private func verdict(_ dialect: Dialect, _ word: String, _ type: AccountType) throws -> UpstreamVerdict {
        let desk = Desk()
        let model = "claude-opus-sim-\(word)"
        let plan = desk.ask(dialect, Question(model: model, isStream: true))
        let head = try #require(plan.head)
        let answer = UpstreamAnswer(status: head.status, headers: head.headers, body: plan.body, desk.parser)
        let context = VerdictContext(now: Timestamp(microseconds: desk.now), accountType: type, model: model)
        return try table(of: dialect, type).verdict(.refused(answer), context)
    }

    @Test("each fault has the verdict it is there for", arguments: Dialect.allCases)
    func faults(dialect: Dialect) throws {
        let type: AccountType = dialect == .bedrock ? .bedrock : .apikey
        for fault in Self.common(type) + Self.own(dialect) {
            let verdict = try verdict(dialect, fault.word, fault.type)
            #expect(verdict.reason == fault.reason, "\(fault.word), \(fault.type)")
        }
    }

    @Test("a reset that makes no sense is warned of, and leaves the short pause of one that is not there")
    func absurdResets() throws {
        for dialect in Dialect.allCases {
            for word in ["429neg", "429huge", "429junk"] {
                // A key of Antigravity has Anthropic's answers here.
                let type: AccountType = dialect == .bedrock ? .bedrock : .apikey
                let verdict = try verdict(dialect, word, type)
                #expect(!verdict.ignored.isEmpty)
                let end = Timestamp(microseconds: Desk().now) + CooldownSettings.defaultRateLimit
                #expect(verdict.effects == [.rateLimited(until: end, isGuessed: true)])
            }
        }
    }
}
