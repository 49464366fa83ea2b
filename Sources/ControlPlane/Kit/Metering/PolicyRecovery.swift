package import Postgres
package import Reactor
package import Telemetry
import Domain

/// Notes that keys whose policy was exhausted work again, soon after the window is over.
package final class PolicyRecovery {
    private static let interval = Duration.seconds(5)
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
        timer.start(after: Self.interval, repeating: Self.interval)
        self.timer = timer
    }

    package func stop() { timer = nil }

    private func begin() {
        guard !isRunning else { return }
        isRunning = true
        loop.spawn { [weak self] in
            guard let self else { return }
            do {
                try await KeyPolicyStore.recover(now: Timestamp(microseconds: WallClock.microseconds), in: pool)
            } catch {
                log.warning("recovery of policies failed, will be tried again", ["error": "\(error)"])
            }
            isRunning = false
        }
    }
}
