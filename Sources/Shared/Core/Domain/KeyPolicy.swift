/// How long the windows of a limit are.
package enum WindowPeriod: Hashable, Sendable {
    /// At most 525,600.
    case minutes(Int64)
    /// A month by the calendar, from a day of one to the same day of the next, or its last.
    case month

    package static let fiveHours = WindowPeriod.minutes(300)
    package static let day = WindowPeriod.minutes(1440)
    package static let week = WindowPeriod.minutes(10_080)
}

/// The periodic limit of an API key: so much in each window.
package struct KeyPolicy: Hashable, Sendable {
    package enum Boundary: String, Sendable, CaseIterable {
        /// A call whose reservation does not fit is refused.
        case strict
        /// A call that begins below the limit may finish over it.
        case graceful
    }

    package enum Action: String, Sendable, CaseIterable {
        case reject
        /// The key is disabled for the time being.
        case disableKey = "disable_key"
    }

    package var period: WindowPeriod
    /// A window begins here, others whole periods before and after. Whole milliseconds.
    package var anchor: Timestamp
    package var quota: NanoUSD
    package var boundary: Boundary
    package var action: Action
    /// Whether the next window ends exhaustion; else a manual reset does.
    package var resumesByItself: Bool
    /// Another period or anchor is another version, whose windows begin at 0.
    package var version: Int64
    /// Counts manual resets: each begins the window anew.
    package var resetEpoch: Int64

    package init(
        period: WindowPeriod,
        anchor: Timestamp,
        quota: NanoUSD,
        boundary: Boundary = .strict,
        action: Action = .reject,
        resumesByItself: Bool = true,
        version: Int64 = 1,
        resetEpoch: Int64 = 0
    ) {
        self.period = period
        self.anchor = anchor
        self.quota = quota
        self.boundary = boundary
        self.action = action
        self.resumesByItself = resumesByItself
        self.version = version
        self.resetEpoch = resetEpoch
    }
}

package struct SubscriptionID: Identifier {
    package let raw: Int64
    package init(_ raw: Int64) { self.raw = raw }
}

/// What one call is counted against besides its key's and user's sums, as it was when the call was admitted: whatever is
/// edited meanwhile, settlement goes there.
package struct FrozenLimits: Hashable, Sendable {
    /// The window of a key's policy.
    package struct Policy: Hashable, Sendable {
        package var version: Int64
        package var resetEpoch: Int64
        /// When it began, in milliseconds since 1970.
        package var window: Int64

        package init(version: Int64, resetEpoch: Int64, window: Int64) {
            self.version = version
            self.resetEpoch = resetEpoch
            self.window = window
        }
    }

    /// The windows of a subscription, by their beginnings in milliseconds since 1970.
    package struct Subscription: Hashable, Sendable {
        package var id: SubscriptionID
        package var day: Int64
        package var week: Int64
        package var month: Int64

        package init(id: SubscriptionID, day: Int64, week: Int64, month: Int64) {
            self.id = id
            self.day = day
            self.week = week
            self.month = month
        }
    }

    /// Whether the key had a total quota.
    package var hasQuota = false
    package var policy: Policy?
    /// Nil for calls that the wallet pays.
    package var subscription: Subscription?

    package init(hasQuota: Bool = false, policy: Policy? = nil, subscription: Subscription? = nil) {
        self.hasQuota = hasQuota
        self.policy = policy
        self.subscription = subscription
    }
}
