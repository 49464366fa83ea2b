import Domain
package import HTTPMessages
import Providers
import Reactor
package import Redis
import Snapshots
package import Telemetry

/// Reads in the heads of answers how much of accounts' windows is used, now and then, and tells the control plane.
///
/// Reading takes some microseconds, so each loop does it at most once every ten seconds for an account, and whenever a
/// window has ended of which it knows.
package final class WindowSampler {
    package static let interval = Duration.seconds(10)
    /// What has not changed is told again after this.
    private static let repetition = Duration.seconds(300)

    private struct Known {
        var due: MonotonicTime
        /// The first end of a window that is still to come: microseconds since 1970.
        var nextEnd = Int64.max
        var told: AccountWindows?
        var toldAt: MonotonicTime
        /// The end of the five hours that are running, as far as is known here.
        var sessionEnd: Int64 = 0
    }

    private let redis: RedisClient
    private let log: Log
    private let interval: Duration
    private var accounts: [AccountID: Known] = [:]
    /// Heads that were read.
    package private(set) var samples = 0

    package init(_ redis: RedisClient, log: Log, interval: Duration = WindowSampler.interval) {
        self.redis = redis
        self.log = log
        self.interval = interval
    }

    /// Looks at an answer's head, whatever its status.
    package func sample(_ head: HTTPResponseHead, _ account: ServingAccount) {
        let now = MonotonicTime.now
        if let known = accounts[account.id], now < known.due, WallClock.microseconds < known.nextEnd { return }
        read(head, account, now, Timestamp.now)
    }

    private func read(_ head: HTTPResponseHead, _ account: ServingAccount, _ now: MonotonicTime, _ time: Timestamp) {
        samples += 1
        let (windows, ignored) = account.provider.verdicts.windows(head.headers, now: time)
        for value in ignored {
            log.warning(
                "upstream value ignored",
                [
                    "account_id": .integer(account.id.raw), "field": .text(value.field), "value": .text(value.value),
                    "fault": .text(value.fault.rawValue),
                ]
            )
        }
        var known = accounts[account.id] ?? Known(due: now, toldAt: now)
        known.due = now + interval
        known.nextEnd = windows.ends.map(\.microseconds).filter { $0 > time.microseconds }.min() ?? .max
        defer { accounts[account.id] = known }

        // A success without a word of its window has begun one, unless one is known to run.
        let isSuccess = (200..<300).contains(head.status)
        var beginsSession = isSuccess && account.provider.hasSessionWindows && known.sessionEnd <= time.microseconds
        if let end = windows.fiveHours?.endsAt {
            known.sessionEnd = end.microseconds
            beginsSession = account.provider.hasSessionWindows
        } else if beginsSession {
            known.sessionEnd = SessionWindow.after(nil, known: nil, now: time).end.microseconds
        }
        let isNews = windows != known.told || known.toldAt + Self.repetition <= now
        guard beginsSession && windows.isEmpty || !windows.isEmpty && isNews else { return }
        known.told = windows
        known.toldAt = now
        tell(WindowsSample(account: account.id, at: time, windows: windows, countsForSession: beginsSession))
    }

    /// Samples are dispensable: where nobody takes events away, they leave the room to those that are not.
    private static let write = RedisScript(
        name: "sample",
        source: """
            if redis.call('XLEN', KEYS[1]) >= 20000 then return 0 end
            redis.call('XADD', KEYS[1], '*', unpack(ARGV))
            return 1
            """
    )

    private func tell(_ sample: WindowsSample) {
        redis.run(
            Self.write,
            keys: [RedisNames.accountEvents],
            arguments: sample.fields.flatMap { [$0.name, $0.value] }
        ) { _ in }
    }
}
