import Glibc
import Reactor
import Redis
import TestSupport
import Testing

/// Client CPU of a script call, all of it: command, system calls, answer. Run with
/// `TOLLGATE_BENCHMARKS=1 swift test -c release -Xswiftc -enable-testing --filter RedisBenchmarks`.
@Suite(
    "Redis benchmarks",
    .serialized,
    .enabled(if: getenv("TOLLGATE_BENCHMARKS") != nil, "set TOLLGATE_BENCHMARKS, in release mode")
)
struct RedisBenchmarks {
    @Test("CPU of the loop's thread for an EVALSHA with 2 keys and 10 arguments", arguments: [1, 16, 64, 128])
    func script(inFlight: Int) async throws {
        let redis = try await PrivateRedis.start()
        let nanoseconds = try await onLoop { loop in
            try await withRedis(loop, redis.url) { client in
                let script = RedisScript(name: "bench", source: "return {1, ARGV[1], ARGV[2]}")
                let arguments = (0..<10).map { "argument-\($0)" }
                _ = try await client.run(script, keys: [], arguments: ["a", "b"])
                let total = inFlight == 1 ? 20_000 : 300_000
                var started = 0
                var ended = 0
                let done = Promise<Void>()
                func next() {
                    started += 1
                    client.run(script, keys: ["{p07}:admit", "{p07}:usage"], arguments: arguments) { _ in
                        ended += 1
                        if ended == total { return done.succeed(()) }
                        if started < total { next() }
                    }
                }
                let before = threadCPU()
                for _ in 0..<inFlight { next() }
                try await done.wait()
                return Double(threadCPU() - before) / Double(total)
            }
        }
        print("EVALSHA, \(inFlight) in flight: \(Int(nanoseconds)) ns of client CPU")
    }
}

private func threadCPU() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
