import ControlKit
import Domain
import Glibc
import Reactor
import TestSupport
import Testing

/// What settling a backlog costs, from the streams in Redis to all books in Postgres, both with their disks.
///
/// Where a machine does other work as well, the clock says little. Then the time counts that the processes had of it: a
/// machine of two cores that does nothing else would settle so many.
@Suite(
    "The cost of settling calls",
    .serialized,
    .enabled(if: canRun, requirement),
    .disabled(if: _isDebugAssertConfiguration(), "without optimisation the figure says nothing")
)
struct SettlementCostTests {
    /// Records a second that the product promises.
    private static let promised = 20_000.0
    private static let count = 100_000
    private static let batch = 10_000
    private static let cores = 2.0

    /// Seconds of processor time.
    private struct Time {
        var own = 0.0
        var redis = 0.0
        var postgres = 0.0
        var total: Double { own + redis + postgres }

        init(_ world: World, _ postgres: PrivatePostgres) throws {
            own = try Self.used(getpid())
            redis = try Self.used(world.server.pid)
            // Ended ones count with the one that started them.
            let children = try Self.text("/proc/\(postgres.pid)/task/\(postgres.pid)/children").split(separator: " ")
            self.postgres = try Self.used(postgres.pid, withEnded: true)
            for child in children { self.postgres += (try? Self.used(Int32(child) ?? 0)) ?? 0 }
        }

        private static func used(_ pid: Int32, withEnded: Bool = false) throws -> Double {
            // The name, in brackets, may have blanks.
            let fields = try text("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ") ?? []
            let ticks = fields[11..<(withEnded ? 15 : 13)].reduce(0) { $0 + (Int($1) ?? 0) }
            return Double(ticks) / Double(sysconf(Int32(_SC_CLK_TCK)))
        }

        private static func text(_ path: String) throws -> String {
            let file = try #require(fopen(path, "r"))
            defer { fclose(file) }
            var bytes = [UInt8](repeating: 0, count: 65_536)
            let count = fread(&bytes, 1, bytes.count, file)
            return String(decoding: bytes[..<count], as: UTF8.self)
        }
    }

    @Test("a backlog of 64 users' calls is settled at 20,000 a second")
    func backlog() async throws {
        let count = Self.count
        let postgres = try await PrivatePostgres.start(settings: [
            "fsync=on", "full_page_writes=on", "shared_buffers=256MB", "max_wal_size=4GB",
        ])
        var options = PrivateRedis.Options()
        options.isPersistent = true
        options.lines = ["appendfsync everysec"]
        try await withWorld(postgres, options) { world in
            let cast = try await Cast(world, users: 64)
            for start in stride(from: 0, to: count, by: Self.batch) {
                try await world.append((start..<start + Self.batch).map { cast.record($0) })
            }
            let settlers = world.settlers()
            let before = try Time(world, postgres)
            let started = MonotonicTime.now
            for settler in settlers { settler.start() }
            while try await world.unsettled() > 0 { await world.loop.sleep(.milliseconds(20)) }
            let seconds = Double(started.elapsed.nanoseconds) / 1e9
            let after = try Time(world, postgres)
            let used = after.total - before.total
            func each(_ time: KeyPath<Time, Double>) -> Double {
                (after[keyPath: time] - before[keyPath: time]) / Double(count) * 1e6
            }
            let clocked = Double(count) / seconds
            let possible = Double(count) / max(used / Self.cores, after.own - before.own)
            print("settled \(count) calls at \(Int(clocked)) a second; two free cores would settle \(Int(possible))")
            print("µs of a call: Postgres \(each(\.postgres)), Redis \(each(\.redis)), settlers \(each(\.own))")
            #expect(max(clocked, possible) >= Self.promised)
            (try await world.books()).expect(Int64(count), cost: Cast.cost(0..<count))
            for settler in settlers { await settler.stop() }
        }
    }
}
