package import Domain
package import Reactor
package import Snapshots

/// An API key as calls use it, with the texts that every admission needs made once.
package final class ServingKey: Sendable {
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
