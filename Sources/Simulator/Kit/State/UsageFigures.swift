/// How much of accounts is used, as the usage endpoints tell it, by credential.
package struct UsageFigures: Sendable {
    /// Of one account.
    package struct Figures: Sendable {
        /// Percent that is used of a window, by the endpoint's name for it (`five_hour`, `seven_day_opus`).
        var windows: [String: Double] = ["five_hour": 42, "seven_day": 17]
        /// The fraction that is left of a model; of those that are not named `remaining`.
        var models: [String: Double] = [:]
        var remaining = 0.58
    }

    private static let mostAccounts = 10_000
    private var accounts: [String: Figures] = [:]

    package init() {}

    func of(_ credential: String) -> Figures { accounts[credential] ?? Figures() }

    mutating func set(_ credential: String, windows: [String: Double], models: [String: Double], remaining: Double?) {
        if accounts.count >= Self.mostAccounts { accounts = [:] }
        var figures = of(credential)
        figures.windows.merge(windows) { $1 }
        figures.models.merge(models) { $1 }
        if let remaining { figures.remaining = remaining }
        accounts[credential] = figures
    }
}
