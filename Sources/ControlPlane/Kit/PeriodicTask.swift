import Reactor
import Telemetry

/// Does something now and then as long as it lives, never twice at once. What fails is logged, and done by the next turn.
final class PeriodicTask {
    private let loop: EventLoop
    private let log: Log
    private let failure: StaticString
    private let body: () async throws -> Void
    private var timer: LoopTimer?
    private var isRunning = false

    /// - Parameters:
    ///   - first: how long until the first turn; an interval if left out.
    ///   - failure: what the log says of a turn that failed.
    init(
        _ loop: EventLoop,
        every interval: Duration,
        first: Duration? = nil,
        log: Log,
        failure: StaticString,
        _ body: @escaping () async throws -> Void
    ) {
        self.loop = loop
        self.log = log
        self.failure = failure
        self.body = body
        let timer = LoopTimer(loop) { [weak self] in self?.begin() }
        timer.start(after: first ?? interval, repeating: interval)
        self.timer = timer
    }

    private func begin() {
        guard !isRunning else { return }
        isRunning = true
        loop.spawn { [self] in
            do { try await body() } catch { log.warning(failure, ["error": "\(error)"]) }
            isRunning = false
        }
    }
}
