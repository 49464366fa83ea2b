package import Postgres
package import Reactor
package import Telemetry

/// Forgets request ids that were settled so long ago that no worker can send them again.
package final class SettledExpiry {
    private static let interval = Duration.seconds(3600)
    private static let batch = 5000

    private let loop: EventLoop
    private let pool: PostgresPool
    private let log: Log
    private var timer: LoopTimer?
    private var isRunning = false

    package init(_ loop: EventLoop, _ pool: PostgresPool, log: Log) {
        self.loop = loop
        self.pool = pool
        self.log = log
    }

    package func start() {
        let timer = LoopTimer(loop) { [weak self] in self?.begin() }
        timer.start(after: .seconds(60), repeating: Self.interval)
        self.timer = timer
    }

    package func stop() { timer = nil }

    private func begin() {
        guard !isRunning else { return }
        isRunning = true
        loop.spawn { [self] in
            do {
                try await run()
            } catch {
                log.warning("old settlements could not be removed, will be tried again", ["error": "\(error)"])
            }
            isRunning = false
        }
    }

    /// Removes them in batches, so that no lock is held for long. A worker may resend a record as long as its journal
    /// is kept; 45 days are beyond that.
    ///
    /// - Throws: `PostgresError`.
    package func run() async throws {
        var removed = Self.batch
        while removed == Self.batch {
            removed = try await pool.execute(
                """
                delete from settled where request_id in (
                    select request_id from settled where settled_at < now() - interval '45 days'
                    limit \(Self.batch) for update skip locked
                )
                """
            )
        }
    }
}
