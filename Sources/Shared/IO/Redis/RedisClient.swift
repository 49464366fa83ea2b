package import Reactor

/// One pipelined connection of a loop: commands of one turn leave together, answers come in order. Reconnects by itself
/// with back-off and jitter.
package final class RedisClient {
    private enum State {
        /// Next: `connecting`, `closed`.
        case idle
        /// Next: `ready`, `waiting`, `closed`.
        case connecting(Attempt)
        /// Next: `waiting` (the connection ended), `closed`.
        case ready(RedisConnection)
        /// Until the timer fires. Next: `connecting`, `closed`.
        case waiting(LoopTimer)
        case closed
    }
    private var state = State.idle {
        didSet { if case .ready(let connection) = state { current = connection } else { current = nil } }
    }
    /// That of the state, which each command looks at.
    private var current: RedisConnection?
    private let loop: EventLoop
    private let connector: RedisConnector
    private var backoff = Backoff()
    private var connectionWaiters: [Promise<Void>] = []

    /// Refusals to deliver in the next turn: a caller must not be called back before `send` returns.
    private var refused: [RedisReplyHandler] = []
    private var refusalTimer: LoopTimer?

    /// Called at each new connection (also the first), before any other command is sent.
    package var onConnect: (() -> Void)?
    package var onDisconnect: (() -> Void)?
    /// Called when an attempt to connect failed or the connection broke, with the reason, for logs.
    package var onFailure: ((any Error) -> Void)?
    /// Why there is no connection, for readiness messages; nil while connected.
    package private(set) var lastFailure: (any Error)?

    package init(_ loop: EventLoop, _ configuration: RedisConfiguration) {
        self.loop = loop
        connector = RedisConnector(loop, configuration)
    }

    deinit { close() }

    // MARK: Connection

    /// Connects, and keeps the connection until `close`. Commands sent before it is up fail with `unavailable`.
    package func start() {
        guard case .idle = state else { return }
        connect()
    }

    /// Ends the connection for good. What is in flight fails before this returns.
    package func close() {
        let connection = current
        if case .connecting(let attempt) = state { attempt.cancel() }
        state = .closed
        connection?.close()
        wakeConnectionWaiters()
        deliverRefusals()
    }

    package var isConnected: Bool { current != nil }

    /// Commands sent and not answered yet.
    package var inFlight: Int { current?.inFlight ?? 0 }

    /// Waits for the connection, at most `timeout`; returns whether it is up.
    package func waitUntilConnected(_ timeout: Duration) async -> Bool {
        if case .closed = state { return false }
        guard !isConnected else { return true }
        let promise = Promise<Void>()
        connectionWaiters.append(promise)
        let timer = loop.schedule(after: timeout) { promise.succeed(()) }
        try? await promise.wait()
        timer.stop()
        connectionWaiters.removeAll { $0 === promise }
        return isConnected
    }

    private func connect() {
        let attempt = Attempt(self)
        state = .connecting(attempt)
        let connector = connector
        loop.spawn {
            do {
                let connection = try await connector.connect()
                guard let client = attempt.client else { return connection.close() }
                client.adopt(connection)
            } catch {
                attempt.client?.connectLater(error)
            }
        }
    }

    /// An attempt to connect, which does not keep its client: that ends it by closing.
    private final class Attempt {
        private(set) unowned(unsafe) var client: RedisClient?

        init(_ client: RedisClient) { self.client = client }

        func cancel() { client = nil }
    }

    private func adopt(_ connection: RedisConnection) {
        // It may have ended between its last answer and this task's turn.
        guard connection.isOpen else { return connectLater(RedisError.connectionLost) }
        state = .ready(connection)
        lastFailure = nil
        connection.onEnd = { [unowned self, unowned connection] error in ended(connection, error) }
        connection.onReadOnly = { [unowned self, unowned connection] in
            // A failover made it a replica. Answers already on their way still count.
            guard current === connection else { return }
            connection.retire()
            ended(connection, RedisError.server("READONLY"))
        }
        onConnect?()
        wakeConnectionWaiters()
    }

    private func ended(_ connection: RedisConnection, _ error: any Error) {
        backoff.connectionEnded(after: connection.openedAt.elapsed)
        connectLater(error)
        onDisconnect?()
    }

    private func connectLater(_ error: any Error) {
        lastFailure = error
        let delay = backoff.next(chance: .random(in: 0..<1))
        state = .waiting(loop.schedule(after: delay) { [unowned self] in connect() })
        onFailure?(error)
    }

    private func wakeConnectionWaiters() {
        for waiter in connectionWaiters { waiter.succeed(()) }
    }

    // MARK: Commands

    /// Sends a command; `completion` is called once, in a later turn. An error answer is `.failure(.server)`.
    package func send(_ command: RedisCommand, _ completion: @escaping (Result<RedisValue, RedisError>) -> Void) {
        guard let connection = current, connection.hasRoom else { return refuse { completion($0.result) } }
        connection.send(command, completion)
    }

    /// Sends a command of `count` arguments, its name the first, which `write` writes: at most so many bytes, each with
    /// `RedisWriter.overhead`.
    package func send(
        _ count: Int,
        atMost most: Int,
        _ write: (inout RedisWriter) -> Void,
        then handler: @escaping RedisReplyHandler
    ) {
        guard let connection = current, connection.hasRoom else { return refuse(handler) }
        connection.send(count, atMost: most, write, handler)
    }

    package func send(_ command: RedisCommand) async throws -> RedisValue {
        let result = await withUnsafeContinuation { continuation in
            send(command) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// Redis' own clock, in microseconds since 1970.
    ///
    /// - Throws: `RedisError`.
    package func time() async throws -> Int64 {
        guard let parts = try await send(RedisCommand(["TIME"])).array, parts.count == 2,
            let seconds = parts[0].integer, let microseconds = parts[1].integer
        else { throw RedisError.unexpectedAnswer }
        return seconds &* 1_000_000 &+ microseconds
    }

    /// Runs a script by its SHA; `arguments` are given after the keys.
    ///
    /// Where the server does not know it, it is loaded and the run repeated, which puts it behind commands that were
    /// sent after it.
    package func run(
        _ script: RedisScript,
        keys: [String],
        arguments: [String],
        _ completion: @escaping (Result<RedisValue, RedisError>) -> Void
    ) {
        run(PreparedRun(script, keys: keys, arguments: arguments), RedisArguments(), completion)
    }

    /// Runs a prepared script with what differs this time, which `write` writes: at most so many bytes, each argument
    /// with `RedisWriter.overhead`.
    package func run(
        _ run: PreparedRun,
        atMost most: Int,
        _ write: (inout RedisWriter) -> Void,
        then handler: @escaping RedisReplyHandler
    ) {
        guard let connection = current, connection.hasRoom else { return refuse(handler) }
        connection.run(run, atMost: most, write, handler)
    }

    /// Runs a prepared script with what differs this time.
    package func run(
        _ run: PreparedRun,
        _ rest: RedisArguments,
        _ completion: @escaping (Result<RedisValue, RedisError>) -> Void
    ) {
        self.run(run, atMost: rest.size) {
            $0.add(contentsOf: rest)
        } then: {
            completion($0.result)
        }
    }

    package func run(_ run: PreparedRun, _ rest: RedisArguments) async throws -> RedisValue {
        let result = await withUnsafeContinuation { continuation in
            self.run(run, rest) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    package func run(_ script: RedisScript, keys: [String], arguments: [String]) async throws -> RedisValue {
        let result = await withUnsafeContinuation { continuation in
            run(script, keys: keys, arguments: arguments) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// Has `writeGathered` called before what this turn sends leaves: for who puts into one command what came up during
    /// the turn. Without a connection it is called at once.
    package func gather(_ gatherer: any RedisGatherer) {
        guard let connection = current else { return gatherer.writeGathered() }
        connection.gather(gatherer)
    }

    private func refuse(_ handler: @escaping RedisReplyHandler) {
        refused.append(handler)
        if refusalTimer == nil { refusalTimer = LoopTimer(loop) { [unowned self] in deliverRefusals() } }
        // Not zero: libuv 1.44 runs a timer that is started again at 0 from its own callback for ever, and who tries again
        // at once when refused should not spin.
        if refused.count == 1 { refusalTimer?.start(after: .milliseconds(1)) }
    }

    private func deliverRefusals() {
        let handlers = refused
        refused = []
        for handler in handlers { handler(RedisReply(failure: .unavailable)) }
    }
}

/// Who sends at the end of a turn what came up during it.
package protocol RedisGatherer: AnyObject {
    func writeGathered()
}
