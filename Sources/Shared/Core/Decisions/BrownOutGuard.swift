package import Domain

/// Which account to try out when all that a call could go to otherwise are paused by guesses. Pure.
///
/// A guessed pause can be far too long: a provider's bad minute would turn callers away for ten. So one call at a time is
/// let through, to the account whose pause ends first, from some seconds into it.
package enum BrownOutGuard {
    /// An account that could serve the call but for a flag.
    package struct Paused: Hashable, Sendable {
        package var flag: AccountFlag
        /// This call was refused there already.
        package var isTried: Bool

        package init(_ flag: AccountFlag, isTried: Bool = false) {
            self.flag = flag
            self.isTried = isTried
        }
    }

    package static let patience = Duration.seconds(5)

    /// Accounts with a flag that no success could disprove (a reset that was stated, a 401) are not usable otherwise: they
    /// are neither tried out nor waited for.
    ///
    /// - Parameter paused: all accounts with a flag.
    /// - Returns: the index of the one to try out now; nil for none.
    package static func choice(_ paused: [Paused], now: Timestamp) -> Int? {
        let guesses = paused.indices.filter { paused[$0].flag.isGuessed && paused[$0].flag.until != nil }
        let first = guesses.min { one, other in
            (paused[one].flag.until ?? now) < (paused[other].flag.until ?? now)
        }
        guard let first, !paused[first].isTried, now >= paused[first].flag.setAt + patience else { return nil }
        return first
    }
}
