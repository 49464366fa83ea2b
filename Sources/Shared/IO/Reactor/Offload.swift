import CUV

extension EventLoop {
    /// Runs blocking or long work on libuv's thread pool; the calling task, which must run on this loop, waits.
    package func offload<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
        let job = OffloadedJob(work)
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            job.continuation = continuation
            let request = UnsafeMutablePointer<uv_work_t>.allocate(capacity: 1)
            request.pointee.data = Unmanaged.passRetained(job as AnyOffloadedJob).toOpaque()
            let code = uv_queue_work(
                raw,
                request,
                { request in
                    guard let data = request?.pointee.data else { return }
                    Unmanaged<AnyOffloadedJob>.fromOpaque(data).takeUnretainedValue().run()
                },
                { request, _ in
                    guard let request, let data = request.pointee.data else { return }
                    let job = Unmanaged<AnyOffloadedJob>.fromOpaque(data).takeRetainedValue()
                    request.deallocate()
                    job.continuation?.resume()
                }
            )
            // Only a loop that is shutting down refuses work; doing it here keeps the promise to answer.
            if code < 0 {
                request.deallocate()
                Unmanaged.passUnretained(job as AnyOffloadedJob).release()
                job.run()
                continuation.resume()
            }
        }
        guard let result = job.result else { preconditionFailure("offloaded work ended without a result") }
        return result
    }
}

private class AnyOffloadedJob {
    var continuation: UnsafeContinuation<Void, Never>?
    func run() {}
}

private final class OffloadedJob<Value: Sendable>: AnyOffloadedJob {
    private let work: @Sendable () -> Value
    private(set) var result: Value?

    init(_ work: @escaping @Sendable () -> Value) { self.work = work }

    override func run() { result = work() }
}
