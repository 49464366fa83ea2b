import Glibc
import Reactor

extension LoopThread {
    /// Runs a task on the loop and waits for its end.
    func finish(_ body: @escaping @Sendable () async -> Void) {
        var done = sem_t()
        sem_init(&done, 0, 0)
        withUnsafeMutablePointer(to: &done) { done in
            nonisolated(unsafe) let done = done
            loop.execute { [loop] in
                loop.spawn {
                    await body()
                    sem_post(done)
                }
            }
            while sem_wait(done) != 0 {}
        }
        sem_destroy(&done)
    }
}
