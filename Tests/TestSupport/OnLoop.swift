package import Reactor

/// Runs `body` on a loop of its own thread and hands back its result.
///
/// - Throws: what `body` throws.
package func onLoop<Value: Sendable>(
    _ body: @escaping @Sendable (EventLoop) async throws -> Value
) async throws -> Value {
    let thread = try LoopThread(name: "test")
    let loop = thread.loop
    let result: Result<Value, any Error> = await withCheckedContinuation { continuation in
        loop.execute {
            loop.spawn {
                do {
                    continuation.resume(returning: .success(try await body(loop)))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
    }
    thread.stopAndJoin()
    return try result.get()
}
