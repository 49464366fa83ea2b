import Domain
import Testing

@testable import Decisions

@Suite("How an account stands with its AI credits")
struct CreditsStateTests {
    private static let now = Timestamp(microseconds: 1_000_000_000)
    private static func at(_ seconds: Int) -> Timestamp { now + .seconds(seconds) }

    @Test("the state of credits is shown only where they play a part")
    func state() {
        func state(_ allows: Bool, _ kinds: AccountFlag.Kind..., isGuessed: Bool = false, cause: String = "")
            -> CreditsState?
        {
            CreditsState(
                allowsOverages: allows,
                flags: kinds.map {
                    AccountFlag($0, until: Self.at(60), setAt: Self.now, isGuessed: isGuessed, cause: cause)
                }
            )
        }
        let credits = AccountFlag.Kind.modelLimited(AccountEffect.credits)
        #expect(state(true) == nil)
        #expect(state(false, .modelLimited("gemini-3")) == nil && state(false, credits) == nil)
        #expect(state(true, .modelLimited("gemini-3")) == .active)
        #expect(state(true, .rateLimited) == .active)
        #expect(state(true, .rateLimited, isGuessed: true) == nil)
        #expect(state(true, .paused, .overloaded) == nil)
        #expect(state(true, .modelLimited("m"), cause: VerdictReason.modelNotFound.rawValue) == nil)
        #expect(state(true, .modelLimited("gemini-3"), credits) == .exhausted)
    }
}
