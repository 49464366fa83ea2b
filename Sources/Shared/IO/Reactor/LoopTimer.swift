import CUV

/// A timer on a loop. It keeps nothing alive: when it is released, it no longer fires.
package final class LoopTimer {
    private let handle = UnsafeMutablePointer<uv_timer_t>.allocate(capacity: 1)
    private let action: () -> Void

    package init(_ loop: EventLoop, _ action: @escaping () -> Void) {
        self.action = action
        uv_timer_init(loop.raw, handle)
        handle.pointee.data = Unmanaged.passUnretained(self).toOpaque()
    }

    deinit {
        handle.pointee.data = nil
        uv_close(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)) { $0?.deallocate() }
    }

    /// Starts the timer, or starts it over. Times are rounded up to milliseconds.
    package func start(after delay: Duration, repeating interval: Duration = .zero) {
        uv_timer_start(
            handle,
            { handle in
                guard let data = handle?.pointee.data else { return }
                // Retained while it runs: the action may drop the last reference to its own timer.
                let timer = Unmanaged<LoopTimer>.fromOpaque(data).takeUnretainedValue()
                withExtendedLifetime(timer) { timer.action() }
            },
            delay.timeoutMilliseconds,
            interval.timeoutMilliseconds
        )
    }

    package func stop() { uv_timer_stop(handle) }

    package var isActive: Bool {
        uv_is_active(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)) != 0
    }
}

extension EventLoop {
    /// Calls `action` once after `delay`, unless the returned timer is released or stopped before.
    package func schedule(after delay: Duration, _ action: @escaping () -> Void) -> LoopTimer {
        let timer = LoopTimer(self, action)
        timer.start(after: delay)
        return timer
    }

    /// Suspends the calling task, which must run on this loop.
    package func sleep(_ delay: Duration) async {
        var timer: LoopTimer?
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            timer = schedule(after: delay) { continuation.resume() }
        }
        timer?.stop()
    }
}
