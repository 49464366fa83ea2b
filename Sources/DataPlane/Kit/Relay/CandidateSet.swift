import Decisions
import Dialects
package import Domain
import Providers
import Snapshots

/// An account that could serve one kind of call, and how it would be asked.
package final class Candidate {
    package let account: ServingAccount
    package let slots: AccountSlots
    /// The account's own name of the asked model.
    package let model: String
    /// What the upstream speaks.
    let dialect: Dialect
    /// Whether the answer's bytes are in the caller's dialect.
    let isNative: Bool
    /// Whether the answer's model is another than the caller named.
    let isRenamed: Bool
    /// Whether it asks for a count of tokens that the account may lack: then an estimate stands in.
    let mayEstimate: Bool
    /// The class in which the caller sees the account's cache writes; nil where they stay as they came.
    let cacheTTL: CacheTTL?

    init(_ account: ServingAccount, _ slots: AccountSlots, _ way: Way, for route: CallRoute, model: String) {
        self.account = account
        self.slots = slots
        self.model = way.model
        dialect = way.dialect
        isNative = way.dialect == route.dialect
        isRenamed = way.model != model
        mayEstimate = route.action == .countTokens && account.provider.countsOptionally
        cacheTTL = isNative && dialect == .anthropic ? account.snapshot.cacheTTLOverride : nil
    }

    /// In which words an account is asked.
    struct Way {
        let model: String
        let dialect: Dialect
    }
}

/// The accounts of a group that could serve one kind of call, whatever state they are in, and what it is billed: what does
/// not change until the configuration does, found out once.
package final class CandidateSet {
    let group: ServingGroup
    /// Nil for a model without one.
    let price: ModelPrice?
    let isPriced: Bool
    let candidates: [Candidate]
    /// The candidates as the scheduler sees them: the same ones in the same order, by priority.
    let scheduled: [ScheduledAccount]
    /// The group's other accounts.
    let unfit: [SkippedAccount]

    init(_ group: ServingGroup, _ route: CallRoute, model: String, _ slots: SlotStore) {
        self.group = group
        price = group.prices.price(of: model)
        isPriced = price != nil
        var found: [Candidate] = []
        var unfit: [SkippedAccount] = []
        for account in group.accounts {
            switch Self.fit(account, route, model) {
            case .way(let way):
                let slots = slots.of(account.id)
                slots.takesCredits = account.snapshot.allowsOverages && account.provider.takesCredits
                found.append(Candidate(account, slots, way, for: route, model: model))
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
        case way(Candidate.Way)
        case none(SkipReason)
    }

    private static func fit(_ account: ServingAccount, _ route: CallRoute, _ model: String) -> Fit {
        guard account.snapshot.isActive else { return .none(.inactive) }
        guard account.snapshot.isSchedulable else { return .none(.unschedulable) }
        guard let mapped = account.mapping.upstreamModel(for: model) else { return .none(.model) }
        guard let dialect = account.provider.dialect(for: route, model: mapped), canServe(route, dialect) else {
            return .none(.dialect)
        }
        return .way(Candidate.Way(model: account.provider.upstreamName(of: mapped), dialect: dialect))
    }

    private static func canServe(_ route: CallRoute, _ dialect: Dialect) -> Bool {
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
    /// Calls often ask for what the one before them asked for: compared faster than looked up.
    private var last: (key: Key, set: CandidateSet)?
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
        if let last, last.key == key { return last.set }
        let set = sets.value(for: key) ?? make(group, route, key)
        last = (key, set)
        return set
    }

    private func make(_ group: ServingGroup, _ route: CallRoute, _ key: Key) -> CandidateSet {
        let made = CandidateSet(group, route, model: key.model, slots)
        sets.insert(made, for: key)
        return made
    }

    /// Lets go of what belongs to an earlier configuration.
    package func forget() {
        sets = GenerationCache(capacity: Self.capacity)
        last = nil
    }
}
