import Reactor

/// Tasks that wait for something scarce, first come, first served. Who gave up is passed over.
struct WaitingLine<Value> {
    private var promises: [Promise<Value>] = []
    private var head = 0

    /// Those still waiting.
    var count: Int { promises[head...].count { !$0.isFulfilled } }

    mutating func join() -> Promise<Value> {
        let promise = Promise<Value>()
        promises.append(promise)
        return promise
    }

    mutating func next() -> Promise<Value>? {
        while head < promises.count {
            let promise = promises[head]
            head += 1
            if head > 64, head * 2 > promises.count {
                promises.removeFirst(head)
                head = 0
            }
            if !promise.isFulfilled { return promise }
        }
        return nil
    }

    mutating func failAll(_ error: any Error) {
        let waiting = promises[head...]
        promises = []
        head = 0
        for promise in waiting { promise.fail(error) }
    }
}
