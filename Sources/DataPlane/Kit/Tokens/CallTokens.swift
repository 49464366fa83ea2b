import Domain
import HTTPServing
import Providers
import Redis
import Snapshots
import Telemetry

/// What becomes of a call whose token was refused.
extension Call {
    /// Whether the account has another token by now than the one that was refused, so that it is worth asking again;
    /// waits for one. Then the refusal is counted, and the account is not paused: nothing is wrong with it.
    ///
    /// - Parameters:
    ///   - renewed: the accounts with which this has happened to the call before: once is enough.
    ///   - time: how long the call can wait.
    func hasNewToken(_ verdict: UpstreamVerdict, _ attempt: Attempt, _ renewed: Set<AccountID>, within time: Duration)
        async -> Bool
    {
        let account = attempt.account
        let invalidated = verdict.effects.contains { if case .invalidateToken = $0 { true } else { false } }
        guard account.snapshot.type == .oauth, invalidated || verdict.reason == .credentialStale,
            !renewed.contains(account.id), !exchange.isCallerGone
        else { return false }
        context.tokens.refuse(account.id, version: attempt.credentialVersion)
        guard
            await context.tokens.renewed(account.id, newerThan: attempt.credentialVersion, within: time),
            !exchange.isCallerGone
        else { return false }
        // A 401 to the new token as well, with no success between, is the account's.
        var counted = verdict
        counted.effects = verdict.effects.filter { if case .countUnauthorized = $0 { true } else { false } }
        carryOut(counted, attempt)
        await noteMarks(of: account)
        return true
    }

    /// What stands of the account now is what a success of this call will disprove: its next request begins after it.
    private func noteMarks(of account: ServingAccount) async {
        let slots = context.slots.of(account.id)
        guard let marks = try? await slots.readMarks(),
            let time = try? await context.redis.send(RedisCommand(["TIME"])).array, time.count == 2,
            let seconds = time[0].integer, let micros = time[1].integer
        else { return }
        beganAgain(at: Timestamp(microseconds: seconds &* 1_000_000 &+ micros), marks)
    }
}
