import CPQ
import Reactor

/// A connection on loan from the pool. One statement at a time.
package final class PostgresConnection {
    private let link: PostgresLink
    private var statements = StatementCache()
    private let statementTimeout: Duration
    private var currentTimeout: Duration
    private var isDiscarded = false

    /// The server ends a statement that takes too long; only if it does not either, the connection is given up.
    private static let graceForServer = Duration.seconds(5)

    /// Sets the session up.
    init(_ link: PostgresLink, statementTimeout: Duration) async throws(PostgresError) {
        self.link = link
        self.statementTimeout = statementTimeout
        currentTimeout = statementTimeout
        link.patience = .seconds(10)
        try await runSimple(
            "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET bytea_output = 'hex'; "
                + "SET client_min_messages = 'warning'"
        )
        try await applyTimeout(statementTimeout)
    }

    // MARK: Statements

    /// Runs one statement, prepared on first use and kept by its text.
    ///
    /// - Throws: `PostgresError`.
    package func query(_ sql: String, _ parameters: [PostgresParameter] = []) async throws -> [PostgresRow] {
        try await run(sql, parameters)?.rows ?? []
    }

    /// Runs a statement without a result; returns the number of rows it touched.
    @discardableResult
    package func execute(_ sql: String, _ parameters: [PostgresParameter] = []) async throws -> Int {
        try await run(sql, parameters)?.touchedRows ?? 0
    }

    private func run(_ sql: String, _ parameters: [PostgresParameter]) async throws(PostgresError) -> ResultTable? {
        do throws(PostgresError) {
            return try await runOnce(sql, parameters)
        } catch {
            // A changed table or `DEALLOCATE ALL` spoils a prepared statement. Prepare it anew, but inside a transaction
            // leave the rerun to the caller: the transaction has failed.
            guard Self.isStalePlan(error) else { throw error }
            statements.remove(sql)
            guard link.transactionStatus == PQTRANS_IDLE else { throw error }
        }
        return try await runOnce(sql, parameters)
    }

    private static func isStalePlan(_ error: PostgresError) -> Bool {
        guard case .server(let state, let message, _) = error else { return false }
        return state == "26000" || state == "0A000" && message.hasPrefix("cached plan")
    }

    private func runOnce(_ sql: String, _ parameters: [PostgresParameter]) async throws(PostgresError) -> ResultTable? {
        let encoded = try EncodedParameters(parameters)
        try link.begin()
        defer { link.end() }
        let name = try await prepare(sql)
        try send(name, encoded)
        return try await link.finish()
    }

    private func send(_ name: String, _ parameters: EncodedParameters) throws(PostgresError) {
        try link.send { connection in
            parameters.withPointers { values, lengths, formats in
                PQsendQueryPrepared(connection, name, Int32(clamping: parameters.count), values, lengths, formats, 0)
            }
        }
    }

    private func prepare(_ sql: String) async throws(PostgresError) -> String {
        if let name = statements.find(sql) { return name }
        if let oldest = statements.oldest() {
            try link.send { PQsendQuery($0, "DEALLOCATE \(oldest.name)") }
            _ = try await link.finish()
            statements.remove(oldest.sql)
        }
        let name = statements.newName()
        try link.send { PQsendPrepare($0, name, sql, 0, nil) }
        _ = try await link.finish()
        statements.insert(sql, name: name)
        return name
    }

    /// Runs several statements without parameters, separated by semicolons (simple protocol): migrations.
    ///
    /// Outside a transaction they are one: a failure undoes those before it.
    package func runScript(_ sql: String) async throws { try await runSimple(sql) }

    @discardableResult
    private func runSimple(_ sql: String) async throws(PostgresError) -> ResultTable? {
        guard !sql.utf8.contains(0) else { throw .nulInText }
        try link.begin()
        defer { link.end() }
        try link.send { PQsendQuery($0, sql) }
        return try await link.finish()
    }

    // MARK: Many rows

    /// Runs the same statement for each set of parameters in pipeline mode: one round trip. Returns touched rows each.
    ///
    /// All or nothing: outside a transaction the batch is one of its own.
    ///
    /// - Throws: `PostgresBatchError` when a set is refused; `PostgresError` when the connection fails.
    @discardableResult
    package func executeBatch(_ sql: String, _ parameterSets: [[PostgresParameter]]) async throws -> [Int] {
        guard !parameterSets.isEmpty else { return [] }
        // Before anything is sent: half a batch could not be taken back.
        if let index = parameterSets.firstIndex(where: { $0.contains(where: \.hasNul) }) {
            throw PostgresBatchError(index: index, error: .nulInText)
        }
        try link.begin()
        defer { link.end() }
        let name = try await prepare(sql)
        try link.send { PQenterPipelineMode($0) }
        do {
            for set in parameterSets { try send(name, EncodedParameters(set)) }
            try link.send { PQpipelineSync($0) }
            let touched = try await batchResults(parameterSets.count)
            try link.send { PQexitPipelineMode($0) }
            return touched
        } catch let error as PostgresBatchError {
            try link.send { PQexitPipelineMode($0) }
            if Self.isStalePlan(error.error) { statements.remove(sql) }
            throw error
        } catch {
            // Left in pipeline mode, somewhere in the middle.
            discardAfterUse()
            throw error
        }
    }

    /// A result and an end for each set, then the synchronisation point.
    private func batchResults(_ count: Int) async throws -> [Int] {
        var touched: [Int] = []
        touched.reserveCapacity(count)
        var refusal: PostgresBatchError?
        for index in 0..<count {
            while let result = try await link.nextResult() {
                defer { PQclear(result) }
                switch PQresultStatus(result) {
                case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
                    touched.append(PQcmdTuples(result).flatMap { Int(String(cString: $0)) } ?? 0)
                case PGRES_PIPELINE_ABORTED:
                    break
                default:
                    let error = link.failure(of: result)
                    if case .server = error {
                        refusal = refusal ?? PostgresBatchError(index: index, error: error)
                    } else {
                        throw error
                    }
                }
            }
            guard !link.isBroken else { throw PostgresError.connectionLost }
        }
        guard let last = try await link.nextResult() else { throw PostgresError.connectionLost }
        let isSynchronised = PQresultStatus(last) == PGRES_PIPELINE_SYNC
        PQclear(last)
        guard isSynchronised else { throw PostgresError.connectionLost }
        if let refusal { throw refusal }
        return touched
    }

    /// Loads rows by `COPY table (columns) FROM STDIN` in binary format: all or none.
    ///
    /// - Parameters:
    ///   - table: a name, or `schema.name`; quoted here, like the columns.
    ///   - rows: a value for each column, in the columns' order.
    package func copy(into table: String, columns: [String], _ rows: CopyRows) async throws {
        let target = table.split(separator: ".").map { Self.quoted($0) }.joined(separator: ".")
        let list = columns.map { Self.quoted($0[...]) }.joined(separator: ", ")
        try link.begin()
        defer { link.end() }
        try link.send { PQsendQuery($0, "COPY \(target) (\(list)) FROM STDIN (FORMAT binary)") }
        guard let opening = try await link.nextResult() else { throw PostgresError.connectionLost }
        let isReady = PQresultStatus(opening) == PGRES_COPY_IN
        let refusal = isReady ? nil : link.failure(of: opening)
        PQclear(opening)
        if let refusal {
            _ = try? await link.finish()
            throw refusal
        }
        do {
            try await sendBytes(rows.finished)
        } catch PostgresError.timedOut {
            throw PostgresError.timedOut
        } catch {
            // The server has ended the COPY; its reason follows.
        }
        _ = try await link.finish()
    }

    private static let copyChunk = 64 * 1024

    private func sendBytes(_ bytes: [UInt8]) async throws(PostgresError) {
        var start = 0
        while start < bytes.count {
            let end = min(start + Self.copyChunk, bytes.count)
            try await sendChunk(bytes[start..<end])
            start = end
        }
        try link.send { PQputCopyEnd($0, nil) }
    }

    private func sendChunk(_ chunk: ArraySlice<UInt8>) async throws(PostgresError) {
        try link.send { connection in
            chunk.withUnsafeBytes { bytes in
                PQputCopyData(
                    connection,
                    bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
                    Int32(clamping: bytes.count)
                )
            }
        }
        // libpq would buffer without bound.
        try await link.drain()
    }

    private static func quoted(_ name: Substring) -> String {
        "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }

    // MARK: The session

    /// Changes how long a statement may take, until the connection is given back; zero: any time. Not in a transaction.
    package func setStatementTimeout(_ timeout: Duration) async throws { try await applyTimeout(timeout) }

    private func applyTimeout(_ timeout: Duration) async throws(PostgresError) {
        try await runSimple("SET statement_timeout = \(timeout.timeoutMilliseconds)")
        currentTimeout = timeout
        link.patience = timeout > .zero ? timeout + Self.graceForServer : .zero
    }

    /// Has the pool close the connection instead of lending it again: for session locks and other lasting changes.
    package func discardAfterUse() { isDiscarded = true }

    /// Inside a transaction, or in one that failed.
    var isInTransaction: Bool { link.transactionStatus != PQTRANS_IDLE }
    var isUsable: Bool { !isDiscarded && !link.isBroken }

    /// Begins, runs `body` and commits; rolls back when it throws.
    package func transaction<Value>(_ body: (PostgresConnection) async throws -> Value) async throws -> Value {
        try await runSimple("BEGIN")
        let value: Value
        do {
            value = try await body(self)
        } catch {
            await rollBack()
            throw error
        }
        // COMMIT of a failed transaction is answered with a cheerful ROLLBACK.
        guard link.transactionStatus == PQTRANS_INTRANS else {
            await rollBack()
            throw PostgresError.server(
                state: "25P02",
                message: "a statement of the transaction failed, so it was rolled back",
                constraint: nil
            )
        }
        do {
            try await runSimple("COMMIT")
        } catch {
            await rollBack()
            throw error
        }
        return value
    }

    private func rollBack() async {
        // Also on a connection that is to be discarded: its borrower goes on with it.
        guard !link.isBroken, isInTransaction else { return }
        do { try await runSimple("ROLLBACK") } catch { discardAfterUse() }
    }

    /// Undoes what a borrower left behind. Afterwards `isUsable` says whether the connection can be lent again.
    func tidy() async {
        await rollBack()
        guard isUsable, currentTimeout != statementTimeout else { return }
        do { try await applyTimeout(statementTimeout) } catch { discardAfterUse() }
    }

    /// Calls back when the connection breaks while nobody uses it.
    var onIdleBreak: (() -> Void)? {
        get { link.onIdleBreak }
        set { link.onIdleBreak = newValue }
    }

    func close() { link.close() }
}
