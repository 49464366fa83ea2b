package import Domain

/// What an upstream said when it was asked how much of an account is used.
package enum UsageOutcome: Hashable, Sendable {
    case answered(AccountUsage, at: Timestamp)
    case failed(UsageFailure, at: Timestamp)

    package var at: Timestamp {
        switch self {
        case .answered(_, let at), .failed(_, let at): at
        }
    }
}

/// What probes have brought of late. Pure: the clock is an argument.
package struct UsageCache {
    /// A probe is of an account with these very credentials: with others it must be asked anew.
    package struct Key: Hashable, Sendable {
        package var account: AccountID
        package var credentials: Int64

        package init(_ account: AccountID, credentials: Int64) {
            self.account = account
            self.credentials = credentials
        }
    }

    private static let capacity = 10_000
    private var outcomes: [Key: UsageOutcome] = [:]

    package init() {}

    /// How long an outcome answers for the upstream: what will not change soon longer than what may pass.
    package static func lifetime(of outcome: UsageOutcome) -> Duration {
        switch outcome {
        case .answered: .seconds(180)
        case .failed(let failure, _): failure.code == .forbidden ? .seconds(180) : .seconds(60)
        }
    }

    package func outcome(_ key: Key, now: Timestamp) -> UsageOutcome? {
        guard let known = outcomes[key], now < known.at + Self.lifetime(of: known) else { return nil }
        // A clock that was set back must not keep it for ever.
        return known.at > now + .seconds(1) ? nil : known
    }

    package mutating func keep(_ outcome: UsageOutcome, of key: Key, now: Timestamp) {
        if outcomes.count >= Self.capacity {
            outcomes = outcomes.filter { now < $0.value.at + Self.lifetime(of: $0.value) }
            if outcomes.count >= Self.capacity { outcomes = [:] }
        }
        outcomes[key] = outcome
    }

    package mutating func forget(_ account: AccountID) { outcomes = outcomes.filter { $0.key.account != account } }
}
