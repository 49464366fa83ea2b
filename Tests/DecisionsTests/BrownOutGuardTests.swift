import Decisions
import Domain
import Testing

@Suite("Which paused account is tried out")
struct BrownOutGuardTests {
    private let now = Timestamp(microseconds: 1_000_000_000)

    private func paused(
        _ kind: AccountFlag.Kind = .overloaded,
        for seconds: Int64,
        since: Int64 = 5,
        isGuessed: Bool = true,
        isTried: Bool = false
    ) -> BrownOutGuard.Paused {
        let flag = AccountFlag(
            kind,
            until: now + .seconds(seconds),
            setAt: now + .seconds(-since),
            isGuessed: isGuessed
        )
        return BrownOutGuard.Paused(flag, isTried: isTried)
    }

    @Test("the one whose pause ends first, from five seconds into it")
    func first() {
        #expect(BrownOutGuard.choice([paused(for: 60), paused(for: 50), paused(for: 70)], now: now) == 1)
        #expect(BrownOutGuard.choice([paused(for: 60), paused(for: 50, since: 4)], now: now) == nil)
        #expect(BrownOutGuard.choice([paused(for: 50, since: 5)], now: now) == 0)
    }

    @Test("an account whose pause is no guess is neither tried out nor keeps others from it")
    func stated() {
        #expect(BrownOutGuard.choice([paused(for: 60), paused(for: 90, isGuessed: false)], now: now) == 0)
        #expect(BrownOutGuard.choice([paused(for: 10, isGuessed: false), paused(for: 60)], now: now) == 1)
        let error = BrownOutGuard.Paused(AccountFlag(.error, until: nil, setAt: now + .seconds(-60)))
        #expect(BrownOutGuard.choice([error, paused(for: 60)], now: now) == 1)
    }

    @Test("none where no pause is a guess, or when the first was just tried in vain")
    func none() {
        #expect(BrownOutGuard.choice([paused(.rateLimited, for: 60, isGuessed: false)], now: now) == nil)
        #expect(BrownOutGuard.choice([paused(for: 60, isTried: true), paused(for: 90)], now: now) == nil)
        #expect(BrownOutGuard.choice([paused(for: 60), paused(for: 90, isTried: true)], now: now) == 0)
        #expect(BrownOutGuard.choice([], now: now) == nil)
        let error = BrownOutGuard.Paused(AccountFlag(.error, until: nil, setAt: now + .seconds(-60)))
        #expect(BrownOutGuard.choice([error], now: now) == nil)
    }
}
