import Domain
import Testing

@Suite("Effects on accounts as Redis hashes")
struct AccountEffectTests {
    private static let end = Timestamp(microseconds: 1_800_000_000_000_001)
    static let effects: [AccountEffect] =
        [
            .error(AccountError("402: no\nmoney")),
            .error(AccountError("", .validation, validationURL: "https://a.test/?b=1")),
            .rateLimited(until: end, isGuessed: true), .rateLimited(until: end, isGuessed: false),
            .overloaded(until: end),
            .modelLimited("a b:c", until: end), .modelLimited(AccountEffect.credits, until: end),
            .invalidateToken(version: .max), .countUnauthorized(version: 3, pausedUntil: end),
            .countForbidden(until: end),
        ] + PauseCause.allCases.map { .paused(until: end, $0, reason: "why é") }

    @Test("an effect survives the way through its fields", arguments: effects)
    func roundTrip(effect: AccountEffect) {
        let fields = Dictionary(uniqueKeysWithValues: effect.fields.map { ($0.name, $0.value) })
        #expect(AccountEffect(fields: fields) == effect)
        #expect(AccountEffect(fields: fields.merging(["later": "1"]) { first, _ in first }) == effect)
    }

    @Test("what lacks a field, or has one of another kind, is none", arguments: effects)
    func incomplete(effect: AccountEffect) {
        for (name, value) in effect.fields
        where ["kind", "until", "version", "model", "cause", "message"].contains(name) {
            var fields = Dictionary(uniqueKeysWithValues: effect.fields.map { ($0.name, $0.value) })
            fields[name] = nil
            #expect(AccountEffect(fields: fields) == nil)
            guard Int64(value) != nil || name == "kind" || name == "cause" else { continue }
            fields[name] = "x" + value
            #expect(AccountEffect(fields: fields) == nil)
        }
    }

    @Test("words for metrics and stores are lower case with underscores, and each stands once")
    func words() {
        let words = VerdictReason.allCases.map(\.rawValue)
        #expect(Set(words).count == words.count)
        for word in words + PauseCause.allCases.map(\.rawValue) + ForbiddenType.allCases.map(\.rawValue) {
            #expect(word.allSatisfy { $0.isLowercase || $0 == "_" })
        }
    }
}
