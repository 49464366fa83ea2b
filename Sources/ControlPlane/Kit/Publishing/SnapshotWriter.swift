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
    private let codec: SnapshotCodec
    /// The groups' revisions that stand with the configuration of this stamp, as far as this writer knows.
    private var standing: (config: Int64, groups: [GroupID: Int64])?

    /// The field of each partition's revisions that tells which configuration's groups stand there.
    static let configField = "cfg"
    /// The field of each partition's revisions that tells that its keys are complete.
    static let completeField = "all"

    package init(_ redis: RedisClient, _ codec: SnapshotCodec) {
        self.redis = redis
        self.codec = codec
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
        let answer = try await redis.run(
            PublishScripts.setUnlessNewer,
            keys: [RedisNames.config],
            arguments: [
                Self.text(codec.encode(config)), String(config.version.epoch), String(config.version.revision),
            ]
        )
        guard answer.integer == 1 else { return false }
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
        _ = try await redis.runAll(
            live.map { key in
                RedisScriptCall(
                    PublishScripts.setUnlessNewer,
                    keys: [RedisNames.key(hash: key.hash)],
                    arguments: [Self.text(codec.encode(key)), String(key.revision), String(key.userRevision)]
                )
            }
        )
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
        _ = try await redis.sendAll(hashes.map { RedisCommand(["DEL", RedisNames.key(hash: $0)]) })
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
            entries.map { entry in
                RedisScriptCall(
                    PublishScripts.setUnlessNewer,
                    keys: [RedisNames.credentials(of: entry.account)],
                    arguments: [Self.text(codec.encode(entry)), String(entry.version), entry.account.description]
                )
            }
        )
        _ = try await redis.sendAll(gone.map { RedisCommand(["DEL", RedisNames.credentials(of: $0)]) })
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
