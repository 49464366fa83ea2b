import Domain
import Testing

@Suite("Marks of an account")
struct AccountMarksTests {
    private func time(_ seconds: Int64) -> Timestamp { Timestamp(microseconds: seconds * 1_000_000) }

    @Test("a flag's text says all of it, whatever its reason and address hold", arguments: 0..<5)
    func flags(number: Int) {
        let flags = [
            AccountFlag(.rateLimited, until: time(9), setAt: time(3), isGuessed: true),
            AccountFlag(.paused, until: time(9), setAt: time(3), cause: "rule", reason: "two  spaces - and 中 \n lines"),
            AccountFlag(.error, until: nil, setAt: time(3), cause: "validation", url: "https://x/?a=b", reason: "403"),
            AccountFlag(.modelLimited("a model: b"), until: time(9), setAt: time(3)),
            AccountFlag(.overloaded, until: time(9), setAt: time(3), isGuessed: true, reason: " "),
        ]
        let flag = flags[number]
        #expect(AccountFlag(field: flag.kind.field, value: flag.value) == flag)
    }

    @Test("what is no flag is none", arguments: ["", "1", "a b c d e f", "1 2 3", "99999999999999999999 1 0 - - "])
    func broken(value: String) {
        #expect(AccountFlag(field: "overloaded", value: value) == nil)
        #expect(AccountFlag(field: "other", value: "1 2 0 - - x") == nil)
        #expect(
            AccountMarks(fields: [("overloaded", value), ("unauthorized", value), ("forbidden", "")]).flags.isEmpty
        )
    }

    @Test("a success disproves what it says, and an account's own rule never")
    func disproved() {
        var marks = AccountMarks()
        marks.flags = [
            AccountFlag(.rateLimited, until: time(9), setAt: time(3)),
            AccountFlag(.overloaded, until: time(2), setAt: time(1)),
            AccountFlag(.paused, until: time(9), setAt: time(3), cause: PauseCause.rule.rawValue),
            AccountFlag(.modelLimited("m"), until: time(9), setAt: time(3)),
            AccountFlag(.modelLimited("n"), until: time(9), setAt: time(3)),
            AccountFlag(.error, until: nil, setAt: time(3)),
        ]
        marks.unauthorized = CountedUnauthorized(version: 1, pausedUntil: time(9))
        let all = ClearedFlags(
            rateLimited: true,
            overloaded: true,
            pauses: Set(PauseCause.allCases).subtracting([.rule]),
            models: ["m"],
            unauthorized: true
        )
        #expect(marks.fields(disprovedBy: all, now: time(5)) == ["rate_limited", "model:m", "unauthorized"])
        #expect(marks.fields(disprovedBy: ClearedFlags(), now: time(5)).isEmpty)
    }
}
