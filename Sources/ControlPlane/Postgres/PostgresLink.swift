import COpenSSL
import CPQ
import Reactor

/// One libpq connection on the loop: sends without blocking, and suspends the task that waits for a result.
///
/// The socket is always watched for input, so a connection that the server ends is known to be broken at once, also
/// while nobody uses it.
final class PostgresLink {
    private let connection: OpaquePointer
    private var watch: SocketWatch?
    private var waiter: UnsafeContinuation<Void, Never>?
    private var timer: LoopTimer?
    private let loop: EventLoop
    /// libpq's TLS session, if it has one.
    private var ssl: OpaquePointer?
    private var isConnecting = true
    private var isFinished = false
    private var hasTimedOut = false

    /// Nothing more can be sent; results that arrived can still be read.
    private(set) var isBroken = false
    /// Called when the connection breaks while no task waits on it.
    var onIdleBreak: (() -> Void)?
    /// How long a result may take, from one sign of life to the next; zero: any time.
    var patience = Duration.zero

    // MARK: Connecting

    /// - Throws: `PostgresError.unavailable` with libpq's reason.
    static func connect(
        _ loop: EventLoop,
        to address: PostgresAddress,
        timeout: Duration
    ) async throws(PostgresError) -> PostgresLink {
        let deadline = MonotonicTime.now + timeout
        guard let connection = try await address.resolved(on: loop, timeout: timeout).startConnecting() else {
            throw .unavailable(detail: "out of memory")
        }
        let link = PostgresLink(loop, taking: connection)
        do throws(PostgresError) {
            try await link.finishConnecting(by: deadline)
        } catch {
            link.close()
            throw error
        }
        return link
    }

    private init(_ loop: EventLoop, taking connection: OpaquePointer) {
        self.loop = loop
        self.connection = connection
        timer = LoopTimer(loop) { [unowned self] in timedOut() }
        // Otherwise notices go to the process' standard error.
        PQsetNoticeProcessor(connection, { _, _ in }, nil)
    }

    deinit { close() }

    private func finishConnecting(by deadline: MonotonicTime) async throws(PostgresError) {
        guard PQstatus(connection) != CONNECTION_BAD else { throw .unavailable(detail: message) }
        var step = PGRES_POLLING_WRITING
        while step != PGRES_POLLING_OK {
            guard step != PGRES_POLLING_FAILED else { throw .unavailable(detail: message) }
            let remaining = deadline - .now
            guard remaining > .zero else { throw .unavailable(detail: "connecting took too long") }
            // libpq may close the socket and open another under the same number, which `epoll` would not notice: each
            // step has a watch of its own, closed before libpq acts.
            watch = try newWatch()
            watch?.watch(reading: step == PGRES_POLLING_READING, writing: step != PGRES_POLLING_READING)
            timer?.start(after: remaining)
            await suspend()
            timer?.stop()
            watch = nil
            guard !hasTimedOut else { throw .unavailable(detail: "connecting took too long") }
            step = PQconnectPoll(connection)
        }
        PQsetnonblocking(connection, 1)
        isConnecting = false
        ssl = PQsslStruct(connection, "OpenSSL").map { OpaquePointer($0) }
        let watch = try newWatch()
        watch.watch(reading: true, writing: false)
        self.watch = watch
    }

    private func newWatch() throws(PostgresError) -> SocketWatch {
        do throws(UVError) {
            return try SocketWatch(loop, PQsocket(connection)) { [unowned self] readable, writable in
                ready(readable: readable, writable: writable)
            }
        } catch {
            throw .unavailable(detail: "\(error)")
        }
    }

    // MARK: The socket

    private func ready(readable: Bool, writable: Bool) {
        guard !isConnecting else { return wake() }
        if readable { consume() }
        if !isBroken { flush() }
        if waiter != nil {
            wake()
        } else if isBroken {
            let notify = onIdleBreak
            onIdleBreak = nil
            notify?()
        } else if !isExchanging {
            // Reads what a server says unasked, notices and changed settings, out of libpq's buffer.
            _ = PQisBusy(connection)
        }
    }

    private func consume() {
        repeat {
            if PQconsumeInput(connection) == 0 { return markBroken() }
            // What OpenSSL has decrypted and libpq had no room for does not make the socket readable.
        } while ssl.map { SSL_pending($0) > 0 } ?? false
    }

    private func flush() {
        switch PQflush(connection) {
        case 0: watch?.watch(reading: true, writing: false)
        case 1: watch?.watch(reading: true, writing: true)
        default: markBroken()
        }
    }

    private func markBroken() {
        isBroken = true
        ssl = nil
        watch = nil
    }

    private func suspend() async {
        await withUnsafeContinuation { waiter = $0 }
    }

    private func wake() {
        let continuation = waiter
        waiter = nil
        continuation?.resume()
    }

    private func timedOut() {
        hasTimedOut = true
        wake()
    }

    /// Waits for the next sign of life.
    private func waitForSocket() async throws(PostgresError) {
        if patience > .zero { timer?.start(after: patience) }
        await suspend()
        if patience > .zero { timer?.stop() }
        if hasTimedOut {
            markBroken()
            throw .timedOut
        }
    }

    // MARK: Exchanges

    /// Between `begin` and `end` the connection belongs to one statement.
    private var isExchanging = false

    /// - Throws: `PostgresError.connectionLost` when the connection is broken already.
    func begin() throws(PostgresError) {
        precondition(!isExchanging, "two statements at once on one connection")
        guard !isBroken else { throw .connectionLost }
        isExchanging = true
    }

    func end() {
        isExchanging = false
        if PQstatus(connection) == CONNECTION_BAD { markBroken() }
    }

    /// Calls a `PQsend…` function.
    func send(_ call: (OpaquePointer) -> Int32) throws(PostgresError) {
        guard !isBroken else { throw .connectionLost }
        guard call(connection) == 1 else { throw failure(of: nil) }
    }

    /// The next result, owned by the caller, or nil at the end of a statement's results.
    func nextResult() async throws(PostgresError) -> OpaquePointer? {
        while true {
            if !isBroken { flush() }
            if isBroken {
                // What arrived before the end. Reading does not block then: libpq has closed the socket. It has not where
                // we gave the connection up.
                return PQstatus(connection) == CONNECTION_OK ? nil : PQgetResult(connection)
            }
            if PQisBusy(connection) == 0 { return PQgetResult(connection) }
            try await waitForSocket()
        }
    }

    /// Reads all results of one statement; the last one counts.
    ///
    /// - Throws: the first failure among them, when all are read.
    func finish() async throws(PostgresError) -> ResultTable? {
        var failure: PostgresError?
        var table: ResultTable?
        while let result = try await nextResult() {
            defer { PQclear(result) }
            switch PQresultStatus(result) {
            case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: table = ResultTable(copying: result)
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
                // Not asked for here, and not to be left without reading or writing it all.
                markBroken()
                throw .server(state: "0A000", message: "COPY in a plain statement", constraint: nil)
            default: failure = failure ?? self.failure(of: result)
            }
        }
        if let failure { throw failure }
        if isBroken { throw .connectionLost }
        return table
    }

    /// Waits until the kernel has taken everything written so far.
    func drain() async throws(PostgresError) {
        while !isBroken, PQflush(connection) == 1 {
            watch?.watch(reading: true, writing: true)
            try await waitForSocket()
        }
    }

    /// What a result, or else the connection, says went wrong.
    func failure(of result: OpaquePointer?) -> PostgresError {
        func field(_ code: Character) -> String? {
            guard let result, let value = code.asciiValue.flatMap({ PQresultErrorField(result, Int32($0)) }) else {
                return nil
            }
            return String(cString: value)
        }
        // The letters are PG_DIAG_SQLSTATE, PG_DIAG_MESSAGE_PRIMARY and PG_DIAG_CONSTRAINT_NAME.
        guard let state = field("C") else {
            guard PQstatus(connection) == CONNECTION_OK else { return .connectionLost }
            let text = result.flatMap { PQresultErrorMessage($0) }.map { String(cString: $0) } ?? message
            return .server(state: "", message: text, constraint: nil)
        }
        return switch state {
        // The server, or this backend, is being shut down.
        case "57P01", "57P02", "57P03": .connectionLost
        case "57014": .timedOut
        default: .server(state: state, message: field("M") ?? "", constraint: field("n"))
        }
    }

    /// Idle, in a transaction, or in one that failed.
    var transactionStatus: PGTransactionStatusType { PQtransactionStatus(connection) }

    private var message: String {
        let text = PQerrorMessage(connection).map { String(cString: $0) } ?? ""
        return text.split(separator: "\n").joined(separator: "; ")
    }

    // MARK: Ending

    func close() {
        guard !isFinished else { return }
        isFinished = true
        isBroken = true
        onIdleBreak = nil
        timer = nil
        // Before PQfinish closes the socket under it.
        watch = nil
        PQfinish(connection)
    }
}
