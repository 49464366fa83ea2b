package import Domain
import Snapshots

/// The Redis names of one partition that every call uses, built once.
package final class PartitionKeys: Sendable {
    package let partition: Partition
    package let epoch: String
    package let revisions: String
    package let live: String
    package let holds: String
    package let usage: String
    package let checkpoints: String

    private init(_ partition: Partition) {
        self.partition = partition
        epoch = RedisNames.epoch(partition)
        revisions = RedisNames.revisions(partition)
        live = RedisNames.live(partition)
        holds = RedisNames.holds(partition)
        usage = RedisNames.usage(partition)
        checkpoints = CounterNames.checkpoints(partition)
    }

    package func done(_ requestID: String) -> String { RedisNames.done(requestID, partition) }

    private static let all = Partition.all.map { PartitionKeys($0) }

    package static func of(_ user: UserID) -> PartitionKeys { all[Partition(of: user).number] }
    package static func of(_ partition: Partition) -> PartitionKeys { all[partition.number] }
}
