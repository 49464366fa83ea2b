/// Orders snapshots: a restored database starts a new epoch, so that its lower revisions still win over what was
/// published before the restore.
package struct SnapshotVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var epoch: Int64
    package var revision: Int64

    package init(epoch: Int64, revision: Int64) {
        self.epoch = epoch
        self.revision = revision
    }

    package init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { Int64($0) }
        guard parts.count == 2, let epoch = parts[0], let revision = parts[1] else { return nil }
        self.init(epoch: epoch, revision: revision)
    }

    package var description: String { "\(epoch).\(revision)" }

    package static func < (left: Self, right: Self) -> Bool {
        (left.epoch, left.revision) < (right.epoch, right.revision)
    }

    /// Both numbers in one, for entries that are ordered by a single number: the epoch above, 40 bits of revision below.
    ///
    /// Below 2⁵³ up to epoch 8191, so that Redis' scripts compare it exactly.
    package var stamp: Int64 {
        min(max(epoch, 0), 8191) << 40 | min(max(revision, 0), (1 << 40) - 1)
    }

    package init(stamp: Int64) { self.init(epoch: stamp >> 40, revision: stamp & ((1 << 40) - 1)) }
}
