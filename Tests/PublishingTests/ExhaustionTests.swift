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
    @discardableResult
    fileprivate func send(_ words: String...) async throws -> RedisValue { try await redis.send(RedisCommand(words)) }

    fileprivate func settleAll() async throws {
        let settler = settler()
        settler.start()
        try await waitUntilSettled()
        await settler.stop()
    }

    fileprivate func events(_ kind: String) async throws -> Int64 {
        try await number("select count(*) as n from policy_events where kind = $1", [.text(kind)])
    }

    /// The window that the key's policy is noted to be exhausted in, in Postgres and in Redis.
    fileprivate func exhaustedWindow() async throws -> Int64? {
        try await pool.query("select exhausted_window_ms as n from key_policies").first?.optionalInt("n")
    }

    fileprivate func mark(_ cast: Cast, quota: Int64 = 5000) async throws -> Int64? {
        let name = CounterNames.exhaustion(of: cast.keys[0], Partition(of: cast.users[0]))
        return try await redis.send(RedisCommand(["HGET", name, "7.0.\(quota)"])).text.flatMap { Int64($0) }
    }
}

@Suite("Exhausted policies", .enabled(if: canRun, requirement))
struct ExhaustionTests {
    private static let day: Int64 = 86_400_000
    private static var today: Int64 { WallClock.microseconds / 1000 / day * day }

    private static func addPolicy(
        _ world: World,
        _ cast: Cast,
        resumes: Bool = false,
        boundary: String = "graceful",
        window: Int64 = today
    ) async throws {
        try await world.run(
            """
            insert into key_policies (key_id, period, anchor_time, quota, boundary, exhausted_action, auto_resume,
                version, window_start_ms)
            values ($1, 'daily', timestamptz 'epoch', 5000, $2, 'disable_key', $3, 7, $4)
            """,
            [.integer(cast.keys[0].raw), .text(boundary), .bool(resumes), .integer(window)]
        )
    }

    private static func record(_ cast: Cast, _ number: Int, cost: Int64, window: Int64 = today) -> UsageRecord {
        var record = cast.record(number, cost: cost)
        record.limits.policy = .init(version: 7, resetEpoch: 0, window: window)
        return record
    }

    private static func post(_ records: [UsageRecord], _ world: World) async throws {
        let texts = records.map { String(decoding: $0.encoded, as: UTF8.self) }
        let answer = try await world.internalAPI().answer(
            .post("/internal/v1/records"),
            body: Array("[\(texts.joined(separator: ","))]".utf8)
        )
        #expect(answer.status == 200)
    }

    // MARK: Settled by whoever

    enum Way: CaseIterable { case stream, post }

    @Test("a policy is exhausted by what is booked, whichever way it came", arguments: Way.allCases, [true, false])
    func booked(way: Way, resumes: Bool) async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            try await Self.addPolicy(world, cast, resumes: resumes)
            let publisher = world.publisher()
            try await publisher.writeCounters(of: cast.users)
            func settle(_ record: UsageRecord) async throws {
                switch way {
                // As the sweeper appends it, and a journal's record: with no word of the policy.
                case .stream:
                    try await world.append(record)
                    try await world.settleAll()
                case .post: try await Self.post([record], world)
                }
                try await publisher.publishCommitted()
            }
            try await settle(Self.record(cast, 0, cost: 4999))
            #expect(try await world.exhaustedWindow() == nil)
            #expect(try await world.mark(cast) == nil)
            try await settle(Self.record(cast, 1, cost: 1))
            try await settle(Self.record(cast, 2, cost: 1))
            #expect(try await world.exhaustedWindow() == Self.today)
            #expect(try await world.mark(cast) == Self.today)
            #expect(try await world.events("exhausted") == 1)
            let until = try await world.pool.query("select exhausted_until_ms as n from key_policies")
                .first?.optionalInt("n")
            #expect(until == (resumes ? Self.today + Self.day : nil))
            // A worker's word of the same says nothing new.
            let word =
                #"{"key":\#(cast.keys[0]),"user":\#(cast.users[0]),"version":7,"epoch":0,"window":\#(Self.today)}"#
            try await world.send("XADD", RedisNames.usage(Partition(of: cast.users[0])), "*", "e", word)
            try await world.settleAll()
            #expect(try await world.events("exhausted") == 1)
        }
    }

    @Test("what a dead worker's call has cost exhausts its window, also when a later one runs already")
    func late() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let yesterday = Self.today - Self.day
            try await Self.addPolicy(world, cast, window: yesterday)
            let publisher = world.publisher()
            var first = Self.record(cast, 0, cost: 3000, window: yesterday)
            first.createdAt.microseconds -= Self.day * 1000
            try await Self.post([first, Self.record(cast, 1, cost: 1)], world)
            #expect(try await world.exhaustedWindow() == nil)
            var swept = Self.record(cast, 2, cost: 2000, window: yesterday)
            swept.createdAt.microseconds -= Self.day * 1000
            swept.phase = .swept
            try await world.append(swept)
            try await world.settleAll()
            try await publisher.publishCommitted()
            #expect(try await world.exhaustedWindow() == yesterday)
            #expect(try await world.mark(cast) == yesterday)
            #expect(try await world.number("select used as n from key_policies") == 1)
        }
    }

    @Test("an exhaustion that is over is not noted again by what is settled late")
    func over() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            try await Self.addPolicy(world, cast, resumes: true)
            try await Self.post([Self.record(cast, 0, cost: 5000)], world)
            let end = Timestamp(microseconds: (Self.today + Self.day) * 1000)
            try await KeyPolicyStore.recover(now: end, in: world.pool)
            try await Self.post([Self.record(cast, 1, cost: 1)], world)
            #expect(try await world.exhaustedWindow() == nil)
            #expect(try await world.events("exhausted") == 1)
            #expect(try await world.events("recovered") == 1)
        }
    }

    // MARK: Claims

    /// An entry of the stream as a worker's script appends it.
    private static func claim(_ cast: Cast, wanted: Int64, _ world: World) async throws {
        let name = CounterNames.exhaustion(of: cast.keys[0], Partition(of: cast.users[0]))
        try await world.send("HSET", name, "7.0.5000", "\(today)")
        let word =
            #"{"key":\#(cast.keys[0]),"user":\#(cast.users[0]),"version":7,"epoch":0,"quota":5000,"#
            + #""window":\#(today),"wanted":\#(wanted)}"#
        try await world.send("XADD", RedisNames.usage(Partition(of: cast.users[0])), "*", "e", word)
    }

    @Test(
        "a word of an exhaustion counts if the books bear it out, and is forgotten if they do not",
        arguments: [(0, false), (2000, false), (2001, true), (Int64.max, true)],
        [false, true]
    )
    func claims(_ claim: (wanted: Int64, isTrue: Bool), resumes: Bool) async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            try await Self.addPolicy(world, cast, resumes: resumes, boundary: "strict")
            // Redis had taken it and the worker was not sure: until its settler has read it, it counts twice there.
            let record = Self.record(cast, 0, cost: 3000)
            try await world.append(record)
            try await Self.post([record], world)
            try await Self.claim(cast, wanted: claim.wanted, world)
            try await world.settleAll()
            try await world.publisher().publishCommitted()
            #expect(try await world.exhaustedWindow() == (claim.isTrue ? Self.today : nil))
            #expect(try await world.mark(cast) == (claim.isTrue ? Self.today : nil))
            #expect(try await world.events("exhausted") == (claim.isTrue ? 1 : 0))
        }
    }

    @Test("what exhausts a policy and the word of it come together, and it is noted once", arguments: [0, 700])
    func trueClaim(window late: Int64) async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            // Postgres may know another window still.
            try await Self.addPolicy(world, cast, window: Self.today - late * Self.day)
            for number in 0..<5 { try await world.append(Self.record(cast, number, cost: 1000)) }
            try await Self.claim(cast, wanted: 0, world)
            try await world.settleAll()
            try await world.publisher().publishCommitted()
            #expect(try await world.exhaustedWindow() == Self.today)
            #expect(try await world.mark(cast) == Self.today)
            #expect(try await world.events("exhausted") == 1)
        }
    }
}
