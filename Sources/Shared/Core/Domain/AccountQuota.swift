/// What may be spent through an account: USD before the group's multiplier. Nil is no limit.
package struct AccountQuota: Hashable, Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        case daily, weekly, total

        /// How long a period of it lasts, in milliseconds; nil for ever.
        package var length: Int64? {
            switch self {
            case .daily: 86_400_000
            case .weekly: 7 * 86_400_000
            case .total: nil
            }
        }
    }

    package var daily: NanoUSD?
    package var weekly: NanoUSD?
    package var total: NanoUSD?

    package init(daily: NanoUSD? = nil, weekly: NanoUSD? = nil, total: NanoUSD? = nil) {
        self.daily = daily
        self.weekly = weekly
        self.total = total
    }

    package var isLimited: Bool { daily != nil || weekly != nil || total != nil }
}
