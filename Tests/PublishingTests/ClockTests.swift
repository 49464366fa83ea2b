import ControlKit
import Domain
import Postgres
import Reactor
import Snapshots
import Telemetry
import TestSupport
import Testing

@Suite("Clocks that are wrong", .enabled(if: canRun, requirement))
struct ClockTests {
    private static let day: Int64 = 86_400_000_000

    private static func post(_ records: [UsageRecord], _ world: World) async throws -> String {
        let texts = records.map { String(decoding: $0.encoded, as: UTF8.self) }
        let answer = try await world.internalAPI().answer(
            .post("/internal/v1/records"),
            body: Array("[\(texts.joined(separator: ","))]".utf8)
        )
        return String(decoding: answer.body, as: UTF8.self)
    }

    private static func settle(_ record: UsageRecord, _ world: World) async throws {
        try await world.append(record)
        let settler = world.settler()
        settler.start()
        try await world.waitUntilSettled()
        await settler.stop()
    }

    @Test(
        "a call is billed once, whatever a worker's clock says, also when its id is forgotten",
        arguments: [-43, -44, -400, -20_000, 1, 400, 20_000]
    )
    func workers(days: Int64) async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            try await UsagePartitions.ensure(now: .now, in: world.pool)
            var record = cast.record(1)
            record.createdAt.microseconds += days * Self.day
            #expect(
                try await Self.post([record, cast.record(2)], world) == #"{"settled":2,"repeated":0,"rejected":0}"#
            )
            (try await world.books()).expect(2, cost: 2003)
            let near = try await world.number(
                "select count(*) as n from usage_records where created_at between now() - interval '1 hour' and now()"
            )
            #expect(near == (days == -43 ? 1 : 2))
            try await Self.settle(record, world)
            (try await world.books()).expect(2, cost: 2003)
            guard days != -43 else { return }
            // A journal that is handed in after months.
            try await world.run("delete from settled where request_id = $1", [.text(record.requestID)])
            try await Self.settle(record, world)
            #expect(try await world.number("select count(*) as n from usage_records") == 2)
            #expect(try await world.number("select -balance as n from users") == 2003)
            #expect(try await world.number("select count(*) as n from usage_dead_letter") == 0)
        }
    }

    @Test("what may have been settled in a month that is kept no longer is put aside, what is younger is settled")
    func forgotten() async throws {
        try await withWorld { world in
            let cast = try await Cast(world, users: 1)
            let start = Timestamp(microseconds: Timestamp.now.microseconds - 100 * Self.day)
            for month in 0..<4 {
                try await UsagePartitions.ensure(
                    now: Timestamp(microseconds: start.microseconds + Int64(month) * 30 * Self.day),
                    in: world.pool
                )
            }
            try await world.run("update schema_migrations set applied_at = now() - interval '1000 days'")
            var kept = cast.record(1)
            kept.createdAt.microseconds -= 60 * Self.day
            var lost = cast.record(2)
            lost.createdAt.microseconds -= 200 * Self.day
            var impossible = cast.record(3)
            impossible.createdAt = Timestamp(microseconds: 5)
            try await world.append([kept, lost, impossible])
            try await Self.settle(cast.record(4), world)
            (try await world.books()).expect(3, cost: 1001 + 1003 + 1004, deadLetters: 1)
            let then = kept.createdAt.microseconds
            #expect(
                try await world.number(
                    "select count(*) as n from usage_records where created_at = \(SQL.time("$1"))",
                    [.integer(then)]
                ) == 1
            )
        }
    }

    @Test("a control plane whose clock is years ahead drops nothing")
    func controlPlane() async throws {
        try await withWorld { world in
            try await UsagePartitions.ensure(now: .now, in: world.pool)
            func months() async throws -> Int64 {
                try await world.number(
                    "select count(*) as n from pg_inherits where inhparent = 'usage_records'::regclass"
                )
            }
            let before = try await months()
            await Housekeeping(world.loop, world.pool, log: world.log)
                .run(now: Timestamp(microseconds: Timestamp.now.microseconds + 3000 * Self.day))
            #expect(try await months() == before)
        }
    }
}
