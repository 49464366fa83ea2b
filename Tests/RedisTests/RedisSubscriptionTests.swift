import Reactor
import Redis
import TestSupport
import Testing

@Suite(
    "Redis subscription",
    .enabled(if: PrivateRedis.isAvailable, "\(PrivateRedis.requirement)")
)
struct RedisSubscriptionTests {
    /// What a subscription heard; `next` waits for more.
    final class Listener {
        private(set) var messages: [String] = []
        private(set) var subscriptions = 0
        private var waiting: Promise<Void>?

        func heard(_ channel: String, _ message: [UInt8]) {
            messages.append("\(channel): \(String(decoding: message, as: UTF8.self))")
            waiting?.succeed(())
        }
        func subscribed() {
            subscriptions += 1
            waiting?.succeed(())
        }
        func wait(until condition: (Listener) -> Bool) async throws {
            while !condition(self) {
                let promise = Promise<Void>()
                waiting = promise
                try await promise.wait()
            }
        }
    }

    private func subscribe(
        _ loop: EventLoop,
        _ url: String,
        to listener: Listener,
        keepAlive: Duration = .seconds(5)
    ) throws -> RedisSubscription {
        let subscription = RedisSubscription(
            loop,
            try #require(RedisConfiguration(url: url)),
            channels: ["news", "flags"],
            keepAlive: keepAlive
        ) { listener.heard($0, $1) }
        subscription.onSubscribed = { listener.subscribed() }
        subscription.start()
        return subscription
    }

    @Test("messages of all channels arrive in order; after a restart it subscribes again and says so")
    func resubscribes() async throws {
        let redis = try await PrivateRedis.start()
        try await onLoop { loop in
            let listener = Listener()
            let subscription = try subscribe(loop, redis.url, to: listener)
            defer { subscription.close() }
            for round in 1...3 {
                try await listener.wait { $0.subscriptions == round }
                #expect(subscription.isSubscribed)
                try await withRedis(loop, redis.url) { client in
                    for message in [["news", "a\(round)"], ["flags", ""], ["other", "x"], ["news", "b\(round)"]] {
                        _ = try await client.send(RedisCommand(["PUBLISH"] + message))
                    }
                }
                try await listener.wait { $0.messages.count == 3 * round }
                #expect(listener.messages.suffix(3) == ["news: a\(round)", "flags: ", "news: b\(round)"])
                if round < 3 { try await redis.restart() }
            }
        }
    }

    @Test("a frozen server is noticed by the unanswered PING")
    func frozen() async throws {
        let redis = try await PrivateRedis.start()
        try await onLoop { loop in
            let listener = Listener()
            let subscription = try subscribe(loop, redis.url, to: listener, keepAlive: .seconds(1))
            defer { subscription.close() }
            let failed = Promise<Void>()
            subscription.onFailure = { error in
                #expect(error as? RedisError == .timedOut)
                failed.succeed(())
            }
            try await listener.wait { $0.subscriptions == 1 }
            // Several PINGs are answered meanwhile.
            await loop.sleep(.milliseconds(2500))
            #expect(!failed.isFulfilled)
            redis.freeze()
            try await failed.wait()
            subscription.onFailure = nil
            redis.thaw()
            try await listener.wait { $0.subscriptions == 2 }
        }
    }

    @Test("a channel the user may not hear is a failure with Redis' reason")
    func forbidden() async throws {
        var options = PrivateRedis.Options()
        options.lines = ["user worker on >pw resetchannels &news +@all"]
        let redis = try await PrivateRedis.start(options)
        try await onLoop { loop in
            let listener = Listener()
            let subscription = try subscribe(loop, "redis://worker:pw@127.0.0.1:\(redis.port)", to: listener)
            defer { subscription.close() }
            let failed = Promise<String?>()
            subscription.onFailure = { failed.succeed(($0 as? RedisError)?.serverCode.map { String($0) }) }
            #expect(try await failed.wait() == "NOPERM")
            #expect(listener.subscriptions == 0)
        }
    }
}
