import Domain
import Snapshots
import Testing

@testable import ControlKit

@Suite("What news do to an account")
struct AccountStandingTests {
    private static let account = AccountID(1)

    private func time(_ seconds: Int64) -> Timestamp { Timestamp(microseconds: seconds * 1_000_000) }

    private func event(_ seconds: Int64, _ effect: AccountEffect) -> AccountEvent {
        AccountEvent(Self.account, at: time(seconds), .effect(effect))
    }

    private func standing(_ events: AccountEvent..., from start: AccountStanding = .init()) -> AccountStanding {
        var standing = start
        for event in events { standing.apply(event) }
        return standing
    }

    @Test("older news never replace newer ones, in whatever order they come, and twice is once")
    func order() {
        let first = event(10, .overloaded(until: time(100)))
        let second = event(20, .overloaded(until: time(90)))
        let inOrder = standing(first, second)
        #expect(inOrder.flags["overloaded"]?.until == time(90))
        #expect(standing(second, first) == inOrder)
        #expect(standing(first, second, first, second) == inOrder)
        let cleared = AccountEvent(Self.account, at: time(15), .cleared(field: "overloaded"))
        #expect(standing(first, cleared).flags.isEmpty)
        #expect(standing(second, cleared).flags["overloaded"]?.until == time(90))
        #expect(standing(cleared, first).flags.isEmpty)
    }

    @Test("flags stand side by side, each with its own time")
    func sideBySide() {
        let both = standing(
            event(10, .rateLimited(until: time(60), isGuessed: true)),
            event(5, .modelLimited("m", until: time(70))),
            event(6, .paused(until: time(80), .rule, reason: "why"))
        )
        #expect(both.flags.keys.sorted() == ["model:m", "rate_limited", "temp_unschedulable"])
        #expect(both.flags["temp_unschedulable"]?.reason == "why" && both.status == .active)
    }

    @Test("an error says what kind of refusal it was; an account that an admin switched off stays off")
    func errors() {
        let error = AccountError("403: verify", .validation, validationURL: "https://x")
        let broken = standing(event(10, .error(error)))
        #expect(broken.status == .error && broken.errorMessage == "403: verify")
        #expect(broken.forbiddenType == "validation" && broken.validationURL == "https://x")
        let off = standing(event(10, .error(error)), from: AccountStanding(status: .inactive))
        #expect(off.status == .inactive && off.errorMessage == "403: verify")
    }

    @Test("nothing that happened before a recovery counts after it")
    func recovery() {
        var recovered = standing(event(10, .error(AccountError("402"))), event(11, .overloaded(until: time(99))))
        recovered.recover(now: time(20))
        #expect(recovered.status == .active && recovered.errorMessage == nil && recovered.flags.isEmpty)
        let late = standing(
            event(19, .error(AccountError("402"))),
            event(20, .overloaded(until: time(99))),
            from: recovered
        )
        #expect(late == recovered)
        #expect(standing(event(21, .error(AccountError("402"))), from: recovered).status == .error)
    }

    @Test("of many limited models those that last longest are kept")
    func manyModels() {
        var standing = AccountStanding()
        for number in 0..<300 {
            standing.apply(event(10 + Int64(number), .modelLimited("m\(number)", until: time(5000 + Int64(number)))))
        }
        #expect(standing.flags.count == 100 && standing.flags["model:m299"] != nil && standing.flags["model:m0"] == nil)
    }

    @Test("counts of refusals and tokens are Redis' business")
    func counts() {
        #expect(
            standing(
                event(10, .countUnauthorized(version: 3, pausedUntil: time(20))),
                event(10, .countForbidden(until: time(20))),
                event(10, .invalidateToken(version: 3))
            ) == AccountStanding()
        )
    }

    @Test("an event comes back from a stream's entry as it was written", arguments: 0..<4)
    func coding(number: Int) throws {
        let changes: [AccountEvent.Change] = [
            .effect(.error(AccountError("a b", .violation, validationURL: "https://x/?a=b"))),
            .effect(.paused(until: time(5), .emptyStream, reason: "nothing came")),
            .cleared(field: "model:a b"), .effect(.modelLimited("a b", until: time(7))),
        ]
        let event = AccountEvent(Self.account, at: time(3), changes[number], requestID: "r", verdict: "v")
        let fields = Dictionary(event.fields.map { ($0.name, $0.value) }) { $1 }
        #expect(AccountEvent(fields: fields) == event)
        #expect(AccountEvent(fields: fields.merging(["kind": "of a later version"]) { $1 }) == nil)
        #expect(AccountEvent(fields: [:]) == nil)
    }
}
