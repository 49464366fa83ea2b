package import Domain
package import Reactor
package import Redis
package import Snapshots

/// An API key as the calls of one loop use it, with what every admission and settlement sends made once.
package final class ServingKey {
    package let snapshot: KeySnapshot
    package let partition: PartitionKeys
    package let keyField: String
    package let keyRevision: String
    package let userField: String
    package let userRevision: String
    package let userLimit: String
    package let keyLimit: String
    /// Sets that are there where calls at once are limited.
    package let userSlots: String
    package let keySlots: String
    /// The sets in which a call of this key has a slot while it runs.
    package let heldSlots: [String]
    package let loadedAt = MonotonicTime.now
    package let wallet: String
    package let userRate: String
    package let keyRate: String
    private var plan: AdmissionPlan?
    /// Adds request id, record, cost, counters, and what `settle` calls the rest.
    package func settlement(_ epoch: String) -> PreparedRun {
        if let preparedSettlement { return preparedSettlement }
        let made = PreparedRun(
            CallScripts.settle,
            keys: [partition.epoch, partition.holds, partition.usage] + heldSlots,
            arguments: [epoch],
            furtherArguments: 5
        )
        preparedSettlement = made
        return made
    }
    private var preparedSettlement: PreparedRun?

    /// Adds request id, record and its cost.
    package private(set) lazy var checkpoint = PreparedRun(
        CallScripts.checkpoint,
        keys: [partition.epoch, partition.live, partition.holds, partition.checkpoints],
        furtherArguments: 3
    )

    package var id: KeyID { snapshot.id }
    package var user: UserID { snapshot.user }

    package init(_ snapshot: KeySnapshot) {
        self.snapshot = snapshot
        let partition = PartitionKeys.of(snapshot.user)
        self.partition = partition
        keyField = "k\(snapshot.id)"
        keyRevision = String(snapshot.revision)
        userField = "u\(snapshot.user)"
        userRevision = String(snapshot.userRevision)
        userLimit = String(snapshot.userConcurrency)
        keyLimit = String(snapshot.concurrency)
        userSlots = RedisNames.slots(of: snapshot.user)
        keySlots = RedisNames.slots(of: snapshot.id, partition.partition)
        heldSlots =
            (snapshot.userConcurrency > 0 ? [userSlots] : []) + (snapshot.concurrency > 0 ? [keySlots] : [])
        wallet = CounterNames.wallet(of: snapshot.user)
        userRate = CounterNames.rate(of: snapshot.user)
        keyRate = CounterNames.rate(of: snapshot.id, partition.partition)
    }

    /// How a call in this group is admitted.
    ///
    /// - Parameters:
    ///   - time: makes the plan anew, for the windows of that time; nil keeps the last one while it fits.
    ///   - epoch: proposed where Redis has none; the same in every call of a loop.
    package func plan(for group: ServingGroup, now: Timestamp, at time: Timestamp? = nil, epoch: String)
        -> AdmissionPlan
    {
        if time == nil, let plan, plan.group === group, plan.validUntil > now { return plan }
        let made = AdmissionPlan(self, group, at: time ?? now, epoch: epoch)
        plan = made.hasPayer ? made : nil
        return made
    }

    /// Tokens count for a minute's limit.
    package var countsTokens: Bool { snapshot.tpm > 0 }

    /// As much of a key as it takes to settle a record of an earlier run: the slots of that time have ended.
    package convenience init(of record: UsageRecord) {
        self.init(
            KeySnapshot(
                id: record.key,
                hash: "",
                revision: 0,
                user: record.user,
                userRevision: 0,
                group: record.group
            )
        )
    }
}
