package import Domain
package import Redis
import Snapshots
import Telemetry

/// Carries out what verdicts say of accounts: at once in this loop and in Redis, where every worker sees it, and by an
/// event for the control plane.
package final class AccountNews {
    private let redis: RedisClient
    private let slots: SlotStore
    private let metrics: AccountMetrics

    package init(_ redis: RedisClient, _ slots: SlotStore, _ metrics: AccountMetrics) {
        self.redis = redis
        self.slots = slots
        self.metrics = metrics
    }

    /// Carries out effects in their order.
    ///
    /// - Parameters:
    ///   - began: when the attempt got its slot, on Redis' clock.
    ///   - now: this worker's clock.
    package func carryOut(
        _ effects: [AccountEffect],
        on account: AccountID,
        began: Timestamp,
        now: Timestamp,
        requestID: String,
        verdict: VerdictReason
    ) {
        let flags = effects.compactMap { AccountFlag($0, setAt: now)?.because(verdict) }
        // Before Redis has answered: the next call here should not ask this account.
        if !flags.isEmpty { slots.of(account).learn(flags, now: now) }
        let marking = effects.compactMap { effect in effect.marking(because: verdict).map { (effect, $0) } }
        guard !marking.isEmpty else { return }
        redis.run(
            AccountScripts.mark,
            keys: [RedisNames.marks(of: account)],
            arguments: [String(began.microseconds)] + marking.flatMap(\.1)
        ) { [self] result in
            guard case .success(.array(let parts)) = result, let time = parts.first?.integer else { return }
            let changed = parts.dropFirst().compactMap(\.integer).compactMap { number in
                marking.indices.contains(Int(number &- 1)) ? marking[Int(number &- 1)].0 : nil
            }
            // What did not change is there already or is old news: Redis knows better than this loop.
            if changed.count < marking.count { slots.of(account).forgetHints() }
            for effect in changed {
                if let flag = AccountFlag(effect, setAt: now) { metrics.set(flag.kind) }
                tell(
                    AccountEvent(
                        account,
                        at: Timestamp(microseconds: time),
                        .effect(effect),
                        requestID: requestID,
                        verdict: verdict.rawValue
                    )
                )
            }
        }
    }

    /// Ends flags that a success has disproved.
    ///
    /// - Parameters:
    ///   - fields: of the account's marks.
    ///   - began: when the attempt got its slot, on Redis' clock: what was set later stays.
    package func clear(_ fields: [String], of account: AccountID, began: Timestamp, requestID: String) {
        redis.run(
            AccountScripts.clear,
            keys: [RedisNames.marks(of: account)],
            arguments: [String(began.microseconds)] + fields
        ) { [self] result in
            guard case .success(.array(let parts)) = result, let time = parts.first?.integer else { return }
            let ended = parts.dropFirst().compactMap(\.text)
            guard !ended.isEmpty else { return }
            for field in ended {
                AccountFlag.Kind(field: field).map { metrics.cleared($0) }
                let event = AccountEvent(
                    account,
                    at: Timestamp(microseconds: time),
                    .cleared(field: field),
                    requestID: requestID,
                    verdict: VerdictReason.success.rawValue
                )
                tell(event)
            }
            slots.of(account).forgetHints()
            let news = Announcement.flagsCleared(account)
            redis.send(RedisCommand(["PUBLISH", RedisNames.announcements, news.text])) { _ in }
        }
    }

    private func tell(_ event: AccountEvent) {
        var command = RedisCommand(["XADD", RedisNames.accountEvents, "MAXLEN", "~", "100000", "*"])
        for (name, value) in event.fields {
            command.add(name)
            command.add(value)
        }
        redis.send(command) { _ in }
    }
}

extension AccountEffect {
    /// Its four arguments of the script `mark`; nil for what leaves no mark.
    package func marking(because verdict: VerdictReason) -> [String]? {
        switch self {
        case .invalidateToken: nil
        case .countUnauthorized(let version, let end):
            [AccountMarks.unauthorizedField, String(version), String(end.microseconds), ""]
        case .countForbidden(let end): [AccountMarks.forbiddenField, String(end.microseconds), "", ""]
        // What nobody calls a model is not worth remembering.
        case .modelLimited(let model, _) where model.utf8.count > 256: nil
        case .error, .rateLimited, .overloaded, .paused, .modelLimited:
            (AccountFlag(self, setAt: Timestamp(microseconds: 0))?.because(verdict)).map { flag in
                ["flag", flag.kind.field, String(flag.until?.microseconds ?? 0), flag.valueTail]
            }
        }
    }
}
