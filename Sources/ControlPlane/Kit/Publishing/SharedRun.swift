package import Reactor

/// Runs a job one at a time; all who ask while it runs share the next run, which begins after they asked.
package final class SharedRun {
    private struct Waiter {
        let promise = Promise<Void>()
        let isUrgent: Bool
    }
    private let loop: EventLoop
    private let job: (_ isUrgent: Bool) async throws -> Void
    private var waiting: [Waiter] = []
    private var isRunning = false

    /// - Parameter job: is told whether anybody of those who share the run asked urgently.
    package init(_ loop: EventLoop, _ job: @escaping (_ isUrgent: Bool) async throws -> Void) {
        self.loop = loop
        self.job = job
    }

    /// Waits for a run that began after this call, and throws what it throws.
    package func run(isUrgent: Bool = false) async throws {
        let waiter = Waiter(isUrgent: isUrgent)
        waiting.append(waiter)
        if !isRunning {
            isRunning = true
            loop.spawn { await self.serve() }
        }
        try await waiter.promise.wait()
    }

    private func serve() async {
        while !waiting.isEmpty {
            let served = waiting
            waiting = []
            do {
                try await job(served.contains { $0.isUrgent })
                for waiter in served { waiter.promise.succeed(()) }
            } catch {
                for waiter in served { waiter.promise.fail(error) }
            }
        }
        isRunning = false
    }
}
