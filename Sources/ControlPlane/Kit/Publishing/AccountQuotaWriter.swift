import Decisions
package import Domain
package import Postgres
package import Redis
import Snapshots

/// Writes what has been spent through accounts, as Postgres has it, into Redis.
package struct AccountQuotaWriter {
    private static let script = RedisScript(name: "write_account_quota", source: AccountQuotaScripts.write)
    /// A call that nobody has settled by then never will be: it cannot be read, or Redis lost it and its worker too.
    private static let longestOpen: Int64 = 3_600_000

    private let redis: RedisClient

    package init(_ redis: RedisClient) { self.redis = redis }

    /// What a settlement has changed.
    ///
    /// - Parameter records: the calls that the numbers include.
    /// - Throws: `RedisError`.
    package func write(
        _ standings: [AccountQuotaStanding],
        settled records: [UsageRecord],
        databaseEpoch: Int64
    ) async throws {
        let limited = standings.filter(\.isLimited)
        guard !limited.isEmpty else { return }
        // Of several the last one stands.
        let latest = Dictionary(limited.map { ($0.account, $0) }) { $0.sequence > $1.sequence ? $0 : $1 }
        var settled: [AccountID: [String]] = [:]
        for record in records where latest[record.account] != nil && record.accountCost > .zero {
            settled[record.account, default: []].append(record.requestID)
        }
        _ = try await redis.runAll(
            latest.values.map { Self.call($0, settled[$0.account] ?? [], databaseEpoch, isRecount: false) }
        )
    }

    /// All that Postgres says of these accounts, or of all that have quotas. Calls that it has are taken out of those
    /// that are open, and their sum is counted again.
    ///
    /// The connection's transaction must be one snapshot.
    ///
    /// - Returns: by how much sums of open calls were wrong.
    /// - Throws: `RedisError`, `PostgresError`.
    @discardableResult
    package func write(of accounts: [AccountID]?, _ connection: PostgresConnection) async throws -> UInt64 {
        let databaseEpoch = try await SnapshotRows.databaseEpoch(connection)
        let standings = try await AccountQuotaStore.standings(of: accounts, connection)
        let unlimited = standings.filter { !$0.isLimited }
        _ = try await redis.sendAll(unlimited.map { RedisCommand(["DEL", RedisNames.quota(of: $0.account)]) })
        let limited = standings.filter(\.isLimited)
        guard !limited.isEmpty else { return 0 }
        let fields = try await redis.sendAll(
            limited.map { RedisCommand(["HGETALL", RedisNames.quota(of: $0.account)]) }
        )
        let now = try await redis.time() / 1000
        var open: [AccountID: [(id: String, time: Int64)]] = [:]
        for (account, fields) in zip(limited.map(\.account), fields) {
            let parts = fields.array ?? []
            for index in stride(from: 0, to: parts.count - 1, by: 2) {
                guard let id = parts[index].text, let value = parts[index + 1].text else { continue }
                let words = value.split(separator: " ")
                if words.count == 2, let time = Int64(words[1]) { open[account, default: []].append((id, time)) }
                if value == "-" { open[account, default: []].append((id, now)) }
            }
        }
        let settled = try await AccountQuotaStore.settled(
            among: open.values.flatMap { $0.map(\.id) },
            connection
        )
        let answers = try await redis.runAll(
            limited.map { standing in
                let gone = (open[standing.account] ?? []).filter {
                    settled.contains($0.id) || $0.time < now - Self.longestOpen
                }
                return Self.call(standing, gone.map(\.id), databaseEpoch, isRecount: true)
            }
        )
        return answers.reduce(0) { $0 &+ ($1.integer?.magnitude ?? 0) }
    }

    private static func call(
        _ standing: AccountQuotaStanding,
        _ settled: [String],
        _ databaseEpoch: Int64,
        isRecount: Bool
    ) -> RedisScriptCall {
        let (daily, weekly, total) = (standing.spending.daily, standing.spending.weekly, standing.spending.total)
        let stamp = SnapshotVersion(epoch: databaseEpoch, revision: standing.sequence).stamp
        let numbers = [
            stamp, daily.used.raw, daily.end(.daily) ?? 0, weekly.used.raw, weekly.end(.weekly) ?? 0, total.used.raw,
            isRecount ? 1 : 0,
        ]
        return RedisScriptCall(
            script,
            keys: [RedisNames.quota(of: standing.account), RedisNames.slots(of: standing.account)],
            arguments: numbers.map { String($0) } + settled
        )
    }
}
