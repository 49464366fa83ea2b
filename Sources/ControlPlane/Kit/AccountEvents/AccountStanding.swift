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

    /// Events of an account come in the order of the stream, which may be another one than they happened in by moments.
    private static let memory = Duration.seconds(3600)
    /// Callers name models as they like.
    private static let maximumFlags = 100

    package mutating func apply(_ event: AccountEvent) {
        let field: String
        var flag: AccountFlag?
        switch event.change {
        case .cleared(let name): field = name
        case .effect(let effect):
            guard var made = AccountFlag(effect, setAt: event.at) else { return }
            if let verdict = VerdictReason(rawValue: event.verdict) { made = made.because(verdict) }
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
        flags = flags.filter { $0.value.isLive(now) }
        if flags.count > Self.maximumFlags {
            let first = flags.values.filter { $0.kind.word == "model_limited" }.min { one, other in
                (one.until ?? now) < (other.until ?? now)
            }
            if let first { flags[first.kind.field] = nil }
        }
        times = times.filter { Timestamp(microseconds: $0.value) + Self.memory > now }
    }
}
