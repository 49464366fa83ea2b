package import Reactor

/// A connection of its own that listens on channels; it reconnects and subscribes again by itself.
package final class RedisSubscription {
    private enum State {
        /// Next: `connecting`, `closed`.
        case idle
        /// Next: `open`, `waiting`, `closed`.
        case connecting
        /// Next: `waiting` (the connection ended), `closed`.
        case open(RedisConnection)
        /// Until the timer fires. Next: `connecting`, `closed`.
        case waiting(LoopTimer)
        case closed
    }
    private var state = State.idle
    private let loop: EventLoop
    private let connector: RedisConnector
    private let channels: [String]
    private let onMessage: (_ channel: String, _ message: [UInt8]) -> Void
    private let keepAlive: Duration
    private var backoff = Backoff()
    private var confirmed = 0
    private var keepAliveTimer: LoopTimer?
    private var pingedAt: MonotonicTime?

    /// Called each time the channels are subscribed (again): messages may have been missed before.
    package var onSubscribed: (() -> Void)?
    /// Called when an attempt failed or the connection broke, with the reason, for logs.
    package var onFailure: ((any Error) -> Void)?

    /// - Parameter keepAlive: a PING goes out this often; a server silent from one to the next is taken for dead.
    package init(
        _ loop: EventLoop,
        _ configuration: RedisConfiguration,
        channels: [String],
        keepAlive: Duration = .seconds(5),
        onMessage: @escaping (_ channel: String, _ message: [UInt8]) -> Void
    ) {
        precondition(!channels.isEmpty, "a subscription without channels")
        self.loop = loop
        connector = RedisConnector(loop, configuration)
        self.channels = channels
        self.keepAlive = keepAlive
        self.onMessage = onMessage
    }

    deinit { close() }

    package var isSubscribed: Bool {
        if case .open = state { return confirmed == channels.count }
        return false
    }

    package func start() {
        guard case .idle = state else { return }
        connect()
    }

    package func close() {
        let last = state
        state = .closed
        keepAliveTimer = nil
        if case .open(let connection) = last { connection.close() }
    }

    private func connect() {
        state = .connecting
        let connector = connector
        loop.spawn { [weak self] in
            do {
                let connection = try await connector.connect()
                guard let self, case .connecting = state else { return connection.close() }
                subscribe(on: connection)
            } catch {
                guard let self, case .connecting = state else { return }
                connectLater(error)
            }
        }
    }

    private func subscribe(on connection: RedisConnection) {
        guard connection.isOpen else { return connectLater(RedisError.connectionLost) }
        state = .open(connection)
        confirmed = 0
        pingedAt = nil
        connection.onPush = { [weak self] in self?.take($0) }
        connection.onEnd = { [weak self, unowned connection] error in
            self?.backoff.connectionEnded(after: connection.openedAt.elapsed)
            self?.connectLater(error)
        }
        connection.push(RedisCommand(["SUBSCRIBE"] + channels))
        let timer = LoopTimer(loop) { [unowned self] in checkLife() }
        timer.start(after: keepAlive, repeating: keepAlive)
        keepAliveTimer = timer
    }

    private func connectLater(_ error: any Error) {
        keepAliveTimer = nil
        let delay = backoff.next(chance: .random(in: 0..<1))
        state = .waiting(loop.schedule(after: delay) { [unowned self] in connect() })
        onFailure?(error)
    }

    private func checkLife() {
        guard case .open(let connection) = state else { return }
        if let pingedAt, connection.lastRead < pingedAt { return drop(connection, RedisError.timedOut) }
        pingedAt = .now
        connection.push(RedisCommand("PING"))
    }

    private func drop(_ connection: RedisConnection, _ error: any Error) {
        backoff.connectionEnded(after: connection.openedAt.elapsed)
        connectLater(error)
        connection.close()
    }

    /// `["message", channel, bytes]`, `["subscribe", channel, count]`, `["pong", …]`, or an error.
    private func take(_ value: RedisValue) {
        guard case .open(let connection) = state else { return }
        if case .error(let text) = value {
            // Once subscribed, the only question left is PING, and a refusal is a sign of life too.
            if confirmed < channels.count { drop(connection, RedisError.server(text)) }
            return
        }
        guard case .array(let parts) = value, parts.count >= 2, let kind = parts[0].text else { return }
        switch kind {
        case "message":
            guard parts.count == 3, let channel = parts[1].text, let message = parts[2].bytes else { return }
            onMessage(channel, message)
        case "subscribe":
            confirmed += 1
            if confirmed == channels.count { onSubscribed?() }
        default:
            break
        }
    }
}
