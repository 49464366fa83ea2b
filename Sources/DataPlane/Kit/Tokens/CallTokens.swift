import Domain
import HTTPServing
import Providers
import Redis
import Snapshots
import Telemetry

/// What becomes of a call whose token was refused.
extension Call {
    /// Whether the account has another token by now than the one that was refused, so that it is worth asking again.
    /// Then the refusal is counted, and the account is not paused: nothing is wrong with it.
    ///
    /// - Parameters:
    ///   - renewed: the accounts with which this has happened to the call before: once is enough.
    ///   - patience: how long the call waits for one; nil where it can go to another account, and does not wait at all.
    func hasNewToken(
        _ verdict: UpstreamVerdict?,
        _ attempt: Attempt,
        _ renewed: Set<AccountID>,
        within patience: () -> Duration?
    ) async -> Bool {
        guard let verdict else { return false }
        let account = attempt.account
        let invalidated = verdict.effects.contains { if case .invalidateToken = $0 { true } else { false } }
        guard account.snapshot.type == .oauth, invalidated || verdict.reason == .credentialStale,
            !renewed.contains(account.id), !exchange.isCallerGone
        else { return false }
        context.tokens.refuse(account.id, version: attempt.credentialVersion)
        let isNewer: Bool
        if let time = patience() {
            isNewer = await context.tokens.renewed(
                account.id,
                newerThan: attempt.credentialVersion,
                for: exchange,
                within: time
            )
        } else {
            isNewer = context.tokens.isNewer(account.id, attempt.credentialVersion)
        }
        guard isNewer, !exchange.isCallerGone else { return false }
        // A 401 to the new token as well, with no success between, is the account's.
        var counted = verdict
        counted.effects = verdict.effects.filter { if case .countUnauthorized = $0 { true } else { false } }
        carryOut(counted, attempt)
        await noteMarks(of: account)
        return true
    }

    /// What it means that the new token is refused as well which the call has waited for: the pause that the first refusal
    /// would have been, had there been another account. No more: between the two lie moments, and a provider that takes
    /// no tokens for a while refuses both. The next 401 after the pause is the account's.
    func pausing(_ verdict: UpstreamVerdict, _ attempt: Attempt) -> UpstreamVerdict {
        guard verdict.reason == .credentialRejectedAgain else { return verdict }
        var reason = ""
        for case .error(let error) in verdict.effects { reason = error.message }
        let now = Timestamp.now
        let end = now + config.snapshot.cooldowns.unauthorized
        var pausing = verdict
        pausing.reason = .credentialRejected
        pausing.effects = [
            .invalidateToken(version: attempt.credentialVersion),
            .countUnauthorized(version: attempt.credentialVersion, pausedUntil: end),
            .paused(until: end, .unauthorized, reason: reason),
        ]
        return pausing
    }

    /// What stands of the account now is what a success of this call will disprove: its next request begins after it.
    private func noteMarks(of account: ServingAccount) async {
        let slots = context.slots.of(account.id)
        guard let marks = try? await slots.readMarks(), let time = try? await context.redis.time() else { return }
        beganAgain(at: Timestamp(microseconds: time), marks)
    }
}
