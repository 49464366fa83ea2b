import Domain
import Testing

@testable import Decisions

@Suite("How a call beyond a plan's limit is paid")
struct OveragesTests {
    private static let now = Timestamp(microseconds: 1_000_000_000)
    private static func at(_ seconds: Int) -> Timestamp { now + .seconds(seconds) }

    @Test(
        "by the plan while it lasts, then by credits where the owner allows it and there are any, else not at all",
        arguments: [
            ([], false, nil, .plan), ([], true, nil, .plan), ([-1], false, nil, .plan), ([0], true, nil, .plan),
            // Credits that are exhausted are no matter while the plan lasts.
            ([], true, 60, .plan), ([60], false, nil, .none(60)), ([60], true, nil, .credits),
            ([60], true, -1, .credits), ([60], true, 0, .credits), ([60], true, 30, .none(30)),
            ([60], true, 90, .none(60)), ([60, 300], false, nil, .none(300)), ([60, 300], true, nil, .credits),
            ([-5, 300], true, 400, .none(300)),
        ] as [([Int], Bool, Int?, Expected)]
    )
    func payment(limits: [Int], allows: Bool, credits: Int?, expected: Expected) {
        let payment = Overages.payment(
            limits: limits.map(Self.at),
            allowsOverages: allows,
            creditsLimit: credits.map(Self.at),
            now: Self.now
        )
        let wanted: Overages.Payment =
            switch expected {
            case .plan: .plan
            case .credits: .credits
            case .none(let seconds): .none(until: Self.at(seconds))
            }
        #expect(payment == wanted)
    }

    enum Expected: Sendable {
        case plan, credits
        case none(Int)
    }

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
