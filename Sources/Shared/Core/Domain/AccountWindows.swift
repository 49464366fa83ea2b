/// How much of a subscription's window is used, as an answer's head said.
package struct UsageWindow: Hashable, Sendable {
    /// Of the whole, in hundredths of a percent; it can be more than all.
    package var used: Int?
    package var endsAt: Timestamp?
    /// Whether calls are refused because of it.
    package var isExhausted: Bool

    package init(used: Int? = nil, endsAt: Timestamp? = nil, isExhausted: Bool = false) {
        self.used = used
        self.endsAt = endsAt
        self.isExhausted = isExhausted
    }

    package static let whole = 10_000
}

/// A sample of an account's windows.
package struct AccountWindows: Hashable, Sendable {
    package var fiveHours: UsageWindow?
    package var sevenDays: UsageWindow?
    /// Windows of seven days of single families of models, by the upstream's name: `opus`.
    package var families: [String: UsageWindow]

    package init(fiveHours: UsageWindow? = nil, sevenDays: UsageWindow? = nil, families: [String: UsageWindow] = [:]) {
        self.fiveHours = fiveHours
        self.sevenDays = sevenDays
        self.families = families
    }

    package var isEmpty: Bool { fiveHours == nil && sevenDays == nil && families.isEmpty }
}

/// The five hours in which an Anthropic subscription's calls are counted together.
package struct SessionWindow: Hashable, Sendable {
    package var start: Timestamp
    package var end: Timestamp
    /// Whether its end is only what is to be expected.
    package var isPredicted: Bool

    package static let length = Duration.seconds(5 * 3600)
    private static let hour: Int64 = 3_600_000_000

    package init(end: Timestamp, isPredicted: Bool) {
        self.end = end
        self.start = Timestamp(microseconds: end.microseconds &- 5 &* Self.hour)
        self.isPredicted = isPredicted
    }

    /// The window after an answer; what the head says is the truth. Only where it says nothing and no known window is
    /// still running is one predicted: five hours from the hour's beginning.
    package static func after(_ sample: AccountWindows?, known: SessionWindow?, now: Timestamp) -> SessionWindow {
        if let end = sample?.fiveHours?.endsAt { return SessionWindow(end: end, isPredicted: false) }
        if let known, known.end > now { return known }
        let hour = now.microseconds &- now.microseconds % Self.hour
        return SessionWindow(end: Timestamp(microseconds: hour) + length, isPredicted: true)
    }
}
