import Dialects
import Domain
import GatewayKit
import Reactor
import Redis
import Snapshots
import Telemetry
import TestSupport
import Testing

/// What a call costs Redis by its own count: its commands, and what they add to its log. The time that it has of a
/// processor is shown, but depends on who else wants that.
@Suite(
    "The cost of a call in Redis",
    .serialized,
    .enabled(if: PrivateRedis.isAvailable, "needs the program redis-server")
)
struct RedisCostTests {
    /// Commands of a call that has no limits but its wallet, those inside its scripts and the scripts counted.
    private static let mostCommands = 24.0
    private static let mostBytes = 2200.0
    private static let atOnce = 16
    private static let round = 512

    private struct Cost {
        var commands = 0.0
        var bytes = 0.0
        var seconds = 0.0

        /// - Parameter information: what `INFO` says.
        init(_ information: String) {
            for line in information.split(whereSeparator: \.isNewline) {
                let value = line.drop { $0 != ":" }.dropFirst()
                if line.hasPrefix("cmdstat_"), !line.hasPrefix("cmdstat_info") {
                    commands += Double(value.dropFirst("calls=".count).prefix { $0 != "," }) ?? 0
                } else if line.hasPrefix("aof_current_size:") {
                    bytes = Double(value) ?? 0
                } else if line.hasPrefix("used_cpu_user:") || line.hasPrefix("used_cpu_sys:") {
                    seconds += Double(value) ?? 0
                }
            }
        }
    }

    private static func cost(_ stand: Stand) async throws -> Cost {
        Cost(try await stand.run("INFO", "everything").text ?? "")
    }

    /// A call as the relay makes it, without its upstream.
    private static func call(_ id: String, _ key: ServingKey, _ group: ServingGroup, _ stand: Stand) async throws {
        let context = stand.context
        let now = Timestamp(microseconds: WallClock.microseconds)
        let session = SessionName(UInt64(7))
        context.sessions.bound(session, group.id) { _ in }
        let admission = try await context.admission.admit(
            id,
            key,
            group,
            amount: NanoUSD(18_324_000),
            now: now,
            ticket: nil,
            isLenient: false
        )
        guard case .admitted(let grant) = admission else { throw RedisError.unexpectedAnswer }
        let account = context.slots.of(AccountID(1))
        let answer = try await account.acquire(limit: 1000, rate: 0, model: "m", requestID: id, now: now)
        guard case .granted = answer else { throw RedisError.unexpectedAnswer }
        var record = UsageRecord(
            requestID: id,
            createdAt: now,
            user: key.user,
            key: key.id,
            group: group.id,
            account: AccountID(1),
            model: "claude-mock",
            upstreamModel: "claude-mock",
            dialect: .anthropic,
            isStream: false,
            status: 200
        )
        record.cost = NanoUSD(2_241_000)
        context.outbox.settle(id, key, record: record, charge: grant.charge, hasCheckpoint: false)
        account.release(requestID: id)
        context.traces.keep(id, [UInt8](repeating: 0x20, count: 800))
    }

    @Test("a plain call is 24 commands at most, and 2,200 bytes of Redis' log")
    func plain() async throws {
        var options = Stand.Options()
        options.isPersistent = true
        try await standing(options) { (stand) async throws in
            let key = ServingKey(stand.key)
            let group = try #require(stand.context.config?.group(stand.key.group))
            var best = Double.infinity
            var (commands, bytes) = (Double.infinity, Double.infinity)
            for round in 0..<10 {
                let before = try await Self.cost(stand)
                for start in stride(from: 0, to: Self.round, by: Self.atOnce) {
                    var left = Self.atOnce
                    for number in start..<start + Self.atOnce {
                        stand.loop.spawn {
                            do {
                                try await Self.call("req_\(100_000 + round * Self.round + number)", key, group, stand)
                            } catch {
                                Issue.record("\(error)")
                            }
                            left -= 1
                        }
                    }
                    await stand.loop.wait { left == 0 }
                }
                try await stand.quiesce()
                let after = try await Self.cost(stand)
                // The least of several rounds: what disturbs one only ever adds to it.
                best = min(best, (after.seconds - before.seconds) / Double(Self.round))
                commands = min(commands, (after.commands - before.commands) / Double(Self.round))
                bytes = min(bytes, (after.bytes - before.bytes) / Double(Self.round))
            }
            print("a call in Redis: \(commands) commands, \(bytes) bytes of log, \((best * 1e7).rounded() / 10) µs")
            #expect(commands <= Self.mostCommands)
            #expect(bytes > 0 && bytes <= Self.mostBytes)
        }
    }
}
