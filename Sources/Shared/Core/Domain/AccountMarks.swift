/// All that stands of an account beside its configuration: its flags, what was counted of its refusals, and how it comes
/// back. A hash in Redis; an account without any of it has none.
package struct AccountMarks: Hashable, Sendable {
    package var flags: [AccountFlag] = []
    /// The last 401 that counted, with no success since.
    package var unauthorized: CountedUnauthorized?
    /// When the counted 403s stop counting.
    package var forbidden: [Timestamp] = []

    package init() {}

    /// - Parameter fields: names and values in turn, as Redis answers; what is not understood is passed over.
    package init(fields: [(name: String, value: String)]) {
        for (name, value) in fields {
            switch name {
            case Self.unauthorizedField:
                let numbers = Self.numbers(value)
                guard numbers.count >= 2 else { continue }
                unauthorized = CountedUnauthorized(
                    version: numbers[0],
                    pausedUntil: Timestamp(microseconds: numbers[1])
                )
            case Self.forbiddenField:
                forbidden = Self.numbers(value).dropFirst().map { Timestamp(microseconds: $0) }
            default:
                if let flag = AccountFlag(field: name, value: value) { flags.append(flag) }
            }
        }
    }

    package static let unauthorizedField = "unauthorized"
    package static let forbiddenField = "forbidden"

    private static func numbers(_ value: String) -> [Int64] {
        value.split(separator: " ").compactMap { Int64($0) }
    }

    package func live(_ now: Timestamp) -> [AccountFlag] { flags.filter { $0.isLive(now) } }

    /// The 403s that still count, and the end of the pause that the last one brought.
    package func countedForbidden(_ now: Timestamp) -> CountedForbidden {
        let pause = flags.first { $0.kind == .paused && $0.cause == PauseCause.forbidden.rawValue }?.until
        return CountedForbidden(
            count: forbidden.count { $0 > now },
            pausedUntil: pause.flatMap { $0 > now ? $0 : nil }
        )
    }

    /// The fields that a success disproves.
    package func fields(disprovedBy clears: ClearedFlags, now: Timestamp) -> [String] {
        var fields: [String] = []
        for flag in flags where flag.isLive(now) {
            let isDisproved =
                switch flag.kind {
                case .error: false
                case .rateLimited: clears.rateLimited
                case .overloaded: clears.overloaded
                case .paused: PauseCause(rawValue: flag.cause).map { clears.pauses.contains($0) } ?? false
                case .modelLimited(let model): clears.models.contains(model)
                }
            if isDisproved { fields.append(flag.kind.field) }
        }
        if clears.unauthorized, unauthorized != nil { fields.append(Self.unauthorizedField) }
        return fields
    }
}
