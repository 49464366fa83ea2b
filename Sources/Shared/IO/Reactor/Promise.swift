/// A value that arrives once, awaited by at most one task. Bound to one loop.
package final class Promise<Value> {
    private enum State {
        case empty
        case waiting(UnsafeContinuation<Void, Never>)
        case full(Result<Value, any Error>)
    }
    private var state = State.empty

    package init() {}

    package var isFulfilled: Bool {
        if case .full = state { return true }
        return false
    }

    /// Delivers the result. The first one counts; later ones are ignored, because a timeout and an answer can race.
    package func fulfil(_ result: Result<Value, any Error>) {
        switch state {
        case .empty:
            state = .full(result)
        case .waiting(let continuation):
            state = .full(result)
            continuation.resume()
        case .full:
            break
        }
    }

    package func succeed(_ value: Value) { fulfil(.success(value)) }
    package func fail(_ error: any Error) { fulfil(.failure(error)) }

    /// Waits for the result. At most one task waits at a time; the result can be read again afterwards.
    package func wait() async throws -> Value {
        if case .empty = state {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                // The task may have been suspended between the look above and here, and the result have come meanwhile.
                if case .full = state { continuation.resume() } else { state = .waiting(continuation) }
            }
        }
        guard case .full(let result) = state else { preconditionFailure("two tasks wait for one promise") }
        return try result.get()
    }
}
