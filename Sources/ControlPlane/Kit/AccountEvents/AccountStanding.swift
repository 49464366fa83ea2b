package import Domain
package import Snapshots

/// What of an account's row workers' news change. Pure.
///
/// Applying an event twice, or after a newer one, changes nothing: whatever was read before a crash may be read again.
package struct AccountStanding: Hashable, Sendable {
    package var status: AccountStatus
    package var errorMessage: String?
    package var forbiddenType: String?
    package var validationURL: String?
    /// By their fields.
    package var flags: [String: AccountFlag]
    /// By field, when the newest event of it happened: microseconds since 1970.
    package var times: [String: Int64]
    /// Older news change nothing.
    package var recoveredAt: Int64

    package init(
        status: AccountStatus = .active,
        errorMessage: String? = nil,
        forbiddenType: String? = nil,
        validationURL: String? = nil,
        flags: [String: AccountFlag] = [:],
        times: [String: Int64] = [:],
        recoveredAt: Int64 = 0
    ) {
        self.status = status
        self.errorMessage = errorMessage
        self.forbiddenType = forbiddenType
        self.validationURL = validationURL
        self.flags = flags
        self.times = times
        self.recoveredAt = recoveredAt
    }

    /// Flags that are over are forgotten after this, times of events with them.
    private static let memory = Duration.seconds(86_400)

    package mutating func apply(_ event: AccountEvent) {
        let field: String
        var flag: AccountFlag?
        switch event.change {
        case .cleared(let name): field = name
        case .effect(let effect):
            guard let made = AccountFlag(effect, setAt: event.at) else { return }
            field = made.kind.field
            flag = made
        }
        let at = event.at.microseconds
        guard at > recoveredAt, at > times[field] ?? 0 else { return }
        times[field] = at
        if let flag, flag.kind == .error {
            // Off by an admin's hand it stays, whatever its upstream says of it.
            if status != .inactive { status = .error }
            errorMessage = flag.reason
            forbiddenType = flag.cause.isEmpty ? nil : flag.cause
            validationURL = flag.url
        } else {
            flags[field] = flag
        }
        forget(before: event.at)
    }

    /// Ends an admin's or a test call's word: nothing that was said before counts any more.
    package mutating func clearFlags(now: Timestamp) {
        flags = [:]
        times = [:]
        recoveredAt = max(recoveredAt, now.microseconds)
    }

    package mutating func recover(now: Timestamp) {
        clearFlags(now: now)
        if status == .error { status = .active }
        errorMessage = nil
        forbiddenType = nil
        validationURL = nil
    }

    private mutating func forget(before now: Timestamp) {
        flags = flags.filter { $0.value.until.map { $0 + Self.memory > now } ?? true }
        times = times.filter { Timestamp(microseconds: $0.value) + Self.memory + .seconds(8 * 86_400) > now }
    }
}
