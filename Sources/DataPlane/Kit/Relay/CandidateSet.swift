import Decisions
import Dialects
package import Domain
import Providers
import Snapshots

/// An account that could serve a call.
package struct Candidate {
    package let account: ServingAccount
    package let slots: AccountSlots
    /// The account's own name of the asked model.
    package let model: String
}

/// The accounts of a group that could serve one kind of call, whatever state they are in: what does not change until the
/// configuration does, found out once.
package final class CandidateSet {
    let group: ServingGroup
    let candidates: [Candidate]
    /// The candidates as the scheduler sees them: the same ones in the same order, by priority.
    let scheduled: [ScheduledAccount]
    /// The group's other accounts.
    let unfit: [SkippedAccount]

    init(_ group: ServingGroup, _ route: CallRoute, model: String, _ slots: SlotStore) {
        self.group = group
        var found: [Candidate] = []
        var unfit: [SkippedAccount] = []
        for account in group.accounts {
            switch Self.fit(account, route, model) {
            case .model(let name):
                let slots = slots.of(account.id)
                slots.takesCredits = account.snapshot.allowsOverages && account.provider.takesCredits
                found.append(Candidate(account: account, slots: slots, model: name))
            case .none(let reason): unfit.append(SkippedAccount(account.id, reason))
            }
        }
        found.sort { $0.account.snapshot.priority < $1.account.snapshot.priority }
        candidates = found
        self.unfit = unfit
        scheduled = found.map { candidate in
            ScheduledAccount(
                id: candidate.account.id,
                priority: candidate.account.snapshot.priority,
                state: candidate.slots.position,
                usableUntil: candidate.account.snapshot.expiresAt?.microseconds ?? .max
            )
        }
    }

    private enum Fit {
        case model(String)
        case none(SkipReason)
    }

    private static func fit(_ account: ServingAccount, _ route: CallRoute, _ model: String) -> Fit {
        guard account.snapshot.isActive else { return .none(.inactive) }
        guard account.snapshot.isSchedulable else { return .none(.unschedulable) }
        guard let mapped = account.mapping.upstreamModel(for: model) else { return .none(.model) }
        guard canServe(route, account.provider.dialect(for: route, model: mapped)) else { return .none(.dialect) }
        return .model(account.provider.upstreamName(of: mapped))
    }

    private static func canServe(_ route: CallRoute, _ dialect: Dialect?) -> Bool {
        guard let dialect else { return false }
        if dialect == route.dialect { return true }
        return route.action != .embed && CallTranslation.exists(from: route.dialect, to: dialect)
    }
}

/// The candidate sets that this loop has needed of late.
package final class CandidateSets {
    private struct Key: Hashable {
        let group: ObjectIdentifier
        let dialect: Dialect
        let action: CallRoute.Action
        let isStream: Bool
        let model: String
    }

    /// Callers name models as they like: no more than so many are kept.
    private static let capacity = 256
    private var sets = GenerationCache<Key, CandidateSet>(capacity: capacity)
    private let slots: SlotStore

    package init(_ slots: SlotStore) { self.slots = slots }

    package func of(_ group: ServingGroup, _ route: CallRoute, model: String) -> CandidateSet {
        let key = Key(
            group: ObjectIdentifier(group),
            dialect: route.dialect,
            action: route.action,
            isStream: route.isStream,
            model: model
        )
        // The set keeps its group, so that no other one can have its identity.
        if let known = sets.value(for: key) { return known }
        let made = CandidateSet(group, route, model: model, slots)
        sets.insert(made, for: key)
        return made
    }

    /// Lets go of what belongs to an earlier configuration.
    package func forget() { sets = GenerationCache(capacity: Self.capacity) }
}
