import Reactor
package import Redis

/// What is sent together and answered together.
package struct RedisScriptCall {
    package let script: RedisScript
    package let keys: [String]
    package let arguments: [String]

    package init(_ script: RedisScript, keys: [String], arguments: [String]) {
        self.script = script
        self.keys = keys
        self.arguments = arguments
    }
}

extension RedisClient {
    /// Sends all commands in one write and waits for all answers, in their order.
    ///
    /// - Throws: the first `RedisError`, when every answer has come.
    package func sendAll(_ commands: [RedisCommand]) async throws -> [RedisValue] {
        try await gather(commands.count) { index, completion in send(commands[index], completion) }
    }

    /// Runs all scripts in one write and waits for all answers, in their order.
    ///
    /// - Throws: the first `RedisError`, when every answer has come.
    package func runAll(_ calls: [RedisScriptCall]) async throws -> [RedisValue] {
        try await gather(calls.count) { index, completion in
            run(calls[index].script, keys: calls[index].keys, arguments: calls[index].arguments, completion)
        }
    }

    private func gather(
        _ count: Int,
        _ start: (Int, @escaping (Result<RedisValue, RedisError>) -> Void) -> Void
    ) async throws -> [RedisValue] {
        guard count > 0 else { return [] }
        let answers = Answers(count)
        for index in 0..<count {
            start(index) { answers.take($0, at: index) }
        }
        return try await answers.promise.wait()
    }
}

private final class Answers {
    let promise = Promise<[RedisValue]>()
    private var values: [RedisValue]
    private var missing: Int
    private var error: RedisError?

    init(_ count: Int) {
        values = Array(repeating: .null, count: count)
        missing = count
    }

    func take(_ answer: Result<RedisValue, RedisError>, at index: Int) {
        switch answer {
        case .success(let value): values[index] = value
        case .failure(let failure): error = error ?? failure
        }
        missing -= 1
        guard missing == 0 else { return }
        if let error { promise.fail(error) } else { promise.succeed(values) }
    }
}
