package import Domain
package import Postgres
package import Redis
import Snapshots

/// Writes what users have spent, as Postgres has it, into Redis.
package final class CounterWriter {
    private static let batch: Int64 = 500
    private let redis: RedisClient
    /// Proposed where a partition has no epoch.
    private let epoch: String

    package init(_ redis: RedisClient, epoch: String) {
        self.redis = redis
        self.epoch = epoch
    }

    /// Everything that these users' calls are counted against. A user's wallet comes last, in the same step as the rest:
    /// where it stands, all of the user's counters do.
    ///
    /// - Throws: `RedisError`, `PostgresError`.
    package func write(_ users: [UserID], _ connection: PostgresConnection) async throws {
        guard !users.isEmpty else { return }
        let databaseEpoch = try await SnapshotRows.databaseEpoch(connection)
        let standings = try await CounterStore.standings(of: users, connection)
        var marks: [RedisCommand] = []
        var calls: [RedisScriptCall] = []
        for standing in standings {
            let partition = Partition(of: standing.user)
            for exhaustion in standing.exhaustions {
                marks.append(
                    RedisCommand([
                        "HSET", CounterNames.exhaustion(of: exhaustion.key, partition), exhaustion.field,
                        String(exhaustion.window),
                    ])
                )
            }
            var names = [RedisNames.epoch(partition)]
            var arguments = [epoch]
            for counter in standing.counters {
                names.append(counter.name)
                arguments += [
                    String(counter.number),
                    String(SnapshotVersion(epoch: databaseEpoch, revision: counter.sequence).stamp),
                    String(counter.expiry ?? 0),
                ]
            }
            calls.append(RedisScriptCall(CounterScripts.write, keys: names, arguments: arguments))
        }
        _ = try await redis.sendAll(marks)
        _ = try await redis.runAll(calls)
    }

    /// The same of all users, some at a time.
    package func writeAll(_ connection: PostgresConnection) async throws {
        var last: Int64 = 0
        while true {
            let users = try await connection.query(
                "select id from users where id > $1 and deleted_at is null order by id limit $2",
                [.integer(last), .integer(Self.batch)]
            ).map { UserID(try $0.int("id")) }
            try await write(users, connection)
            guard users.count == Int(Self.batch), let end = users.last else { return }
            last = end.raw
        }
    }
}
