import Domain
import Formats
import Testing

@testable import Snapshots

@Suite("What is known of an account's usage, as text")
struct WindowsSampleTests {
    private static let at = Timestamp(microseconds: 1_763_000_000_123_456)
    private static let windows = AccountWindows(
        fiveHours: UsageWindow(used: 4250, endsAt: at + .seconds(60), isExhausted: false),
        sevenDays: UsageWindow(used: nil, endsAt: at + .seconds(90_000), isExhausted: true),
        families: ["opus": UsageWindow(used: 10_000, isExhausted: true), "sön\"net": UsageWindow()]
    )

    @Test("a sample is the same after its way through Redis")
    func sample() {
        for countsForSession in [false, true] {
            let sample = WindowsSample(
                account: AccountID(12),
                at: Self.at,
                windows: Self.windows,
                countsForSession: countsForSession
            )
            let fields = Dictionary(uniqueKeysWithValues: sample.fields.map { ($0.name, $0.value) })
            #expect(fields["kind"] == "windows" && fields["account"] == "12")
            #expect(WindowsSample(fields: fields) == sample)
        }
    }

    @Test(
        "what is no sample is none",
        arguments: [
            ("kind", "error"), ("account", "x"), ("account", "-3"), ("at", ""), ("at", "-1"),
            ("at", "999999999999999999"), ("windows", "[]"), ("windows", "{"), ("windows", ""),
        ]
    )
    func foreign(name: String, value: String) {
        let sample = WindowsSample(account: AccountID(1), at: Self.at, windows: Self.windows, countsForSession: false)
        var fields = Dictionary(uniqueKeysWithValues: sample.fields.map { ($0.name, $0.value) })
        fields[name] = value
        #expect(WindowsSample(fields: fields) == nil)
    }

    @Test("figures that make no sense are left out")
    func absurd() {
        let windows = AccountWindows([
            "five_hours": ["used": -1, "ends_at": -5, "exhausted": "x"], "seven_days": [1],
            "families": ["a": ["used": 99_999_999_999], "b": 3],
        ])
        #expect(
            windows == AccountWindows(fiveHours: UsageWindow(), sevenDays: nil, families: ["a": UsageWindow()])
        )
    }

    @Test("figures are the same after their way through Postgres")
    func figures() {
        let usage = AccountUsage(
            windows: Self.windows,
            models: ["gemini-3-pro": UsageWindow(used: 4200, endsAt: Self.at)],
            tier: "g1-pro-tier",
            credits: [
                CreditBalance(type: "GOOGLE_ONE_AI", amount: 1000, minimum: 10), CreditBalance(type: "x", amount: nil),
            ]
        )
        #expect(AccountUsage(usage.json) == usage)
        #expect(AccountUsage(AccountUsage().json).isEmpty)
        #expect(AccountUsage([1, 2]).isEmpty)
    }
}

@Suite("Windows from several samples")
struct WindowMergeTests {
    private static let now = Timestamp(microseconds: 1_763_000_000_000_000)
    private static func after(_ seconds: Int) -> Timestamp { now + .seconds(seconds) }

    @Test("what a later sample does not speak of stays, what it says anew counts")
    func merges() {
        let old = AccountWindows(
            fiveHours: UsageWindow(used: 4000, endsAt: Self.after(60)),
            sevenDays: UsageWindow(used: 100, endsAt: Self.after(9000)),
            families: ["opus": UsageWindow(used: 1)]
        )
        let later = AccountWindows(
            fiveHours: UsageWindow(used: 4100, endsAt: Self.after(60)),
            families: ["sonnet": UsageWindow(used: 2)]
        )
        let both = old.updated(with: later, now: Self.now)
        #expect(both.fiveHours?.used == 4100)
        #expect(both.sevenDays == old.sevenDays)
        #expect(both.families == ["opus": UsageWindow(used: 1), "sonnet": UsageWindow(used: 2)])
        #expect(old.updated(with: AccountWindows(), now: Self.now) == old)
    }

    @Test("an end that is still to come holds when a sample has none; one that is over does not")
    func ends() {
        let silent = AccountWindows(fiveHours: UsageWindow(used: 5000))
        let running = AccountWindows(fiveHours: UsageWindow(used: 4000, endsAt: Self.after(60)))
        #expect(
            running.updated(with: silent, now: Self.now).fiveHours == UsageWindow(used: 5000, endsAt: Self.after(60))
        )
        let over = AccountWindows(fiveHours: UsageWindow(used: 4000, endsAt: Self.after(-60)))
        #expect(over.updated(with: silent, now: Self.now).fiveHours == UsageWindow(used: 5000))
    }

    @Test("a figure does not outlive its window")
    func figures() {
        let old = AccountWindows(fiveHours: UsageWindow(used: 9900, endsAt: Self.after(60)))
        let next = AccountWindows(fiveHours: UsageWindow(endsAt: Self.after(18_000)))
        #expect(old.updated(with: next, now: Self.now).fiveHours == UsageWindow(endsAt: Self.after(18_000)))
        let same = AccountWindows(fiveHours: UsageWindow(endsAt: Self.after(60)))
        #expect(old.updated(with: same, now: Self.now).fiveHours?.used == 9900)
    }
}
