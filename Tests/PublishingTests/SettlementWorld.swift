import ControlKit
import Domain
import Postgres
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

extension World {
    func settler() -> UsageSettler {
        UsageSettler(loop, pool, redis, log: log, metrics: SettlementMetrics(metrics))
    }

    /// As many as a control plane has.
    func settlers() -> [UsageSettler] {
        let metrics = SettlementMetrics(metrics, settlers: 2)
        return [0, 1].map { UsageSettler(loop, pool, redis, log: log, metrics: metrics, number: $0) }
    }

    /// A settler whose connections are its own, as another process would have them.
    func stranger() throws -> Stranger { try Stranger(self) }

    /// Appends a record to its partition's stream as a worker does.
    func append(_ record: UsageRecord) async throws {
        try await append(record.encoded, Partition(of: record.user))
    }

    func append(_ bytes: [UInt8], _ partition: Partition) async throws {
        _ = try await redis.sendAll([
            RedisCommand(["SET", RedisNames.epoch(partition), "epoch-1", "NX"]), Self.addition(bytes, partition),
        ])
    }

    func append(_ records: [UsageRecord]) async throws {
        for start in stride(from: 0, to: records.count, by: 1000) {
            _ = try await redis.sendAll(
                records[start..<min(start + 1000, records.count)].flatMap { record in
                    let partition = Partition(of: record.user)
                    return [
                        RedisCommand(["SET", RedisNames.epoch(partition), "epoch-1", "NX"]),
                        Self.addition(record.encoded, partition),
                    ]
                }
            )
        }
    }

    private static func addition(_ bytes: [UInt8], _ partition: Partition) -> RedisCommand {
        var command = RedisCommand(["XADD", RedisNames.usage(partition), "*", "r"])
        command.add(bytes)
        return command
    }

    /// Records in all streams.
    func unsettled() async throws -> Int64 {
        try await redis.sendAll(Partition.all.map { RedisCommand(["XLEN", RedisNames.usage($0)]) })
            .reduce(0) { $0 + ($1.integer ?? 0) }
    }

    /// Waits until every stream is empty, at most a minute.
    func waitUntilSettled() async throws {
        let started = MonotonicTime.now
        while ((try? await unsettled()) ?? 1) > 0 {
            try #require(started.elapsed < .seconds(60), "settled in time")
            await loop.sleep(.milliseconds(20))
        }
    }

    /// What the books say; all sums must agree.
    func books() async throws -> Books {
        Books(
            records: try await number("select count(*) as n from usage_records"),
            settled: try await number("select count(*) as n from settled"),
            recordCost: try await number("select coalesce(sum(cost), 0)::bigint as n from usage_records"),
            settledCost: try await number("select coalesce(sum(cost), 0)::bigint as n from settled"),
            dailyRequests: try await number("select coalesce(sum(requests), 0)::bigint as n from key_usage_daily"),
            dailyCost: try await number("select coalesce(sum(cost), 0)::bigint as n from key_usage_daily"),
            ledger: try await number("select coalesce(-sum(amount), 0)::bigint as n from wallet_ledger"),
            charges: try await number("select count(*) as n from wallet_ledger"),
            balances: try await number("select coalesce(-sum(balance), 0)::bigint as n from users"),
            quotaUsed: try await number("select coalesce(sum(quota_used), 0)::bigint as n from api_keys"),
            dailyTokens: try await number(
                """
                select coalesce(sum(input_tokens + output_tokens + cache_creation_tokens + cache_read_tokens), 0)::bigint
                    as n from key_usage_daily
                """
            ),
            recordTokens: try await number(
                """
                select coalesce(sum(input_tokens + output_tokens + cache_creation_5m_tokens
                    + cache_creation_1h_tokens + cache_read_tokens), 0)::bigint as n from usage_records
                """
            ),
            wrongBalances: try await number(
                """
                select count(*) as n from (
                    select balance_after - sum(amount) over (partition by user_id order by id) as difference
                    from wallet_ledger
                ) l where difference <> 0
                """
            ),
            deadLetters: try await number("select count(*) as n from usage_dead_letter")
        )
    }
}

struct Books: Equatable {
    var records: Int64
    var settled: Int64
    var recordCost: Int64
    var settledCost: Int64
    var dailyRequests: Int64
    var dailyCost: Int64
    var ledger: Int64
    /// Rows of the ledger.
    var charges: Int64
    var balances: Int64
    var quotaUsed: Int64
    var dailyTokens: Int64
    var recordTokens: Int64
    /// Rows of the ledger whose running balance is not the sum of the rows up to it.
    var wrongBalances: Int64
    var deadLetters: Int64

    /// Checks that every book tells of the same calls.
    func expect(
        _ count: Int64,
        cost: Int64,
        deadLetters expected: Int64 = 0,
        at location: SourceLocation = #_sourceLocation
    ) {
        #expect(records == count, sourceLocation: location)
        #expect(settled == count, sourceLocation: location)
        #expect(dailyRequests == count, sourceLocation: location)
        #expect(recordCost == cost, sourceLocation: location)
        #expect(settledCost == cost, sourceLocation: location)
        #expect(dailyCost == cost, sourceLocation: location)
        #expect(ledger == cost, sourceLocation: location)
        #expect(balances == cost, sourceLocation: location)
        #expect(quotaUsed == cost, sourceLocation: location)
        #expect(dailyTokens == recordTokens, sourceLocation: location)
        #expect(wrongBalances == 0, sourceLocation: location)
        #expect(deadLetters == expected, sourceLocation: location)
    }
}

/// Users with a key each, and records of their calls.
struct Cast {
    var users: [UserID] = []
    var keys: [KeyID] = []
    let group: GroupID
    let account: AccountID

    /// Users with consecutive ids, and so in consecutive partitions.
    init(_ world: World, users count: Int = 3) async throws {
        group = try await world.addGroup()
        account = try await world.addAccount(in: group)
        for number in 0..<count {
            let user = try await world.addUser("user\(number)@test")
            users.append(user)
            keys.append(try await world.addKey("key\(number)", of: user, in: group))
        }
    }

    /// The call with this number; each costs something else.
    func record(_ number: Int, phase: SettlementPhase = .final, cost: Int64? = nil) -> UsageRecord {
        let place = number % users.count
        var record = UsageRecord(
            requestID: "req_\(number)",
            createdAt: Timestamp.now,
            user: users[place],
            key: keys[place],
            group: group,
            account: account,
            model: "claude-x",
            upstreamModel: "claude-y 中",
            dialect: .anthropic,
            isStream: number % 2 == 0,
            status: 200
        )
        record.phase = phase
        record.usage = TokenUsage(
            input: Int64(number),
            output: 2,
            cacheWrite5m: 3,
            cacheWrite1h: 4,
            cacheRead: 5,
            webSearches: 6,
            inputMedia: .init(image: Int64(number / 2), audio: Int64(number / 3)),
            outputMedia: .init(image: 1, audio: 1),
            tier: number % 5 == 0 ? .flex : .standard
        )
        record.cost = NanoUSD(cost ?? Int64(1000 + number))
        record.accountCost = record.cost
        record.durationMilliseconds = 12
        record.firstTokenMilliseconds = number % 2 == 0 ? 7 : nil
        record.ip = "10.0.0.1"
        record.userAgent = "agent\t\\N \"quoted\"\n"
        return record
    }

    static func cost(_ numbers: Range<Int>) -> Int64 { numbers.reduce(0) { $0 + 1000 + Int64($1) } }
}

/// A second control plane on a thread and loop of its own.
final class Stranger {
    private let thread: LoopThread

    private final class Parts {
        var pool: PostgresPool?
        var redis: RedisClient?
        var settler: UsageSettler?
    }
    private nonisolated(unsafe) let parts = Parts()

    init(_ world: World) throws {
        thread = try LoopThread(name: "stranger")
        let (databaseURL, redisURL, log, loop) = (world.databaseURL, world.server.url, world.log, thread.loop)
        guard let configuration = RedisConfiguration(patientURL: redisURL) else { return }
        nonisolated(unsafe) let parts = parts
        loop.execute {
            let pool = PostgresPool(loop, url: databaseURL, options: .patient)
            let redis = RedisClient(loop, configuration)
            redis.start()
            let settler = UsageSettler(
                loop,
                pool,
                redis,
                log: log,
                metrics: SettlementMetrics(MetricsRegistry())
            )
            settler.start()
            parts.pool = pool
            parts.redis = redis
            parts.settler = settler
        }
    }

    func stop() async {
        let loop = thread.loop
        nonisolated(unsafe) let parts = parts
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            loop.execute {
                loop.spawn {
                    await parts.settler?.stop()
                    parts.redis?.close()
                    parts.pool?.close()
                    parts.settler = nil
                    parts.redis = nil
                    parts.pool = nil
                    continuation.resume()
                }
            }
        }
        thread.stopAndJoin()
    }
}
