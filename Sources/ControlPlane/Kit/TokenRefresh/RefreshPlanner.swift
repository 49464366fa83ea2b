package import Domain

/// Which accounts' tokens are to be renewed ahead of their end. Pure.
package enum RefreshPlanner {
    package struct Candidate: Hashable, Sendable {
        package var account: AccountID
        /// Nil when the endpoint did not say.
        package var expiresAt: Timestamp?
        package var issuedAt: Timestamp?
        /// False without an access token, and while what a renewal finds out beside it was never asked for.
        package var isComplete: Bool
        /// Not before, after a failure or while another control plane is at it.
        package var retryAt: Timestamp?

        package init(
            _ account: AccountID,
            expiresAt: Timestamp? = nil,
            issuedAt: Timestamp? = nil,
            isComplete: Bool = true,
            retryAt: Timestamp? = nil
        ) {
            self.account = account
            self.expiresAt = expiresAt
            self.issuedAt = issuedAt
            self.isComplete = isComplete
            self.retryAt = retryAt
        }
    }

    private static let longestLead = Duration.seconds(3600)
    private static let shortestLead = Duration.seconds(60)
    /// For tokens of which only the end is known.
    private static let usualLead = Duration.seconds(600)

    /// How long before its end a token is renewed at the latest: a fifth of its life, a minute at least, an hour at
    /// most, and never more than half of its life.
    package static func lead(lifetime: Duration?) -> Duration {
        guard let lifetime, lifetime > .zero else { return usualLead }
        return min(max(min(lifetime / 5, longestLead), shortestLead), lifetime / 2)
    }

    /// When an account's token is to be renewed; nil for never: then a call finds out.
    ///
    /// Each account has a moment of its own within half a lead before the latest one, so that accounts that were signed
    /// in together are not renewed together.
    package static func due(_ candidate: Candidate) -> Timestamp? {
        guard candidate.isComplete else { return Timestamp(microseconds: 0) }
        guard let end = candidate.expiresAt else { return nil }
        let lead = lead(lifetime: candidate.issuedAt.map { end - $0 })
        let spread = lead * Double(scatter(candidate.account, end) % 1000) / 2000
        return end + (.zero - lead - spread)
    }

    /// Those that are due, the most urgent first.
    package static func due(_ candidates: [Candidate], now: Timestamp) -> [AccountID] {
        candidates
            .compactMap { candidate -> (AccountID, Timestamp)? in
                guard let due = due(candidate), due <= now, candidate.retryAt.map({ $0 <= now }) ?? true else {
                    return nil
                }
                return (candidate.account, candidate.expiresAt ?? due)
            }
            .sorted { ($0.1, $0.0) < ($1.1, $1.0) }
            .map(\.0)
    }

    /// How long to leave an account alone after so many failures in a row.
    package static func backoff(failures: Int64, retryAfter: Duration? = nil) -> Duration {
        let own = Duration.seconds(15 * (1 << min(max(failures - 1, 0), 6)))
        guard let retryAfter else { return own }
        return min(max(own, retryAfter), .seconds(3600))
    }

    /// The finaliser of MurmurHash3: the same for the same token, and as good as chance for different ones.
    private static func scatter(_ account: AccountID, _ end: Timestamp) -> UInt64 {
        var value = UInt64(bitPattern: account.raw &* 31 &+ end.microseconds)
        value = (value ^ (value >> 33)) &* 0xff51_afd7_ed55_8ccd
        value = (value ^ (value >> 33)) &* 0xc4ce_b9fe_1a85_ec53
        return value ^ (value >> 33)
    }
}
