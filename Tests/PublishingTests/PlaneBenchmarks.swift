import ControlKit
import Domain
import Glibc
import Postgres
import Reactor
import Redis
import Snapshots
import TestSupport
import Testing

/// Figures for docs/PERFORMANCE.md: `TOLLGATE_BENCH=1 swift test -c release --filter PlaneBenchmarks`.
@Suite("PlaneBenchmarks", .serialized, .enabled(if: getenv("TOLLGATE_BENCH") != nil && canRun))
struct PlaneBenchmarks {
    @Test("writing and reading a usage record")
    func records() {
        var record = UsageRecord(
            requestID: "req_01JABCDEFGHJKMNPQRSTVWXYZ0",
            createdAt: Timestamp(microseconds: 1_793_867_400_000_000),
            user: UserID(1234),
            key: KeyID(5678),
            group: GroupID(12),
            account: AccountID(345),
            model: "claude-sonnet-4-5-20250929",
            upstreamModel: "claude-sonnet-4-5-20250929",
            dialect: .anthropic,
            isStream: true,
            status: 200
        )
        record.userAgent = "claude-cli/2.0.14 (external, cli)"
        record.ip = "203.0.113.77"
        record.usage = TokenUsage(input: 12345, output: 678, cacheWrite5m: 90, cacheWrite1h: 0, cacheRead: 100_000)
        record.cost = NanoUSD(123_456_789)
        let rounds = 200_000
        var bytes = 0
        var started = MonotonicTime.now
        for number in 0..<rounds {
            record.durationMilliseconds = Int64(number)
            bytes &+= record.encoded.count
        }
        print("encode:", nanoseconds(started, rounds), "ns,", bytes / rounds, "bytes")
        let decoder = UsageRecordDecoder()
        let text = record.encoded
        started = .now
        for _ in 0..<rounds { bytes &+= (try? decoder.decode(text).status) ?? 0 }
        print("decode:", nanoseconds(started, rounds), "ns")
    }

    @Test("settling 200,000 records of 64 users, and of one")
    func settling() async throws {
        for users in [64, 1] {
            let postgres = try await PrivatePostgres.start(settings: ["fsync=on", "shared_buffers=256MB"])
            var options = PrivateRedis.Options()
            options.isPersistent = true
            options.lines = ["appendfsync everysec"]
            try await withWorld(postgres, options) { world in
                let cast = try await Cast(world, users: users)
                let count = 200_000
                for start in stride(from: 0, to: count, by: 10_000) {
                    try await world.append((start..<start + 10_000).map { cast.record($0) })
                }
                let settler = world.settler()
                let started = MonotonicTime.now
                settler.start()
                while try await world.unsettled() > 0 { await world.loop.sleep(.milliseconds(50)) }
                let seconds = Double(started.elapsed.nanoseconds) / 1e9
                print("settled", count, "records of", users, "users:", Int(Double(count) / seconds), "a second")
                (try await world.books()).expect(Int64(count), cost: Cast.cost(0..<count))
                await settler.stop()
            }
        }
    }

    @Test("publishing 100,000 keys, and one change beside them")
    func publishing() async throws {
        try await withWorld { world in
            let group = try await world.addGroup()
            try await world.run(
                "insert into users (email, password_hash) select 'u' || n, 'x' from generate_series(1, 1000) n"
            )
            try await world.run(
                """
                insert into api_keys (name, user_id, group_id, key_hash, key_prefix)
                select 'k' || n, 1 + n % 1000, $1, encode(sha256(n::text::bytea), 'hex'), 'tg-'
                from generate_series(1, 100000) n
                """,
                [.integer(group.raw)]
            )
            // As autovacuum would have done.
            try await world.run("analyze")
            let publisher = world.publisher()
            var started = MonotonicTime.now
            try await publisher.healNow()
            print("100,000 keys:", started.elapsed.nanoseconds / 1_000_000, "ms")
            started = .now
            try await publisher.healNow()
            print("nothing to heal:", started.elapsed.nanoseconds / 1000, "µs")
            started = .now
            for _ in 0..<20 {
                try await world.notifier(publisher).commit(by: .system) { change in
                    try await change.connection.execute(
                        "update api_keys set rpm = rpm + 1, revision = nextval('revision_seq') where id = 77"
                    )
                    change.publish(.key(KeyID(77)))
                }
            }
            print("a change, commit to published:", started.elapsed.nanoseconds / 20_000, "µs")
        }
    }

    private func nanoseconds(_ started: MonotonicTime, _ rounds: Int) -> Int64 {
        started.elapsed.nanoseconds / Int64(rounds)
    }
}
