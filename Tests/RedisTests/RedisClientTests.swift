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
                #expect(answers.isEmpty, "a completion before send returned")
                try await done.wait()
                return answers
            }
        }
        #expect(answers == Array(1...10_000))
    }

    @Test("values of 10 MB and of any bytes come back as they went")
    func values() async throws {
        let redis = try await PrivateRedis.start()
        try await onLoop { loop in
            try await withRedis(loop, redis.url) { client in
                let large = [UInt8](unsafeUninitializedCapacity: 10 << 20) { bytes, count in
                    for index in 0..<10 << 20 { bytes[index] = UInt8(truncatingIfNeeded: index &* 31) }
                    count = 10 << 20
                }
                let odd = Array("\r\n$5\r\n*\0\u{ff}".utf8) + [0xff, 0xfe]
                for value in [large, odd, []] {
                    var set = RedisCommand("SET")
                    set.add("a key\r\n")
                    set.add(value)
                    #expect(try await client.send(set) == .status("OK"))
                    let answer = try await client.send(RedisCommand(["GET", "a key\r\n"]))
                    #expect(answer.bytes == value)
                }
                var add = RedisCommand(["INCRBY", "n"])
                add.add(Int64.min)
                #expect(try await client.send(add) == .integer(.min))
                #expect(try await client.send(RedisCommand(["GET", "n"])).integer == .min)
                #expect(try await client.send(RedisCommand(["GET", "nothing"])) == .null)
            }
        }
    }

    @Test("errors of the server come with their code, and only passing ones are transient")
    func serverErrors() async throws {
        let redis = try await PrivateRedis.start()
        try await onLoop { loop in
            try await withRedis(loop, redis.url) { client in
                _ = try await client.send(RedisCommand(["SET", "text", "x"]))
                let error = await #expect(throws: RedisError.self) {
                    _ = try await client.send(RedisCommand(["LPUSH", "text", "y"]))
                }
                #expect(error?.serverCode == "WRONGTYPE")
                #expect(error?.isTransient == false)
                #expect(RedisError.server("LOADING Redis is loading").isTransient)
            }
        }
    }

    @Test("the database of the URL is used, and the connection has its name")
    func database() async throws {
        let redis = try await PrivateRedis.start()
        try await onLoop { loop in
            try await withRedis(loop, redis.url + "/3") { client in
                let info = try await client.send(RedisCommand(["CLIENT", "INFO"])).text ?? ""
                #expect(info.contains("db=3 "))
                #expect(info.contains("name=tollgate "))
            }
        }
    }

    // MARK: Who may

    @Test("a wrong password is refused with Redis' reason, and tried again with growing pauses")
    func wrongPassword() async throws {
        var options = PrivateRedis.Options()
        options.password = "right"
        let redis = try await PrivateRedis.start(options)
        try await onLoop { loop in
            try await withRedis(loop, redis.url) { client in
                let answer = try await client.send(RedisCommand("PING"))
                #expect(answer == .status("PONG"))
            }
            for user in [":wrong@", ""] {
                let url = "redis://\(user)127.0.0.1:\(redis.port)"
                let client = RedisClient(loop, try #require(RedisConfiguration(url: url)))
                let start = MonotonicTime.now
                var failures = 0
                let fourth = Promise<Void>()
                client.onFailure = { _ in
                    failures += 1
                    if failures == 4 { fourth.succeed(()) }
                }
                client.start()
                try await fourth.wait()
                // The pauses are at least 25, 50 and 100 ms.
                #expect(start.elapsed >= .milliseconds(175))
                #expect(!client.isConnected)
                let code = (client.lastFailure as? RedisError)?.serverCode
                #expect(code == (user.isEmpty ? "NOAUTH" : "WRONGPASS"))
                client.close()
            }
        }
    }

    @Test("an ACL user gets in, also without PING, and is told what it may not do")
    func accessList() async throws {
        var options = PrivateRedis.Options()
        options.lines = ["user default off", "user worker on >se:cret ~own:* +get +set"]
        let redis = try await PrivateRedis.start(options)
        try await onLoop { loop in
            try await withRedis(loop, "redis://worker:se%3Acret@127.0.0.1:\(redis.port)") { client in
                let answer = try await client.send(RedisCommand(["SET", "own:a", "1"]))
                #expect(answer == .status("OK"))
                for forbidden in [["SET", "other", "1"], ["FLUSHALL"]] {
                    let error = await #expect(throws: RedisError.self) {
                        _ = try await client.send(RedisCommand(forbidden))
                    }
                    #expect(error?.serverCode == "NOPERM")
                }
            }
        }
    }

    // MARK: Scripts

    @Test("a script runs by its hash; a server that forgot it gets its source once, whatever is in flight")
    func scripts() async throws {
        let redis = try await PrivateRedis.start()
        try await onLoop { loop in
            try await withRedis(loop, redis.url) { client in
                let script = RedisScript(name: "add", source: "return redis.call('INCRBY', KEYS[1], ARGV[1])")
                let reference = try await client.send(RedisCommand(["SCRIPT", "LOAD", script.source]))
                #expect(reference.text == script.sha1)
                for round in 1...3 {
                    _ = try await client.send(RedisCommand(["SCRIPT", "FLUSH"]))
                    let done = Promise<Void>()
                    var sums: [Int64] = []
                    for _ in 0..<100 {
                        client.run(script, keys: ["sum"], arguments: ["2"]) { result in
                            if case .success(.integer(let sum)) = result { sums.append(sum) }
                            if sums.count == 100 { done.succeed(()) }
                        }
                    }
                    try await done.wait()
                    #expect(sums.last == Int64(200 * round))
                    #expect(Set(sums).count == 100)
                }
                let statistics = try await client.send(RedisCommand(["INFO", "commandstats"])).text ?? ""
                #expect(statistics.contains("cmdstat_script|load:calls=4,"))
            }
        }
    }

    @Test("a script error is the caller's; one that cannot be loaded is not tried for ever")
    func scriptErrors() async throws {
        let redis = try await PrivateRedis.start()
        try await onLoop { loop in
            try await withRedis(loop, redis.url) { client in
                let failing = RedisScript(name: "failing", source: "return redis.error_reply('OWN reason')")
                let own = await #expect(throws: RedisError.self) {
                    _ = try await client.run(failing, keys: [], arguments: [])
                }
                #expect(own?.serverCode == "OWN")
                let broken = RedisScript(name: "broken", source: "return (")
                let missing = await #expect(throws: RedisError.self) {
                    _ = try await client.run(broken, keys: [], arguments: [])
                }
                #expect(missing?.serverCode == "NOSCRIPT")
            }
        }
    }

    // MARK: Faults

    @Test("before there is a connection commands fail as unavailable, in a later turn")
    func unavailable() async throws {
        try await onLoop { loop in
            let client = RedisClient(loop, try #require(RedisConfiguration(url: "redis://127.0.0.1:1")))
            client.start()
            let promise = Promise<RedisError>()
            var hasReturned = false
            client.send(RedisCommand("PING")) { result in
                #expect(hasReturned)
                if case .failure(let error) = result { promise.succeed(error) }
            }
            hasReturned = true
            #expect(try await promise.wait() == .unavailable)
            #expect(await client.waitUntilConnected(.milliseconds(50)) == false)
            client.close()
        }
    }

    @Test("a server killed under load: every completion comes once, and the client comes back by itself")
    func killedUnderLoad() async throws {
        let redis = try await PrivateRedis.start()
        try await onLoop { loop in
            try await withRedis(loop, redis.url) { client in
                let script = RedisScript(name: "count", source: "return redis.call('INCR', KEYS[1])")
                var calls: [Int] = []
                var outcomes: [RedisError?: Int] = [:]
                var connections = 1
                var disconnections = 0
                client.onConnect = { connections += 1 }
                client.onDisconnect = { disconnections += 1 }
                var isSending = true
                func send() {
                    let number = calls.count
                    calls.append(0)
                    let completion: (Result<RedisValue, RedisError>) -> Void = { result in
                        calls[number] += 1
                        switch result {
                        case .success: outcomes[nil, default: 0] += 1
                        case .failure(let error): outcomes[error, default: 0] += 1
                        }
                        if isSending { send() }
                    }
                    if number.isMultiple(of: 2) {
                        client.run(script, keys: ["n"], arguments: [], completion)
                    } else {
                        client.send(RedisCommand(["SET", "k", "v"]), completion)
                    }
                }
                for _ in 0..<500 { send() }
                for _ in 0..<3 {
                    await loop.sleep(.milliseconds(50))
                    try await redis.restart()
                    try #require(await client.waitUntilConnected(.seconds(30)))
                }
                await loop.sleep(.milliseconds(50))
                isSending = false
                try #require(await client.waitUntilConnected(.seconds(30)))
                _ = try await client.send(RedisCommand("PING"))
                await loop.sleep(.milliseconds(5))
                #expect(calls.allSatisfy { $0 == 1 })
                #expect(outcomes[nil, default: 0] > 1000)
                #expect(outcomes[.connectionLost, default: 0] > 0)
                #expect(Set(outcomes.keys).subtracting([nil, .connectionLost, .unavailable]).isEmpty)
                #expect(connections == 4)
                #expect(disconnections == 3)
                // The new server knew no script.
                #expect(try await client.run(script, keys: ["m"], arguments: []) == .integer(1))
            }
        }
    }

    @Test("a frozen server: what is in flight times out, the client leaves it and returns when it runs again")
    func frozen() async throws {
        let redis = try await PrivateRedis.start()
        try await onLoop { loop in
            try await withRedis(loop, redis.url, adjust: { $0.commandTimeout = .seconds(2) }) { client in
                _ = try await client.send(RedisCommand(["SET", "k", "v"]))
                redis.freeze()
                let start = MonotonicTime.now
                await #expect(throws: RedisError.timedOut) { _ = try await client.send(RedisCommand(["GET", "k"])) }
                #expect(start.elapsed >= .seconds(2))
                #expect(!client.isConnected)
                await #expect(throws: RedisError.unavailable) { _ = try await client.send(RedisCommand(["GET", "k"])) }
                redis.thaw()
                try #require(await client.waitUntilConnected(.seconds(30)))
                #expect(try await client.send(RedisCommand(["GET", "k"])).text == "v")
            }
        }
    }

    @Test("the queue of a server that does not answer is bounded")
    func boundedQueue() async throws {
        let redis = try await PrivateRedis.start()
        try await onLoop { loop in
            try await withRedis(loop, redis.url) { client in
                redis.freeze()
                defer { redis.thaw() }
                var refused = 0
                var failed = 0
                let last = Promise<Void>()
                for number in 0...100_500 {
                    client.send(RedisCommand("PING")) { result in
                        if result == .failure(.unavailable) { refused += 1 } else { failed += 1 }
                        if number == 100_500 { last.succeed(()) }
                    }
                }
                try await last.wait()
                #expect(refused == 501)
                #expect(client.inFlight == 100_000)
                client.close()
                #expect(failed == 100_000)
            }
        }
    }

    @Test("so is its output in bytes, and room comes back with the server")
    func boundedOutput() async throws {
        let redis = try await PrivateRedis.start()
        try await onLoop { loop in
            try await withRedis(loop, redis.url) { client in
                redis.freeze()
                var outcomes: [Bool] = []
                let done = Promise<Void>()
                var set = RedisCommand(["SET", "large"])
                set.add([UInt8](repeating: 1, count: 8 << 20))
                for _ in 0..<20 {
                    client.send(set) { result in
                        outcomes.append(result == .success(.status("OK")))
                        if outcomes.count == 20 { done.succeed(()) }
                    }
                    // The kernel takes some.
                    await loop.sleep(.milliseconds(2))
                }
                redis.thaw()
                try await done.wait()
                let accepted = outcomes.count { $0 }
                #expect(accepted >= 8 && accepted < 20)
                let answer = try await client.send(set)
                #expect(answer == .status("OK"))
            }
        }
    }

    @Test("a master that became a replica is left and sought again")
    func becameReplica() async throws {
        let redis = try await PrivateRedis.start()
        try await onLoop { loop in
            try await withRedis(loop, redis.url) { client in
                try await withRedis(loop, redis.url) { other in
                    _ = try await other.send(RedisCommand(["REPLICAOF", "127.0.0.1", "1"]))
                    let error = await #expect(throws: RedisError.self) {
                        _ = try await client.send(RedisCommand(["SET", "k", "v"]))
                    }
                    #expect(error?.serverCode == "READONLY")
                    #expect(error?.isTransient == true)
                    #expect(!client.isConnected)
                    _ = try await other.send(RedisCommand(["REPLICAOF", "NO", "ONE"]))
                    try #require(await client.waitUntilConnected(.seconds(30)))
                    #expect(try await client.send(RedisCommand(["SET", "k", "v"])) == .status("OK"))
                }
            }
        }
    }

    @Test("what is sent in onConnect goes before everything else, at each connection")
    func firstCommand() async throws {
        let redis = try await PrivateRedis.start()
        try await onLoop { loop in
            let client = RedisClient(loop, try #require(RedisConfiguration(url: redis.url)))
            client.onConnect = { [unowned client] in client.send(RedisCommand(["SET", "first", "1"])) { _ in } }
            client.start()
            for _ in 0..<2 {
                try #require(await client.waitUntilConnected(.seconds(30)))
                #expect(try await client.send(RedisCommand(["GET", "first"])).text == "1")
                try await redis.kill()
                await #expect(throws: RedisError.self) { _ = try await client.send(RedisCommand("PING")) }
                try await redis.restart()
            }
            client.close()
            #expect(await client.waitUntilConnected(.seconds(1)) == false)
        }
    }
}
