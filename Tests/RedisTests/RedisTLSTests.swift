import Reactor
import Redis
import TLS
import TestSupport
import Testing

@Suite(
    "Redis over TLS",
    .enabled(if: PrivateRedis.isAvailable, "\(PrivateRedis.requirement)")
)
struct RedisTLSTests {
    private func start(_ pair: TestCertificates.Pair) async throws -> PrivateRedis {
        var options = PrivateRedis.Options()
        options.password = "secret"
        options.certificate = (file: pair.certificate, keyFile: pair.key)
        return try await PrivateRedis.start(options)
    }

    @Test("commands, large values, scripts and a restart work as without TLS")
    func commands() async throws {
        let certificates = try TestCertificates.shared()
        let redis = try await start(certificates.server)
        try await onLoop { loop in
            try await withRedis(loop, redis.url, adjust: { $0.authorityFile = certificates.authority.certificate }) {
                client in
                let large = [UInt8](repeating: 0x5a, count: 3 << 20)
                var set = RedisCommand(["SET", "large"])
                set.add(large)
                _ = try await client.send(set)
                let value = try await client.send(RedisCommand(["GET", "large"]))
                #expect(value.bytes == large)

                var answers: [Int64] = []
                let done = Promise<Void>()
                let script = RedisScript(name: "count", source: "return redis.call('INCR', KEYS[1])")
                for _ in 0..<2_000 {
                    client.run(script, keys: ["n"], arguments: []) { result in
                        if case .success(.integer(let number)) = result { answers.append(number) }
                        if answers.count == 2_000 { done.succeed(()) }
                    }
                }
                try await done.wait()
                #expect(answers == Array(1...2_000))

                try await redis.restart()
                try #require(await client.waitUntilConnected(.seconds(10)))
                let answer = try await client.send(RedisCommand("PING"))
                #expect(answer == .status("PONG"))
            }
        }
    }

    @Test("messages arrive over TLS")
    func subscription() async throws {
        let certificates = try TestCertificates.shared()
        let redis = try await start(certificates.server)
        try await onLoop { loop in
            var configuration = try #require(RedisConfiguration(url: redis.url))
            configuration.authorityFile = certificates.authority.certificate
            let heard = Promise<String>()
            let subscribed = Promise<Void>()
            let subscription = RedisSubscription(loop, configuration, channels: ["news"]) { channel, message in
                heard.succeed(channel + ":" + String(decoding: message, as: UTF8.self))
            }
            subscription.onSubscribed = { subscribed.succeed(()) }
            subscription.start()
            defer { subscription.close() }
            try await subscribed.wait()
            let file = configuration.authorityFile
            try await withRedis(loop, redis.url, adjust: { $0.authorityFile = file }) { client in
                _ = try await client.send(RedisCommand(["PUBLISH", "news", "x"]))
            }
            let message = try await heard.wait()
            #expect(message == "news:x")
        }
    }

    @Test("a server with another name or an unknown signer gets no password")
    func distrust() async throws {
        let certificates = try TestCertificates.shared()
        let cases = [
            (certificates.stranger, Optional(certificates.authority.certificate)), (certificates.server, nil),
        ]
        for (pair, authority) in cases {
            let redis = try await start(pair)
            try await onLoop { loop in
                var configuration = try #require(RedisConfiguration(url: redis.url))
                configuration.authorityFile = authority
                // On a loaded machine the first failure would else be that.
                configuration.connectTimeout = .seconds(60)
                let client = RedisClient(loop, configuration)
                let failed = Promise<any Error>()
                client.onFailure = { failed.succeed($0) }
                client.start()
                let failure = try await failed.wait()
                #expect(failure is TLSError)
                #expect(!client.isConnected)
                client.close()
            }
        }
    }
}
