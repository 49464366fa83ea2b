package import Reactor

/// A Redis answer (RESP2).
package enum RedisValue: Equatable, Sendable {
    case null
    case integer(Int64)
    case string([UInt8])
    case status(String)
    case error(String)
    case array([RedisValue])
}

package enum RedisError: Error, Equatable {
    /// No connection now; the command was not sent.
    case unavailable
    /// Sent, but the connection broke before the answer: it may or may not have run.
    case connectionLost
    case timedOut
    /// Redis said no; its text, for logs.
    case server(String)
    case unexpectedAnswer
}

/// Where Redis is: `redis://user:password@host:port/db`, `rediss://` for TLS.
package struct RedisConfiguration: Sendable {
    package var host: String
    package var port: UInt16
    package var isTLS: Bool
    package var username: String?
    package var password: String?
    package var database: Int
    package var authorityFile: String?
    package var commandTimeout = Duration.seconds(2)
    package var connectTimeout = Duration.seconds(2)

    /// - Returns: nil when the text is not such a URL.
    package init?(url: String) { fatalError("unimplemented") }
}

/// A Lua script, sent by its SHA-1 and loaded where a server does not know it (NOSCRIPT).
package struct RedisScript: Sendable {
    package let name: String
    package let source: String
    package let sha1: String

    package init(name: String, source: String) { fatalError("unimplemented") }
}

/// Arguments of a command, gathered as bytes without a `String` each.
package struct RedisCommand: Sendable {
    package init(_ name: String) { fatalError("unimplemented") }
    /// A command with its arguments: `["SET", key, value]`.
    package init(_ arguments: [String]) { fatalError("unimplemented") }
    package mutating func add(_ text: String) { fatalError("unimplemented") }
    package mutating func add(_ bytes: [UInt8]) { fatalError("unimplemented") }
    package mutating func add(_ number: Int64) { fatalError("unimplemented") }
}

/// One pipelined connection of a loop: commands of one turn leave together, answers come in order. Reconnects by itself
/// with back-off and jitter.
package final class RedisClient {
    package init(_ loop: EventLoop, _ configuration: RedisConfiguration) { fatalError("unimplemented") }

    /// Connects, and keeps the connection until `close`. Commands sent before it is up fail with `unavailable`.
    package func start() { fatalError("unimplemented") }
    package func close() { fatalError("unimplemented") }

    package var isConnected: Bool { fatalError("unimplemented") }
    /// Waits for the connection, at most `timeout`; returns whether it is up.
    package func waitUntilConnected(_ timeout: Duration) async -> Bool { fatalError("unimplemented") }
    /// Called at each new connection (also the first), before any other command is sent.
    package var onConnect: (() -> Void)?
    package var onDisconnect: (() -> Void)?

    /// Sends a command; `completion` is called once, in a later turn. An error answer is `.failure(.server)`.
    package func send(_ command: RedisCommand, _ completion: @escaping (Result<RedisValue, RedisError>) -> Void) {
        fatalError("unimplemented")
    }

    package func send(_ command: RedisCommand) async throws -> RedisValue { fatalError("unimplemented") }

    /// Runs a script by its SHA; `arguments` are given after the keys.
    package func run(
        _ script: RedisScript, keys: [String], arguments: [String],
        _ completion: @escaping (Result<RedisValue, RedisError>) -> Void
    ) { fatalError("unimplemented") }

    package func run(_ script: RedisScript, keys: [String], arguments: [String]) async throws -> RedisValue {
        fatalError("unimplemented")
    }
}

/// A connection of its own that listens on channels; it reconnects and subscribes again by itself.
package final class RedisSubscription {
    package init(
        _ loop: EventLoop, _ configuration: RedisConfiguration, channels: [String],
        onMessage: @escaping (_ channel: String, _ message: [UInt8]) -> Void
    ) { fatalError("unimplemented") }

    package func start() { fatalError("unimplemented") }
    package func close() { fatalError("unimplemented") }
    /// Called each time the channels are subscribed (again): messages may have been missed before.
    package var onSubscribed: (() -> Void)?
}
