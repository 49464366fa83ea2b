import Domain
package import Postgres
package import Reactor
package import Telemetry

/// Notes that keys whose policy was exhausted work again, soon after the window is over.
package final class PolicyRecovery {
    private static let interval = Duration.seconds(5)
    private let loop: EventLoop
    private let pool: PostgresPool
    private let log: Log
    private var task: PeriodicTask?

    package init(_ loop: EventLoop, _ pool: PostgresPool, log: Log) {
        self.loop = loop
        self.pool = pool
        self.log = log
    }

    package func start() {
        task = PeriodicTask(
            loop,
            every: Self.interval,
            log: log,
            failure: "recovery of policies failed, will be tried again"
        ) { [pool] in
            try await KeyPolicyStore.recover(now: Timestamp.now, in: pool)
        }
    }

    package func stop() { task = nil }
}
