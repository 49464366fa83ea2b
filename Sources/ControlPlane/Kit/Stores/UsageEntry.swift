package import Domain

/// An entry of the usage log: a call, or something that has become of a key's policy.
package struct UsageEntry: Hashable, Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        case call
        case policyExhausted = "policy_exhausted"
        case policyRecovered = "policy_recovered"
        case policyReset = "policy_reset"
    }

    /// What a call was billed at.
    package struct Price: Hashable, Sendable {
        /// The entry of the price list: a model's own, or a family's where the match is by prefix.
        package var model: String
        package var match: ModelPrice.Match
        /// As they applied to the call: with its tier, and beyond the bound of a long context.
        package var rates: ModelPrice
    }

    package var kind: Kind
    /// Of an event only id, time, user and key say anything.
    package var record: UsageRecord
    /// Nil for events, and for calls whose price is not known any more.
    package var price: Price?
    /// When the policy's window began that an event is about.
    package var windowStart: Timestamp?
    /// The admin who reset it.
    package var actor: UserID?

    package var isCall: Bool { kind == .call }
}
