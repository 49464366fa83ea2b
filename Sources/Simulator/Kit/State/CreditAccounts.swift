/// The AI credits that Antigravity's accounts have, by credential.
package struct CreditAccounts: Sendable {
    /// What an account has of which nothing was said.
    static let defaultAmount = 1_000
    /// What a call costs that is paid with credits.
    static let price = 10
    static let defaultTier = "g1-pro-tier"

    private var amounts: [String: Int] = [:]
    private var tiers: [String: String] = [:]

    package init() {}

    func amount(of credential: String) -> Int { amounts[credential] ?? Self.defaultAmount }

    func tier(of credential: String) -> String { tiers[credential] ?? Self.defaultTier }

    mutating func set(_ credential: String, amount: Int?, tier: String?) {
        if let amount { amounts[credential] = amount }
        if let tier { tiers[credential] = tier }
    }

    /// Takes the price of a call; false when there is not enough.
    mutating func pay(_ credential: String) -> Bool {
        let left = amount(of: credential)
        guard left >= Self.price else { return false }
        amounts[credential] = left - Self.price
        return true
    }
}
