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
    /// Without a limit there is no set; the scripts still need a name of the partition to stand there.
    package let userSlots: String
    package let keySlots: String
    /// The sets in which a call of this key has a slot while it runs.
    package let heldSlots: [String]
    package let loadedAt = MonotonicTime.now
    private var admission: (group: ServingGroup, run: PreparedRun)?
    /// Adds the done marker; and request id, proposed epoch, record, phase and the marker's life.
    package private(set) lazy var settlement = PreparedRun(
        CallScripts.settle,
        keys: [partition.epoch, partition.live, partition.holds, userSlots, keySlots, partition.usage],
        furtherKeys: 1,
        furtherArguments: 5
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
        let userSlots = snapshot.userConcurrency > 0 ? RedisNames.slots(of: snapshot.user) : nil
        let keySlots = snapshot.concurrency > 0 ? RedisNames.slots(of: snapshot.id, partition.partition) : nil
        self.userSlots = userSlots ?? partition.live
        self.keySlots = keySlots ?? partition.live
        heldSlots = [userSlots, keySlots].compactMap { $0 }
    }

    /// The admission of a call in this group; adds whether missing revisions are accepted, and the request id.
    ///
    /// - Parameter epoch: proposed where Redis has none; the same in every call of a loop.
    package func admission(to group: ServingGroup, _ epoch: String) -> PreparedRun {
        if let admission, admission.group === group { return admission.run }
        let run = PreparedRun(
            CallScripts.admit,
            keys: [partition.epoch, partition.revisions, partition.live, partition.holds, userSlots, keySlots],
            arguments: [
                epoch, keyField, keyRevision, userField, userRevision, group.revisionField, group.revision, userLimit,
                keyLimit, Leases.durationText, keyField,
            ],
            furtherArguments: 2
        )
        admission = (group, run)
        return run
    }

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
