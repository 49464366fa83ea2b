package import Reactor

/// Connections to Postgres on one loop: opened when wanted, lent to one task at a time, replaced when they break.
package final class PostgresPool {
    /// What a pool does when nothing else is said.
    package struct Options: Sendable {
        /// The server ends a statement after this time; zero: never.
        package var statementTimeout = Duration.seconds(30)
        package var connectTimeout = Duration.seconds(5)
        /// How long a borrower waits for a connection.
        package var borrowTimeout = Duration.seconds(10)

        package init() {}
    }

    private let loop: EventLoop
    private let address: Result<PostgresAddress, PostgresError>
    private let maximum: Int
    private let options: Options

    private var idle: [PostgresConnection] = []
    private var lent = 0
    private var opening = 0
    private var waiters = WaitingLine<PostgresConnection>()
    private var backoff = Backoff()
    private var retryTimer: LoopTimer?
    private var isClosed = false

    /// Called when an attempt to connect failed, with the reason, for logs.
    package var onFailure: ((PostgresError) -> Void)?

    /// - Parameter url: a libpq connection string or `postgres://` URL; a faulty one shows when a connection is wanted.
    package init(_ loop: EventLoop, url: String, maximum: Int = 8, options: Options = Options()) {
        self.loop = loop
        self.maximum = max(1, maximum)
        self.options = options
        address = Result { () throws(PostgresError) in try PostgresAddress(url: url) }
    }

    deinit { close() }

    // MARK: Lending

    /// Lends a connection; waiters are served in order.
    ///
    /// - Throws: `PostgresError.unavailable` when none could be had in time, and what `body` throws.
    package func withConnection<Value>(_ body: (PostgresConnection) async throws -> Value) async throws -> Value {
        let connection = try await borrow()
        let value: Value
        do {
            value = try await body(connection)
        } catch {
            await giveBack(connection)
            throw error
        }
        await giveBack(connection)
        return value
    }

    /// Lends a connection inside a transaction: committed when `body` returns, rolled back when it throws.
    ///
    /// - Parameter retries: how often `body` is run again when the transaction lost against another one (serialization
    ///   failure, deadlock).
    package func withTransaction<Value>(
        retries: Int = 0,
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        var conflictBackoff = Backoff(first: .milliseconds(10), longest: .milliseconds(200))
        var left = retries
        while true {
            do {
                return try await withConnection { try await $0.transaction(body) }
            } catch {
                guard left > 0, Self.isConflict(error) else { throw error }
                left -= 1
            }
            await loop.sleep(conflictBackoff.next(chance: .random(in: 0..<1)))
        }
    }

    private static func isConflict(_ error: any Error) -> Bool {
        if let error = error as? PostgresError { return error.isTransactionConflict }
        if let error = error as? PostgresBatchError { return error.error.isTransactionConflict }
        return false
    }

    package func query(_ sql: String, _ parameters: [PostgresParameter] = []) async throws -> [PostgresRow] {
        try await withConnection { try await $0.query(sql, parameters) }
    }

    @discardableResult
    package func execute(_ sql: String, _ parameters: [PostgresParameter] = []) async throws -> Int {
        try await withConnection { try await $0.execute(sql, parameters) }
    }

    /// Connections that exist or are being made.
    package var openConnections: Int { idle.count + lent + opening }

    /// Closes idle connections, and lent ones when they come back; who waits gets an error.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        retryTimer = nil
        for connection in idle { connection.close() }
        idle = []
        waiters.failAll(PostgresError.unavailable(detail: "the pool is closed"))
    }

    private func borrow() async throws -> PostgresConnection {
        guard !isClosed else { throw PostgresError.unavailable(detail: "the pool is closed") }
        // The latest one back first: its backend is warm, and the others may rest.
        if let connection = idle.popLast() {
            connection.onIdleBreak = nil
            lent += 1
            return connection
        }
        let promise = waiters.join()
        openAsNeeded()
        let timer = loop.schedule(after: options.borrowTimeout) {
            promise.fail(PostgresError.unavailable(detail: "no connection became free in time"))
        }
        defer { timer.stop() }
        return try await promise.wait()
    }

    private func giveBack(_ connection: PostgresConnection) async {
        await connection.tidy()
        lent -= 1
        offer(connection)
    }

    /// To the first in line, else to the idle ones.
    private func offer(_ connection: PostgresConnection) {
        guard !isClosed, connection.isUsable else {
            connection.close()
            return openAsNeeded()
        }
        if let promise = waiters.next() {
            lent += 1
            return promise.succeed(connection)
        }
        idle.append(connection)
        connection.onIdleBreak = { [weak self, unowned connection] in
            // The pool may have the last reference to it.
            let broken = connection
            self?.idle.removeAll { $0 === broken }
            broken.close()
        }
    }

    // MARK: Opening

    private func openAsNeeded() {
        guard !isClosed, retryTimer == nil else { return }
        while openConnections < maximum, opening < waiters.count {
            opening += 1
            let (loop, address, options) = (loop, address, options)
            loop.spawn { [weak self] in
                do {
                    let link = try await PostgresLink.connect(loop, to: address.get(), timeout: options.connectTimeout)
                    let connection = try await PostgresConnection(link, statementTimeout: options.statementTimeout)
                    guard let self else { return connection.close() }
                    opened(connection)
                } catch {
                    self?.openingFailed(error as? PostgresError ?? .unavailable(detail: "\(error)"))
                }
            }
        }
    }

    private func opened(_ connection: PostgresConnection) {
        opening -= 1
        backoff = Backoff()
        offer(connection)
    }

    private func openingFailed(_ error: PostgresError) {
        opening -= 1
        onFailure?(error)
        // With connections at work those in line will be served; without any, waiting longer would not help them.
        if lent == 0, idle.isEmpty, opening == 0 {
            if case .unavailable = error {
                waiters.failAll(error)
            } else {
                waiters.failAll(PostgresError.unavailable(detail: "\(error)"))
            }
        }
        guard !isClosed, retryTimer == nil else { return }
        retryTimer = loop.schedule(after: backoff.next(chance: .random(in: 0..<1))) { [unowned self] in
            retryTimer = nil
            openAsNeeded()
        }
    }
}
