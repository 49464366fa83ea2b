package import Domain

/// Which account to try out when all that a call could go to are paused by guesses. Pure.
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

    /// - Parameter paused: all of them; a flag that no success could disprove ends the guard's business.
    /// - Returns: the index of the one to try out now; nil for none.
    package static func choice(_ paused: [Paused], now: Timestamp) -> Int? {
        guard paused.allSatisfy({ $0.flag.isGuessed && $0.flag.until != nil }) else { return nil }
        let first = paused.indices.min { one, other in
            (paused[one].flag.until ?? now) < (paused[other].flag.until ?? now)
        }
        guard let first, !paused[first].isTried, now >= paused[first].flag.setAt + patience else { return nil }
        return first
    }
}
