package import Domain
package import Postgres
package import Reactor
package import Redis
import Snapshots

/// Writes what users have spent, as Postgres has it, into Redis.
package final class CounterWriter {
    private static let batch: Int64 = 500
    /// What was settled is acknowledged at once, unless its settler has died in between.
    private static let acknowledgementPause = Duration.milliseconds(20)
    private static let maximumPauses = 25
    /// A settler that had no Redis tries again within 2 seconds.
    private static let settlerPause = Duration.seconds(3)
    /// Entries of a stream in which records are looked for that the numbers include.
    private static let lookedThrough = 10_000
    /// A partition with more to settle is looked through when it is quieter.
    private static let searched = 1000
    private let loop: EventLoop
    private let redis: RedisClient
    private let waiting: WaitingRecords
    /// Proposed where a partition has no epoch.
    private let epoch: String

    package init(_ loop: EventLoop, _ redis: RedisClient, epoch: String) {
        self.loop = loop
        self.redis = redis
        waiting = WaitingRecords(redis)
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
        // Read last: they may include what the numbers do not, never the reverse.
        let positions = try await CounterStore.positions(connection)
        try await writeExhaustions(standings)
        let twice = try await countedTwice(users, connection)
        var calls: [RedisScriptCall] = []
        for standing in standings {
            let partition = Partition(of: standing.user)
            let position = positions[partition]
            var names = [RedisNames.epoch(partition), RedisNames.usage(partition)]
            var arguments = [epoch, position?.epoch ?? "", position?.lastID ?? ""]
            for counter in standing.counters {
                names.append(counter.name)
                arguments += [
                    String(counter.number),
                    String(SnapshotVersion(epoch: databaseEpoch, revision: counter.sequence).stamp),
                    String(counter.expiry ?? 0),
                ]
            }
            // Who settles these writes all of the user's counters.
            if twice.contains(standing.user) { arguments.append("1") }
            calls.append(RedisScriptCall(CounterScripts.write, keys: names, arguments: arguments))
        }
        for _ in 0..<Self.maximumPauses {
            let answers = try await redis.runAll(calls)
            calls = zip(calls, answers).filter { $1.integer == -1 }.map { $0.0 }
            guard !calls.isEmpty else { return }
            await loop.sleep(Self.acknowledgementPause)
        }
        // Whoever takes over from that settler sets it right.
        _ = try await redis.runAll(
            calls.map { call in
                RedisScriptCall(
                    call.script,
                    keys: call.keys,
                    arguments: call.arguments.prefix(1) + ["", ""] + call.arguments.dropFirst(3)
                )
            }
        )
    }

    /// The users of whom the stream has what their numbers include, however long its settler is waited for: what Redis had
    /// taken before a worker handed it in all the same. It is among what is unsettled until it is taken out of the stream.
    private func countedTwice(_ users: [UserID], _ connection: PostgresConnection) async throws -> Set<UserID> {
        let started = MonotonicTime.now
        var users = Set(users)
        while true {
            let items = try await waiting.read(of: users, atMost: Self.lookedThrough)
            let settled = try await WaitingRecords.settled(items, connection)
            users = Set(items.filter { settled[$0.record.requestID] != nil }.map(\.record.user))
            guard !users.isEmpty, started.elapsed < Self.settlerPause else { return users }
            await loop.sleep(Self.acknowledgementPause)
        }
    }

    /// Which policies are exhausted, and which are not any more.
    private func writeExhaustions(_ standings: [UserStanding]) async throws {
        var marks: [RedisCommand] = []
        var recoveries: [RedisScriptCall] = []
        for standing in standings {
            let partition = Partition(of: standing.user)
            for policy in standing.policies {
                let name = CounterNames.exhaustion(of: policy.key, partition)
                if let window = policy.exhaustedWindow {
                    marks.append(RedisCommand(["HSET", name, policy.field, String(window)]))
                } else {
                    recoveries.append(
                        RedisScriptCall(
                            CounterScripts.recover,
                            keys: [name, RedisNames.usage(partition)],
                            arguments: [policy.field, PolicyExhaustion.opening(policy.key), String(Self.searched)]
                        )
                    )
                }
            }
        }
        _ = try await redis.sendAll(marks)
        _ = try await redis.runAll(recoveries)
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
