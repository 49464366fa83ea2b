import Domain
import Postgres
import Reactor
import Redis
package import Telemetry

/// Renews tokens ahead of their end.
///
/// Any number of control planes may run one: each pass is planned under an advisory lock, and what one has taken on the
/// others leave alone for a while.
package final class RefreshKeeper {
    private static let batch = 100
    /// Renewals at once.
    private static let lanes = 4
    /// How long what was taken on is left alone by others.
    private static let claim = Duration.seconds(60)

    private let runner: RefreshRunner
    private let parts: RefreshRunner.Parts
    private let interval: Duration
    private let log: Log
    private var timer: LoopTimer?
    private var isRunning = false
    private var isStopped = false

    package init(_ runner: RefreshRunner, _ parts: RefreshRunner.Parts, log: Log, interval: Duration = .seconds(10)) {
        self.runner = runner
        self.parts = parts
        self.log = log
        self.interval = interval
    }

    package func start() {
        let timer = LoopTimer(parts.loop) { [weak self] in self?.begin() }
        timer.start(after: .seconds(1), repeating: interval)
        self.timer = timer
    }

    /// What is under way goes on; nothing new begins.
    package func stop() {
        timer = nil
        isStopped = true
    }

    private func begin() {
        guard !isRunning, parts.redis.isConnected else { return }
        isRunning = true
        parts.loop.spawn { [self] in
            do {
                try await run()
            } catch {
                log.warning("tokens could not be looked through, will be tried again", ["error": "\(error)"])
            }
            isRunning = false
        }
    }

    /// One pass; returns when all that was due has been tried.
    ///
    /// - Throws: `PostgresError`.
    package func run() async throws {
        let due = try await plan()
        var next = due.makeIterator()
        let lanes = (0..<min(Self.lanes, due.count)).map { _ in Promise<Void>() }
        for lane in lanes {
            parts.loop.spawn { [self] in
                while !isStopped, let (account, version) = next.next() {
                    // That it may be tried again has been looked at; what says otherwise now is this pass' own claim.
                    _ = await runner.renew(account, newerThan: version, isPatient: true, within: .seconds(90))
                }
                lane.succeed(())
            }
        }
        for lane in lanes { try await lane.wait() }
    }

    private func plan() async throws -> [(account: AccountID, version: Int64)] {
        try await parts.pool.withTransaction { connection in
            let lock = try await connection.query(
                "select pg_try_advisory_xact_lock($1) as taken",
                [.integer(AdvisoryLock.refresh)]
            )
            guard try lock.first?.bool("taken") == true else { return [] }
            let now = Timestamp.now
            let candidates = try await TokenStore.candidates(connection)
            let due = RefreshPlanner.due(candidates.map(\.candidate), now: now).prefix(Self.batch)
            guard !due.isEmpty else { return [] }
            try await TokenStore.claim(Array(due), until: now + Self.claim, on: connection)
            let versions = Dictionary(candidates.map { ($0.candidate.account, $0.version) }) { $1 }
            return due.compactMap { account in versions[account].map { (account, $0) } }
        }
    }
}

extension AdvisoryLock {
    /// Held while renewals are planned.
    fileprivate static let refresh: Int64 = 0x7467_0020
}
