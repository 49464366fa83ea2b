import Reactor
import Redis
import TestSupport
import Testing

@Suite("Redis client against a peer that misbehaves")
struct RedisWireTests {
    @Test("the commands of one turn leave in one write, encoded as RESP")
    func oneWrite() async throws {
        try await onLoop { loop in
            var session: FakeRedis.Session?
            var readsAtGreeting = 0
            let server = try FakeRedis(loop) { peer in
                session = peer
                if FakeRedis.greet(peer) { return readsAtGreeting = peer.reads }
                peer.stream.write("+1\r\n+2\r\n+3\r\n")
            }
            defer { server.close() }
            try await withRedis(loop, server.url) { client in
                let done = Promise<Void>()
                let script = RedisScript(name: "s", source: "return 1")
                var set = RedisCommand(["SET", "é", ""])
                set.add(-1)
                client.send(set) { _ in }
                client.run(script, keys: ["k"], arguments: ["a", "b"]) { _ in }
                client.send(RedisCommand("TIME")) { _ in done.succeed(()) }
                try await done.wait()
                #expect(session?.reads == readsAtGreeting + 1)
                let expected =
                    "*4\r\n$3\r\nSET\r\n$2\r\né\r\n$0\r\n\r\n$2\r\n-1\r\n"
                    + "*6\r\n$7\r\nEVALSHA\r\n$40\r\n\(script.sha1)\r\n$1\r\n1\r\n$1\r\nk\r\n$1\r\na\r\n$1\r\nb\r\n"
                    + "*1\r\n$4\r\nTIME\r\n"
                #expect(session?.text == expected)
            }
        }
    }

    @Test(
        "nonsense, an answer too many or an end in mid-answer breaks the connection once, and the client reconnects",
        arguments: [
            ("HTTP/1.1 400 Bad Request\r\n\r\n", RedisError.unexpectedAnswer),
            ("$99999999999999999999\r\n", .unexpectedAnswer),
            ("*2\r\n+half", .connectionLost),
            ("", .connectionLost),
        ]
    )
    func breaks(answer: String, error: RedisError) async throws {
        try await onLoop { loop in
            let server = try FakeRedis(loop) { peer in
                if FakeRedis.greet(peer) { return }
                peer.stream.write(Array(answer.utf8))
                peer.stream.close()
            }
            defer { server.close() }
            try await withRedis(loop, server.url) { client in
                await #expect(throws: error) { _ = try await client.send(RedisCommand("GET")) }
                try #require(await client.waitUntilConnected(.seconds(5)))
                #expect(server.connections == 2)
            }
        }
    }

    @Test("an unasked answer ends the connection before it can shift the answers of others")
    func unasked() async throws {
        try await onLoop { loop in
            let server = try FakeRedis(loop) { peer in
                if FakeRedis.greet(peer) { return }
                peer.stream.write("+mine\r\n+unasked\r\n")
            }
            defer { server.close() }
            try await withRedis(loop, server.url) { client in
                let answer = try await client.send(RedisCommand("GET"))
                #expect(answer == .status("mine"))
                #expect(!client.isConnected)
            }
        }
    }

    @Test("a server that is loading is not connected to until it answers")
    func loading() async throws {
        try await onLoop { loop in
            var greetings = 0
            let server = try FakeRedis(loop) { peer in
                guard peer.text.hasSuffix("PING\r\n") else { return }
                greetings += 1
                if greetings < 3 {
                    peer.stream.write("+OK\r\n-LOADING Redis is loading the dataset in memory\r\n")
                } else {
                    _ = FakeRedis.greet(peer)
                }
            }
            defer { server.close() }
            try await withRedis(loop, server.url) { client in
                #expect(greetings == 3)
                #expect(client.isConnected)
            }
        }
    }

    @Test("a peer that accepts and says nothing is given up and tried again")
    func silentGreeting() async throws {
        try await onLoop { loop in
            let server = try FakeRedis(loop) { _ in }
            defer { server.close() }
            var configuration = try #require(RedisConfiguration(url: server.url))
            configuration.commandTimeout = .milliseconds(50)
            let client = RedisClient(loop, configuration)
            var failures: [any Error] = []
            let second = Promise<Void>()
            client.onFailure = { error in
                failures.append(error)
                if failures.count == 2 { second.succeed(()) }
            }
            client.start()
            try await second.wait()
            #expect(failures.map { $0 as? RedisError } == [.timedOut, .timedOut])
            #expect(server.connections == 2)
            client.close()
        }
    }

    @Test("a client may close itself from inside a completion")
    func closeInside() async throws {
        try await onLoop { loop in
            let server = try FakeRedis(loop) { peer in
                if FakeRedis.greet(peer) { return }
                peer.stream.write("+1\r\n+2\r\n+3\r\n")
            }
            defer { server.close() }
            try await withRedis(loop, server.url) { client in
                var results: [Result<RedisValue, RedisError>] = []
                let done = Promise<Void>()
                client.send(RedisCommand("A")) { result in
                    results.append(result)
                    client.close()
                    done.succeed(())
                }
                client.send(RedisCommand("B")) { results.append($0) }
                try await done.wait()
                #expect(results == [.success(.status("1")), .failure(.connectionLost)])
            }
        }
    }

    @Test("a released client fails what was in flight and leaves no connection")
    func released() async throws {
        try await onLoop { loop in
            let server = try FakeRedis(loop) { _ = FakeRedis.greet($0) }
            defer { server.close() }
            var client: RedisClient? = RedisClient(loop, try #require(RedisConfiguration(url: server.url)))
            client?.start()
            _ = await client?.waitUntilConnected(.seconds(5))
            var result: Result<RedisValue, RedisError>?
            client?.send(RedisCommand("A")) { result = $0 }
            await loop.sleep(.milliseconds(5))
            client = nil
            #expect(result == .failure(.connectionLost))
        }
    }
}
