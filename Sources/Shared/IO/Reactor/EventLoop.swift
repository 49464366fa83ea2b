import CGatewayShims
package import CUV
import Glibc
import Synchronization

/// One thread's event loop (libuv), and the executor of every task that runs on that thread.
///
/// Objects bound to a loop are plain classes that are not `Sendable`: the compiler refuses to hand them to another
/// thread, and on their own thread they call each other without hops or locks. The two doors are `spawn`, which
/// starts a task on the loop from a callback, and `execute`, which brings work in from another thread.
///
/// A turn of the loop ends after its callbacks and the tasks they woke have run; that is when buffered output is
/// written, so everything written to one connection in a turn leaves in one system call.
package final class EventLoop: SerialExecutor, TaskExecutor, @unchecked Sendable {
    package let raw: UnsafeMutablePointer<uv_loop_t>
    package let name: String

    private let prepare = UnsafeMutablePointer<uv_prepare_t>.allocate(capacity: 1)
    private let check = UnsafeMutablePointer<uv_check_t>.allocate(capacity: 1)
    private let wakeup = UnsafeMutablePointer<uv_async_t>.allocate(capacity: 1)

    /// Shared by all readers of this loop: a read callback consumes its bytes before it returns.
    let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)

    // Touched on the loop's own thread only.
    var spareBuffers = SpareBuffers()
    private var jobs: [UnownedJob] = []
    private var runningJobs: [UnownedJob] = []
    private var turnEnds: [any TurnEndObserver] = []
    private var endingTurns: [any TurnEndObserver] = []
    /// Those that go before all others, whenever they were added.
    private var firstTurnEnds: [any TurnEndObserver] = []

    // Touched by any thread.
    private struct Inbox {
        var jobs: [UnownedJob] = []
        var calls: [@Sendable () -> Void] = []
        var isStopping = false
        var isEmpty: Bool { jobs.isEmpty && calls.isEmpty }
    }
    private let inbox = Mutex(Inbox())

    package init(name: String) throws(UVError) {
        self.name = name
        // Writing to a peer that is gone is an error of that write; left to itself the signal would end the process.
        signal(SIGPIPE, SIG_IGN)
        raw = .allocate(capacity: 1)
        try uv("uv_loop_init") { uv_loop_init(raw) }
        uv_prepare_init(raw, prepare)
        uv_check_init(raw, check)
        let me = Unmanaged.passUnretained(self).toOpaque()
        prepare.pointee.data = me
        check.pointee.data = me
        wakeup.pointee.data = me
        uv_prepare_start(prepare) { EventLoop.from($0?.pointee.data)?.endTurn() }
        uv_check_start(check) { EventLoop.from($0?.pointee.data)?.endTurn() }
        try uv("uv_async_init") {
            uv_async_init(raw, wakeup) { EventLoop.from($0?.pointee.data)?.takeInbox() }
        }
    }

    private static func from(_ data: UnsafeMutableRawPointer?) -> EventLoop? {
        data.map { Unmanaged<EventLoop>.fromOpaque($0).takeUnretainedValue() }
    }

    /// The loop that the calling thread runs, if any.
    package static var current: EventLoop? { from(tg_current_loop()) }

    package var isCurrent: Bool { tg_current_loop() == Unmanaged.passUnretained(self).toOpaque() }

    // MARK: Running

    /// Runs the loop on the calling thread until `stop` is called. A loop runs once.
    package func run() {
        tg_set_current_loop(Unmanaged.passUnretained(self).toOpaque())
        uv_run(raw, UV_RUN_DEFAULT)
        endTurn()
        tg_set_current_loop(nil)
    }

    /// Ends `run` after the current turn. Callable from any thread.
    package func stop() {
        inbox.withLock { $0.isStopping = true }
        uv_async_send(wakeup)
    }

    /// Runs `operation` as a task on this loop; its first part runs before this returns. Call on the loop's thread.
    ///
    /// The closure may capture the loop's own objects although they are not `Sendable`: it starts here and, by
    /// executor preference, stays here.
    package func spawn(_ operation: @escaping () async -> Void) {
        precondition(isCurrent, "spawn from another thread: use execute")
        nonisolated(unsafe) let operation = operation
        _ = Task.immediate(executorPreference: self) { await operation() }
    }

    /// Runs `operation` as a task on this loop when the present callback has returned. Call on the loop's thread.
    package func spawnSoon(_ operation: @escaping () async -> Void) {
        precondition(isCurrent, "spawn from another thread: use execute")
        nonisolated(unsafe) let operation = operation
        _ = Task(executorPreference: self) { await operation() }
    }

    /// Runs `body` on the loop's thread, soon. Callable from any thread.
    package func execute(_ body: @escaping @Sendable () -> Void) {
        let wasEmpty = inbox.withLock { inbox in
            defer { inbox.calls.append(body) }
            return inbox.isEmpty
        }
        if wasEmpty { uv_async_send(wakeup) }
    }

    /// Calls `observer.turnDidEnd()` once, when this turn's callbacks and tasks have run.
    package func notifyAtTurnEnd(_ observer: any TurnEndObserver) {
        if observer.endsTurnFirst { firstTurnEnds.append(observer) } else { turnEnds.append(observer) }
    }

    private func takeInbox() {
        let (remoteJobs, calls, isStopping) = inbox.withLock { inbox in
            defer {
                inbox.jobs.removeAll(keepingCapacity: true)
                inbox.calls.removeAll(keepingCapacity: true)
            }
            return (inbox.jobs, inbox.calls, inbox.isStopping)
        }
        jobs.append(contentsOf: remoteJobs)
        for call in calls { call() }
        if isStopping { uv_stop(raw) }
    }

    /// Runs woken tasks, then writes what they buffered, until neither makes more of the other.
    private func endTurn() {
        repeat {
            while !jobs.isEmpty {
                swap(&jobs, &runningJobs)
                for job in runningJobs {
                    job.runSynchronously(on: asUnownedTaskExecutor())
                }
                runningJobs.removeAll(keepingCapacity: true)
            }
            while !firstTurnEnds.isEmpty {
                swap(&firstTurnEnds, &endingTurns)
                for observer in endingTurns { observer.turnDidEnd() }
                endingTurns.removeAll(keepingCapacity: true)
            }
            swap(&turnEnds, &endingTurns)
            for observer in endingTurns { observer.turnDidEnd() }
            endingTurns.removeAll(keepingCapacity: true)
        } while !jobs.isEmpty || !turnEnds.isEmpty || !firstTurnEnds.isEmpty
    }

    // MARK: Executor

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isCurrent {
            jobs.append(job)
            return
        }
        let wasEmpty = inbox.withLock { inbox in
            defer { inbox.jobs.append(job) }
            return inbox.isEmpty
        }
        if wasEmpty { uv_async_send(wakeup) }
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    package func checkIsolated() { precondition(isCurrent, "not on the loop's thread") }

    package func isIsolatingCurrentContext() -> Bool? { isCurrent }
}

/// Something with work to do when a turn of the loop ends, such as a connection with output to write.
package protocol TurnEndObserver: AnyObject {
    /// Whether its output leaves before that of those which do not go first, also where these were written to earlier.
    var endsTurnFirst: Bool { get }
    func turnDidEnd()
}

extension TurnEndObserver {
    package var endsTurnFirst: Bool { false }
}
