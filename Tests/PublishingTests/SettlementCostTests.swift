import ControlKit
import Domain
import Reactor
import TestSupport
import Testing

/// What settling a backlog costs, from the streams in Redis to all books in Postgres, both with their disks.
@Suite(
    "The cost of settling calls",
    .serialized,
    .enabled(if: canRun, requirement),
    .disabled(if: _isDebugAssertConfiguration(), "without optimisation the figure says nothing")
)
struct SettlementCostTests {
    /// Records a second that the product promises.
    private static let promised = 20_000.0
    private static let count = 200_000
    private static let batch = 10_000

    @Test("a backlog is settled at 20,000 calls a second", arguments: [64, 1])
    func backlog(users: Int) async throws {
        let postgres = try await PrivatePostgres.start(settings: [
            "fsync=on", "full_page_writes=on", "shared_buffers=256MB", "max_wal_size=4GB",
        ])
        var options = PrivateRedis.Options()
        options.isPersistent = true
        options.lines = ["appendfsync everysec"]
        try await withWorld(postgres, options) { world in
            let cast = try await Cast(world, users: users)
            for start in stride(from: 0, to: Self.count, by: Self.batch) {
                try await world.append((start..<start + Self.batch).map { cast.record($0) })
            }
            let settlers = world.settlers()
            let started = MonotonicTime.now
            for settler in settlers { settler.start() }
            while try await world.unsettled() > 0 { await world.loop.sleep(.milliseconds(20)) }
            let seconds = Double(started.elapsed.nanoseconds) / 1e9
            let rate = Double(Self.count) / seconds
            print("settled", Self.count, "calls of", users, "users at", Int(rate), "a second")
            #expect(rate >= Self.promised)
            (try await world.books()).expect(Int64(Self.count), cost: Cast.cost(0..<Self.count))
            for settler in settlers { await settler.stop() }
        }
    }
}
