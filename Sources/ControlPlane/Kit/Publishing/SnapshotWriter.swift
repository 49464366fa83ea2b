package import Domain
package import Redis
package import Snapshots

/// Puts snapshots into Redis: entries first, then the revisions that make workers ask for them, then the announcement.
///
/// In that order a worker that sees a revision finds the entry it belongs to, whenever the publisher dies. Every step
/// may be repeated and run beside another publisher's: entries and revisions are never replaced by older ones.
package final class SnapshotWriter {
    /// What one key's publication needs: its snapshot, or that it is gone.
    package struct Key: Hashable, Sendable {
        package var snapshot: KeySnapshot
        package var isDeleted: Bool

        package init(_ snapshot: KeySnapshot, isDeleted: Bool = false) {
            self.snapshot = snapshot
            self.isDeleted = isDeleted
        }
    }

    private let redis: RedisClient
    /// One for each format that can be written, the current one first.
    private let codecs: [SnapshotCodec]
    /// The formats that live workers read; at first all that can be written.
    package var read: Set<Int>
    /// The groups' revisions that stand with the configuration of this stamp, as far as this writer knows.
    private var standing: (config: Int64, groups: [GroupID: Int64])?

    /// The field of each partition's revisions that tells which configuration's groups stand there.
    static let configField = "cfg"
    /// The field of each partition's revisions that tells that its keys are complete.
    static func completeField(format: Int) -> String { "all:v\(format)" }

    /// - Parameter codecs: one for each format that can be written, the current one first.
    package init(_ redis: RedisClient, _ codecs: [SnapshotCodec]) {
        self.redis = redis
        self.codecs = codecs
        read = Set(codecs.map(\.format))
    }

    // MARK: Formats

    /// What is written: the current format, and the older ones that somebody reads.
    private var written: [SnapshotCodec] {
        codecs.enumerated().filter { $0.offset == 0 || read.contains($0.element.format) }.map(\.element)
    }

    func isWritten(_ format: Int) -> Bool { written.contains { $0.format == format } }

    /// The other formats, those of newer workers included: what changes must not stand there any more, and a key that is
    /// missing there means nothing.
    private var unwritten: [Int] { Set(codecs.map(\.format)).union(read).subtracting(written.map(\.format)).sorted() }

    private func removeUnwritten(_ name: (Int) -> String) async throws {
        _ = try await redis.sendAll(unwritten.map { RedisCommand(["DEL", name($0)]) })
    }

    // MARK: Configuration

    /// - Parameter groupRevisions: of all groups, deleted ones too, as stamps.
    /// - Returns: false when Redis has a newer one; then nothing was done.
    /// - Throws: `RedisError`.
    @discardableResult
    package func publish(
        _ config: ConfigSnapshot,
        groupRevisions: [(group: GroupID, revision: Int64)]
    ) async throws -> Bool {
        let answers = try await redis.runAll(
            written.map { codec in
                RedisScriptCall(
                    PublishScripts.setUnlessNewer,
                    keys: [RedisNames.config(format: codec.format)],
                    arguments: [
                        Self.text(codec.encode(config)), String(config.version.epoch), String(config.version.revision),
                    ]
                )
            }
        )
        guard answers.allSatisfy({ $0.integer == 1 }) else { return false }
        try await removeUnwritten { RedisNames.config(format: $0) }
        try await raiseGroups(groupRevisions, with: config.version.stamp)
        try await announce([.config(config.version)])
        return true
    }

    /// Raises the groups' revisions in every partition: those that changed, where the rest is known to stand; all of
    /// them elsewhere. There are 64 partitions and every group that ever was, so the difference is what costs.
    private func raiseGroups(_ revisions: [(group: GroupID, revision: Int64)], with config: Int64) async throws {
        func fields(_ revisions: some Sequence<(group: GroupID, revision: Int64)>) -> [String] {
            revisions.flatMap { ["g\($0.group)", String($0.revision)] } + [Self.configField, String(config)]
        }
        func calls(_ script: RedisScript, _ partitions: [Partition], _ arguments: [String]) -> [RedisScriptCall] {
            partitions.map { RedisScriptCall(script, keys: [RedisNames.revisions($0)], arguments: arguments) }
        }
        var incomplete = Array(Partition.all)
        if let known = standing, known.config < config {
            let changed = revisions.filter { known.groups[$0.group] != $0.revision }
            let answers = try await redis.runAll(
                calls(PublishScripts.raiseSince, incomplete, [String(known.config)] + fields(changed))
            )
            incomplete = zip(incomplete, answers).filter { $0.1.integer != 1 }.map(\.0)
        }
        if !incomplete.isEmpty {
            _ = try await redis.runAll(calls(PublishScripts.raise, incomplete, fields(revisions)))
        }
        standing = (config, Dictionary(revisions.map { ($0.group, $0.revision) }) { $1 })
    }

    // MARK: Keys

    /// - Parameters:
    ///   - isAnnounced: false where no worker can have an older view: when Redis is filled again.
    ///   - raisesUsers: false where a user's keys come in several batches: the user's revision must come after all of
    ///     them, by `raise(_:)`.
    /// - Throws: `RedisError`.
    package func publish(_ keys: [Key], isAnnounced: Bool, raisesUsers: Bool = true) async throws {
        let live = keys.filter { !$0.isDeleted }.map(\.snapshot)
        let deleted = keys.filter(\.isDeleted).map(\.snapshot)
        // First, or a worker would take what is removed there for unknown.
        try await removeUnwritten { RedisNames.keysComplete(format: $0) }
        _ = try await redis.runAll(
            written.flatMap { codec in
                live.map { key in
                    RedisScriptCall(
                        PublishScripts.setUnlessNewer,
                        keys: [RedisNames.key(hash: key.hash, format: codec.format)],
                        arguments: [Self.text(codec.encode(key)), String(key.revision), String(key.userRevision)]
                    )
                }
            }
        )
        try await remove(live.map(\.hash), in: unwritten)
        try await remove(deleted.map(\.hash))
        let stale = try await raise(keys, withUsers: raisesUsers)
        try await remove(stale.map(\.hash))
        _ = try await redis.runAll(
            stale.map { entry in
                let key = entry.key.snapshot
                return RedisScriptCall(
                    PublishScripts.settleHash,
                    keys: [RedisNames.revisions(Partition(of: key.user))],
                    arguments: [key.id.description, String(key.revision), entry.key.isDeleted ? "" : key.hash]
                )
            }
        )
        let announced = Set(stale.map(\.hash) + (isAnnounced ? keys.map(\.snapshot.hash) : []))
        try await announce(announced.map { .key(hash: $0) })
    }

    private func raise(_ keys: [Key], withUsers: Bool) async throws -> [(key: Key, hash: String)] {
        let byPartition = Dictionary(grouping: keys) { Partition(of: $0.snapshot.user) }.map { $0 }
        let answers = try await redis.runAll(
            byPartition.map { partition, keys in
                RedisScriptCall(
                    PublishScripts.raiseKeys,
                    keys: [RedisNames.revisions(partition)],
                    arguments: keys.flatMap { key in
                        [
                            key.snapshot.id.description, String(key.snapshot.revision),
                            key.snapshot.user.description, withUsers ? String(key.snapshot.userRevision) : "0",
                            key.isDeleted ? "" : key.snapshot.hash,
                        ]
                    }
                )
            }
        )
        return zip(byPartition, answers).flatMap { part, answer in
            zip(part.value, answer.array ?? []).compactMap { key, hash in
                hash.text.flatMap { $0.isEmpty ? nil : (key, $0) }
            }
        }
    }

    private func remove(_ hashes: [String]) async throws {
        try await remove(hashes, in: written.map(\.format) + unwritten)
    }

    private func remove(_ hashes: [String], in formats: [Int]) async throws {
        _ = try await redis.sendAll(
            formats.flatMap { format in
                hashes.map { RedisCommand(["DEL", RedisNames.key(hash: $0, format: format)]) }
            }
        )
    }

    /// Raises users' revisions; the entries of their keys must stand already.
    package func raise(_ users: [(user: UserID, revision: Int64)]) async throws {
        _ = try await redis.runAll(
            users.map { user, revision in
                RedisScriptCall(
                    PublishScripts.raise,
                    keys: [RedisNames.revisions(Partition(of: user))],
                    arguments: ["u\(user)", String(revision)]
                )
            }
        )
    }

    // MARK: Credentials

    /// - Throws: `RedisError`.
    package func publish(_ entries: [CredentialEntry], removing gone: [AccountID] = []) async throws {
        _ = try await redis.runAll(
            written.flatMap { codec in
                entries.map { entry in
                    RedisScriptCall(
                        PublishScripts.setUnlessNewer,
                        keys: [RedisNames.credentials(of: entry.account, format: codec.format)],
                        arguments: [Self.text(codec.encode(entry)), String(entry.version), entry.account.description]
                    )
                }
            }
        )
        let over =
            gone.flatMap { account in (written.map(\.format) + unwritten).map { (account, $0) } }
            + entries.flatMap { entry in unwritten.map { (entry.account, $0) } }
        _ = try await redis.sendAll(
            over.map { RedisCommand(["DEL", RedisNames.credentials(of: $0.0, format: $0.1)]) }
        )
        try await announce(entries.map { .credentials($0.account, version: $0.version) })
    }

    // MARK: Flags

    private static let forget = RedisScript(name: "forget", source: AccountMarkScripts.forget)

    /// Forgets what workers have marked accounts with; with errors, too, they can be chosen again.
    ///
    /// - Throws: `RedisError`.
    package func forgetMarks(of accounts: [AccountID], withErrors: Bool) async throws {
        _ = try await redis.runAll(
            accounts.map { account in
                RedisScriptCall(
                    Self.forget,
                    keys: [RedisNames.marks(of: account), RedisNames.probes(of: account)],
                    arguments: [withErrors ? "1" : "0"]
                )
            }
        )
        try await announceFlagsCleared(accounts)
    }

    /// Has workers ask Redis again what keeps calls from these accounts.
    ///
    /// - Throws: `RedisError`.
    package func announceFlagsCleared(_ accounts: [AccountID]) async throws {
        try await announce(accounts.map { .flagsCleared($0) })
    }

    private func announce(_ announcements: [Announcement]) async throws {
        _ = try await redis.sendAll(
            announcements.map { RedisCommand(["PUBLISH", RedisNames.announcements, $0.text]) }
        )
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
