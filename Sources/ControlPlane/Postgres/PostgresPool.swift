package import Reactor

/// A parameter of a statement; sent in text format.
package enum PostgresParameter: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByNilLiteral
{
    case null
    case text(String)
    case integer(Int64)
    case bool(Bool)
    case bytes([UInt8])

    package init(stringLiteral value: String) { self = .text(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(nilLiteral: ()) { self = .null }

    package static func optional(_ value: String?) -> Self { value.map { .text($0) } ?? .null }
    package static func optional(_ value: Int64?) -> Self { value.map { .integer($0) } ?? .null }
}

package enum PostgresError: Error {
    case unavailable(detail: String)
    case timedOut
    case connectionLost
    /// The server refused: SQLSTATE, message, and the constraint's name for integrity violations.
    case server(state: String, message: String, constraint: String?)
    /// A row did not have the column, or not with that type.
    case decoding(column: String)
}

/// One row; columns by name.
package struct PostgresRow: Sendable {
    package func int(_ column: String) throws -> Int64 { fatalError("unimplemented") }
    package func optionalInt(_ column: String) throws -> Int64? { fatalError("unimplemented") }
    package func text(_ column: String) throws -> String { fatalError("unimplemented") }
    package func optionalText(_ column: String) throws -> String? { fatalError("unimplemented") }
    package func bool(_ column: String) throws -> Bool { fatalError("unimplemented") }
    package func bytes(_ column: String) throws -> [UInt8] { fatalError("unimplemented") }
    package func optionalBytes(_ column: String) throws -> [UInt8]? { fatalError("unimplemented") }
    package func isNull(_ column: String) throws -> Bool { fatalError("unimplemented") }
}

/// A connection on loan from the pool.
package final class PostgresConnection {
    /// Runs one statement, prepared on first use and kept by its text.
    ///
    /// - Throws: `PostgresError`.
    package func query(_ sql: String, _ parameters: [PostgresParameter] = []) async throws -> [PostgresRow] {
        fatalError("unimplemented")
    }

    /// Runs a statement without a result; returns the number of rows it touched.
    @discardableResult
    package func execute(_ sql: String, _ parameters: [PostgresParameter] = []) async throws -> Int {
        fatalError("unimplemented")
    }

    /// Runs several statements without parameters, separated by semicolons (simple protocol): migrations.
    package func runScript(_ sql: String) async throws { fatalError("unimplemented") }

    /// Runs the same statement for each set of parameters in pipeline mode: one round trip. Returns touched rows each.
    @discardableResult
    package func executeBatch(_ sql: String, _ parameterSets: [[PostgresParameter]]) async throws -> [Int] {
        fatalError("unimplemented")
    }

    /// Loads rows by `COPY table (columns) FROM STDIN` in text format.
    package func copy(into table: String, columns: [String], rows: [[PostgresParameter]]) async throws {
        fatalError("unimplemented")
    }
}

/// Connections to Postgres on one loop.
package final class PostgresPool {
    package init(_ loop: EventLoop, url: String, maximum: Int = 8) { fatalError("unimplemented") }

    /// Lends a connection; waiters are served in order.
    package func withConnection<Value>(_ body: (PostgresConnection) async throws -> Value) async throws -> Value {
        fatalError("unimplemented")
    }

    /// Lends a connection inside a transaction: committed when `body` returns, rolled back when it throws.
    package func withTransaction<Value>(_ body: (PostgresConnection) async throws -> Value) async throws -> Value {
        fatalError("unimplemented")
    }

    package func query(_ sql: String, _ parameters: [PostgresParameter] = []) async throws -> [PostgresRow] {
        fatalError("unimplemented")
    }

    package func close() { fatalError("unimplemented") }
}
