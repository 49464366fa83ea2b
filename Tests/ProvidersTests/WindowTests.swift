import Domain
import HTTPMessages
import Testing

@testable import Providers

@Suite("What heads say of an account's windows")
struct WindowTests {
    private func sample(_ fixture: String) -> AccountWindows {
        let (_, headers, _) = VerdictFixture.parts(fixture)
        return VerdictCase(fixture: fixture, type: .oauth).table.windows(headers, now: VerdictFixture.now).sample
    }

    @Test("of Anthropic's head the windows of five hours, seven days and single families are read")
    func anthropic() {
        #expect(
            sample("Anthropic/429-opus")
                == AccountWindows(
                    fiveHours: UsageWindow(used: 4000, endsAt: .after(8000)),
                    sevenDays: UsageWindow(used: 8000, endsAt: .after(300_000)),
                    families: ["opus": UsageWindow(used: 10_000, endsAt: .after(300_000), isExhausted: true)]
                )
        )
        #expect(sample("Anthropic/429-five-hours").fiveHours?.used == 10_400)
        #expect(sample("Anthropic/429-plain").isEmpty)
    }

    @Test("which of OpenAI's windows is which is told by its length, not its place")
    func openAI() {
        #expect(
            sample("OpenAI/429-codex")
                == AccountWindows(
                    fiveHours: UsageWindow(used: 10_000, endsAt: .after(13_872), isExhausted: true),
                    sevenDays: UsageWindow(used: 8000, endsAt: .after(316_705))
                )
        )
        // A window of no length is none.
        #expect(
            sample("OpenAI/429-codex-free")
                == AccountWindows(sevenDays: UsageWindow(used: 10_000, endsAt: .after(471_285), isExhausted: true))
        )
    }

    @Test("absurd figures are left out", arguments: ["-1", "NaN", "1e9", "", "999999999999999999999", "x"])
    func absurd(text: String) {
        let anthropic: HeaderFields = [
            "anthropic-ratelimit-unified-5h-utilization": text, "anthropic-ratelimit-unified-5h-reset": text,
        ]
        let (sample, _) = VerdictCase.table(of: "Anthropic").windows(anthropic, now: VerdictFixture.now)
        #expect(sample.fiveHours == UsageWindow())
        let codex: HeaderFields = ["x-codex-primary-used-percent": text]
        #expect(VerdictCase.table(of: "OpenAI").windows(codex, now: VerdictFixture.now).sample.isEmpty)
    }

    @Test("the head's end of the five hours is the truth; it is predicted only where none is known to run")
    func session() {
        let now = Timestamp(microseconds: VerdictFixture.now.microseconds + 1_234_567_890)
        let said = AccountWindows(fiveHours: UsageWindow(endsAt: .after(7000)))
        let known = SessionWindow(end: .after(9000), isPredicted: true)
        let read = SessionWindow.after(said, known: known, now: now)
        #expect(read == SessionWindow(end: .after(7000), isPredicted: false))
        #expect(read.start == .after(7000 - 18_000))
        for nothing in [nil, AccountWindows(), AccountWindows(fiveHours: UsageWindow(used: 5))] {
            #expect(SessionWindow.after(nothing, known: known, now: now) == known)
            let predicted = SessionWindow(end: .after(18_000), isPredicted: true)
            #expect(SessionWindow.after(nothing, known: nil, now: now) == predicted)
            let over = SessionWindow(end: now, isPredicted: false)
            #expect(SessionWindow.after(nothing, known: over, now: now) == predicted)
        }
        _ = SessionWindow.after(nil, known: nil, now: Timestamp(microseconds: .min))
        _ = SessionWindow.after(nil, known: nil, now: Timestamp(microseconds: .max))
    }

    @Test(
        "a tier is told from the upstream's name for it",
        arguments: [
            ("g1-ultra-tier", SubscriptionTier.ultra), ("Google AI PRO", .pro), ("free-tier", .free),
            ("ultra pro free", .ultra), ("standard-tier", .unknown), ("", .unknown), ("Pro-Free", .pro),
        ]
    )
    func tiers(name: String, tier: SubscriptionTier) {
        #expect(SubscriptionTier(upstreamName: name) == tier)
        #expect(tier.rawValue == tier.rawValue.uppercased())
    }
}
