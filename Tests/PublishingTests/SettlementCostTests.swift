import ControlKit
import Domain
import Reactor
import TestSupport
import Testing

/// What settling a backlog costs, from the streams in Redis to all books in Postgres, both with their disks.
@Suite("The cost of settling calls", .serialized, .enabled(if: canRun, requirement))
struct SettlementCostTests {
    /// Records a second that the product promises. Without optimisation the figure says little.
    private static let promised = _isDebugAssertConfiguration() ? 1000.0 : 20_000
    private static let batch = 10_000

    @Test("a backlog is settled at 20,000 calls a second", arguments: [64, 1])
    func backlog(users: Int) async throws {
        let count = _isDebugAssertConfiguration() ? 10_000 : 200_000
        let postgres = try await PrivatePostgres.start(settings: [
            "fsync=on", "full_page_writes=on", "shared_buffers=256MB", "max_wal_size=4GB",
        ])
        var options = PrivateRedis.Options()
        options.isPersistent = true
        options.lines = ["appendfsync everysec"]
        try await withWorld(postgres, options) { world in
            let cast = try await Cast(world, users: users)
            for start in stride(from: 0, to: count, by: Self.batch) {
                try await world.append((start..<start + Self.batch).map { cast.record($0) })
            }
            let settlers = world.settlers()
            let started = MonotonicTime.now
            for settler in settlers { settler.start() }
            while try await world.unsettled() > 0 { await world.loop.sleep(.milliseconds(20)) }
            let seconds = Double(started.elapsed.nanoseconds) / 1e9
            let rate = Double(count) / seconds
            print("settled", count, "calls of", users, "users at", Int(rate), "a second")
            #expect(rate >= Self.promised)
            (try await world.books()).expect(Int64(count), cost: Cast.cost(0..<count))
            for settler in settlers { await settler.stop() }
        }
    }
}
