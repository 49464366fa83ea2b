package import Domain
package import Formats

/// How much of an account is used, as the admin API tells it. Pure.
///
/// Whatever the upstream says, there is an answer: what it did not say now is what was known last.
package struct UsageInfo {
    private let account: AccountRecord
    private let stored: StoredUsage
    private let outcome: UsageOutcome?
    private let now: Timestamp

    /// - Parameter outcome: nil where the upstream cannot be asked; then what answers' heads have said is all there is.
    package init(_ account: AccountRecord, _ stored: StoredUsage?, _ outcome: UsageOutcome?, now: Timestamp) {
        self.account = account
        self.stored = stored ?? StoredUsage()
        self.outcome = outcome
        self.now = now
    }

    package var json: JSON {
        let figures = figures
        var json: JSON = [:]
        json["updated_at"] = .time(updatedAt)
        json["five_hour"] = figures.windows.fiveHours.map { window($0) } ?? .null
        json["seven_day"] = figures.windows.sevenDays.map { window($0) } ?? .null
        for (family, figure) in figures.windows.families.sorted(by: { $0.key < $1.key }) {
            json["seven_day_" + family] = window(figure)
        }
        if !figures.models.isEmpty {
            json["models"] = .object(
                figures.models.sorted { $0.key < $1.key }.map { (key: $0.key, value: window($0.value)) }
            )
        }
        if let tier = figures.tier {
            json["subscription_tier"] = .string(SubscriptionTier(upstreamName: tier).rawValue)
            json["subscription_tier_raw"] = .string(tier)
        }
        if !figures.credits.isEmpty { json["ai_credits"] = .array(figures.credits.map { Self.credit($0) }) }
        for (name, value) in trouble { json[name] = value }
        return json
    }

    // MARK: Figures

    private var figures: AccountUsage {
        guard case .answered(var usage, let at)? = outcome else {
            var last = stored.figures
            last.windows = stored.windows
            return last
        }
        if let sampledAt = stored.sampledAt, sampledAt >= at { usage.windows = stored.windows }
        // What only a further question would have told.
        if usage.tier == nil, usage.credits.isEmpty {
            usage.tier = stored.figures.tier
            usage.credits = stored.figures.credits
        }
        return usage
    }

    private var updatedAt: Timestamp? {
        let answered: Timestamp? = if case .answered(_, let at)? = outcome { at } else { stored.probedAt }
        return [answered, stored.sampledAt].compactMap { $0 }.max()
    }

    /// Of a window that is over nothing is used any more.
    private func window(_ window: UsageWindow) -> JSON {
        if let end = window.endsAt, end <= now { return ["utilization": 0.0, "resets_at": .null] }
        return [
            "utilization": window.used.map { .double(Double($0) / 100) } ?? .null, "resets_at": .time(window.endsAt),
        ]
    }

    private static func credit(_ credit: CreditBalance) -> JSON {
        var json: JSON = ["credit_type": .string(credit.type)]
        if let amount = credit.amount { json["amount"] = .int(amount) }
        if let minimum = credit.minimum { json["minimum_balance"] = .int(minimum) }
        return json
    }

    // MARK: What is wrong

    /// What the upstream has just said of it, else what is known of the account's error; the rest is left out.
    private var trouble: [(String, JSON)] {
        let failure: UsageFailure? = if case .failed(let failure, _)? = outcome { failure } else { nil }
        let known = account.fields.status == .error ? StoredTrouble(account) : StoredTrouble()
        let isForbidden = failure?.code == .forbidden || known.isForbidden
        let type = isForbidden ? failure?.forbiddenType ?? known.forbiddenType : nil
        var fields: [(String, JSON)] = []
        func add(_ name: String, _ text: String?) { if let text { fields.append((name, .string(text))) } }
        func add(_ name: String, _ flag: Bool) { if flag { fields.append((name, true)) } }
        add("is_forbidden", isForbidden)
        add("forbidden_type", isForbidden ? (type ?? .forbidden).rawValue : nil)
        add("validation_url", failure?.validationURL ?? known.url)
        add("needs_verify", type == .validation)
        add("is_banned", type == .violation)
        add("needs_reauth", failure?.code == .unauthenticated || known.isUnauthenticated)
        add("error_code", failure?.code.rawValue)
        add("error", failure?.message ?? known.message)
        return fields
    }
}

/// What is known of an account's error.
struct StoredTrouble {
    var message: String?
    var forbiddenType: ForbiddenType?
    var url: String?

    init() {}

    init(_ account: AccountRecord) {
        message = account.errorMessage
        forbiddenType = account.forbiddenType.flatMap { ForbiddenType(rawValue: $0) }
        url = account.validationURL
    }

    /// Texts kept on accounts begin with the status.
    private func began(_ status: String) -> Bool { message?.hasPrefix(status) ?? false }

    var isForbidden: Bool { forbiddenType != nil || began("403") }
    var isUnauthenticated: Bool { began("401") }
}
