package import Domain
package import Redis
package import Snapshots

/// Compares what stands in Redis, in one format, with what ought to.
package final class StandingReader {
    /// What the database says.
    package struct Wanted {
        package var config: SnapshotVersion
        /// What `RedisNames.keysComplete` of a format must begin with.
        package var keysMarker: (_ format: Int) -> String
        package var credentials: [(account: AccountID, version: Int64)]
        package var goneAccounts: [AccountID]
    }

    package struct Found: Equatable {
        package var mustPublishConfig = false
        package var isConfigNewer = false
        package var mustPublishKeys = false
        package var credentialsToPublish: [AccountID] = []

        /// What is lacking in one of two formats.
        mutating func join(_ other: Found) {
            mustPublishConfig = mustPublishConfig || other.mustPublishConfig
            isConfigNewer = isConfigNewer || other.isConfigNewer
            mustPublishKeys = mustPublishKeys || other.mustPublishKeys
            credentialsToPublish += other.credentialsToPublish.filter { !credentialsToPublish.contains($0) }
        }
    }

    private let redis: RedisClient
    private let codec: SnapshotCodec
    var format: Int { codec.format }
    /// Signatures of texts that were verified; only others are read whole.
    private var verifiedConfig = ""
    private var verifiedCredentials: [AccountID: String] = [:]

    package init(_ redis: RedisClient, _ codec: SnapshotCodec) {
        self.redis = redis
        self.codec = codec
    }

    package func forget() {
        verifiedConfig = ""
        verifiedCredentials = [:]
    }

    /// - Throws: `RedisError`.
    package func compare(with wanted: Wanted) async throws -> Found {
        var found = Found()
        if let head = try await configHead() {
            let version = SnapshotVersion(epoch: head.first, revision: head.second)
            found.mustPublishConfig = version < wanted.config
            found.isConfigNewer = version > wanted.config
        } else {
            found.mustPublishConfig = true
        }
        found.credentialsToPublish = try await outdatedCredentials(wanted.credentials)
        let marker = wanted.keysMarker(format) + "." + (try await runID())
        let complete = try await redis.send(RedisCommand(["GET", RedisNames.keysComplete(format: format)]))
        found.mustPublishKeys = complete.text != marker
        for fields in try await partitionFields() {
            let config = fields.first?.integer
            if (config ?? -1) < wanted.config.stamp, !found.isConfigNewer { found.mustPublishConfig = true }
            if fields.last?.text != marker { found.mustPublishKeys = true }
        }
        return found
    }

    private func configHead() async throws -> SnapshotHead? {
        guard let head = try await heads([RedisNames.config(format: format)]).first ?? nil else { return nil }
        guard head.signature != verifiedConfig else { return head }
        let text = try await redis.send(RedisCommand(["GET", RedisNames.config(format: format)]))
        guard let bytes = text.bytes, (try? codec.decodeConfig(bytes)) != nil else {
            try await remove(RedisNames.config(format: format), head)
            return nil
        }
        verifiedConfig = head.signature
        return head
    }

    private func outdatedCredentials(
        _ wanted: [(account: AccountID, version: Int64)]
    ) async throws -> [AccountID] {
        let heads = try await heads(wanted.map { RedisNames.credentials(of: $0.account, format: format) })
        var outdated: [AccountID] = []
        for ((account, version), head) in zip(wanted, heads) {
            guard let head, head.first >= version else {
                outdated.append(account)
                continue
            }
            guard head.signature != verifiedCredentials[account] else { continue }
            let name = RedisNames.credentials(of: account, format: format)
            let text = try await redis.send(RedisCommand(["GET", name]))
            if let bytes = text.bytes, (try? codec.decodeCredentials(bytes, account: account)) != nil {
                verifiedCredentials[account] = head.signature
            } else {
                try await remove(name, head)
                outdated.append(account)
            }
        }
        return outdated
    }

    private func heads(_ names: [String]) async throws -> [SnapshotHead?] {
        try await redis.sendAll(
            names.map { RedisCommand(["GETRANGE", $0, "0", String(SnapshotHead.length - 1)]) }
        ).map { $0.bytes.flatMap { SnapshotHead($0) } }
    }

    private func remove(_ name: String, _ head: SnapshotHead) async throws {
        _ = try await redis.run(PublishScripts.removeIfBegins, keys: [name], arguments: [head.signature])
    }

    private func partitionFields() async throws -> [[RedisValue]] {
        try await redis.sendAll(
            Partition.all.map {
                RedisCommand([
                    "HMGET", RedisNames.revisions($0), SnapshotWriter.configField,
                    SnapshotWriter.completeField(format: format),
                ])
            }
        ).map { $0.array ?? [] }
    }

    /// Names this life of this server: one that was restarted or failed over may have lost the last second's writes.
    private func runID() async throws -> String {
        let info: String?
        do {
            info = try await redis.send(RedisCommand(["INFO", "server"])).text
        } catch RedisError.server {
            // Not permitted here: then only what is missing can be noticed.
            return "unknown"
        }
        let line = info?.split(whereSeparator: \.isNewline).first { $0.hasPrefix("run_id:") }
        return line.map { String($0.dropFirst("run_id:".count)) } ?? "unknown"
    }

    // MARK: Filling

    /// Which filling of Redis with all keys this is.
    package struct Filling {
        fileprivate let name: String
        fileprivate let runID: String
    }

    /// Takes back that all keys are there.
    package func beginFilling() async throws -> Filling {
        let filling = Filling(
            name: "\(RedisNames.keysComplete(format: format)):filling:\(UInt64.random(in: 0...UInt64.max))",
            runID: try await runID()
        )
        _ = try await redis.sendAll([
            RedisCommand(["DEL", RedisNames.keysComplete(format: format)]),
            RedisCommand(["SET", filling.name, "1", "EX", "3600"]),
        ])
        return filling
    }

    /// Says that all keys are there, unless Redis has forgotten since that this filling began.
    package func endFilling(_ filling: Filling, marker: String) async throws -> Bool {
        guard try await redis.send(RedisCommand(["DEL", filling.name])).integer == 1 else { return false }
        let marker = marker + "." + filling.runID
        _ = try await redis.sendAll(
            Partition.all.map {
                RedisCommand(["HSET", RedisNames.revisions($0), SnapshotWriter.completeField(format: format), marker])
            } + [RedisCommand(["SET", RedisNames.keysComplete(format: format), marker])]
        )
        return true
    }
}
