import Reactor
import Redis
import TestSupport
import Testing

@Suite(
    "Redis client against a real server",
    .enabled(if: PrivateRedis.isAvailable, "\(PrivateRedis.requirement)")
)
struct RedisClientTests {
    @Test("10,000 pipelined commands are answered once each, in order")
    func pipelining() async throws {
        let redis = try await PrivateRedis.start()
        let answers = try await onLoop { loop in
            try await withRedis(loop, redis.url) { client in
                var answers: [Int64] = []
                let done = Promise<Void>()
                for _ in 0..<10_000 {
                    client.send(RedisCommand(["INCR", "counter"])) { result in
                        if case .success(.integer(let number)) = result { answers.append(number) }
                        if answers.count == 10_000 { done.succeed(()) }
                    }
                }
                try await done.wait()
                return answers
            }
        }
        #expect(answers == Array(1...10_000))
    }
}
