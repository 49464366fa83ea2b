/// What kind of subscription an account has, told from the upstream's own name for it (`g1-ultra-tier`).
package enum SubscriptionTier: String, Sendable, CaseIterable {
    case ultra = "ULTRA"
    case pro = "PRO"
    case free = "FREE"
    case unknown = "UNKNOWN"

    package init(upstreamName: String) {
        let name = upstreamName.lowercased()
        let known: [(word: String, tier: Self)] = [("ultra", .ultra), ("pro", .pro), ("free", .free)]
        self = known.first { name.firstRange(of: $0.word) != nil }?.tier ?? .unknown
    }
}
