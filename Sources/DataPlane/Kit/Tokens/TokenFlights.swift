package import Domain
package import Reactor
import Synchronization

/// Which accounts' tokens are being asked for, by whichever loop of this worker, and which were refused.
package final class TokenFlights: Sendable {
    package typealias Landing = @Sendable (_ hasNewer: Bool) -> Void

    private struct State {
        /// Those who wait for an account's token.
        var waiting: [AccountID: [Landing]] = [:]
        var failedAt: [AccountID: MonotonicTime] = [:]
        var renewedAt: [AccountID: MonotonicTime] = [:]
        /// Up to which version an account's secrets were refused, and when.
        var refused: [AccountID: (version: Int64, at: MonotonicTime)] = [:]
    }

    /// After a question that came to nothing, the next one waits so long: it may be one for every call.
    private static let pause = Duration.seconds(1)
    /// A token that has just come is not renewed ahead of its end: some last for seconds only, and every call would ask.
    private static let rest = Duration.seconds(10)
    /// A refusal of which nothing came is worth trying again by then: the account is paused meanwhile.
    private static let refusalLife = Duration.seconds(60)

    private let state = Mutex(State())

    package init() {}

    package enum Boarding: Equatable, Sendable {
        /// Nobody is asking: ask, then `land`.
        case ask
        /// Somebody asks; the landing will be told.
        case wait
        /// Asked a moment ago, in vain or needlessly early.
        case notNow
    }

    /// - Parameters:
    ///   - isEarly: the token that is there still works.
    ///   - onLanding: is called from any thread, also for the one who asks.
    package func board(
        _ account: AccountID,
        isEarly: Bool = false,
        now: MonotonicTime,
        onLanding: @escaping Landing
    ) -> Boarding {
        state.withLock { state in
            if isEarly, let renewed = state.renewedAt[account], now < renewed + Self.rest { return .notNow }
            if state.waiting[account] != nil {
                state.waiting[account]?.append(onLanding)
                return .wait
            }
            if let failed = state.failedAt[account] {
                guard now >= failed + Self.pause else { return .notNow }
                state.failedAt[account] = nil
            }
            state.waiting[account] = [onLanding]
            return .ask
        }
    }

    package func land(_ account: AccountID, hasNewer: Bool, now: MonotonicTime) {
        let landings = state.withLock { state in
            state.failedAt[account] = hasNewer ? nil : now
            if hasNewer { state.renewedAt[account] = now }
            return state.waiting.removeValue(forKey: account) ?? []
        }
        for landing in landings { landing(hasNewer) }
    }

    /// The secrets of this version were refused.
    package func refuse(_ account: AccountID, version: Int64, now: MonotonicTime) {
        state.withLock { state in
            if let known = state.refused[account], known.version > version { return }
            state.refused[account] = (version, now)
        }
    }

    package func isRefused(_ account: AccountID, version: Int64, now: MonotonicTime) -> Bool {
        state.withLock { state in
            guard let refused = state.refused[account] else { return false }
            if refused.version < version || now >= refused.at + Self.refusalLife {
                state.refused[account] = nil
                return false
            }
            return true
        }
    }
}
