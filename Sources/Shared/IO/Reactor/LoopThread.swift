import CUV

/// A thread that runs one loop.
package final class LoopThread {
    package let loop: EventLoop
    private var thread = uv_thread_t()

    /// Starts the thread; the loop runs until `stop`.
    package init(name: String) throws(UVError) {
        loop = try EventLoop(name: name)
        let code = uv_thread_create(
            &thread,
            { argument in
                guard let argument else { return }
                Unmanaged<EventLoop>.fromOpaque(argument).takeRetainedValue().run()
            },
            Unmanaged.passRetained(loop).toOpaque()
        )
        guard code == 0 else {
            Unmanaged.passUnretained(loop).release()
            throw UVError(call: "uv_thread_create", code: code)
        }
    }

    /// Stops the loop and waits for the thread to end.
    package func stopAndJoin() {
        loop.stop()
        join()
    }

    /// Waits for the thread to end, which something on it brings about.
    package func join() { uv_thread_join(&thread) }
}
