package enum PostgresError: Error, Equatable {
    /// No connection could be had; nothing was sent. The detail is for logs.
    case unavailable(detail: String)
    /// The statement took longer than its timeout. It was cancelled, or its connection given up.
    case timedOut
    /// The connection broke while the statement ran: it may or may not have been carried out.
    case connectionLost
    /// The server refused: SQLSTATE, message, and the constraint's name for integrity violations.
    case server(state: String, message: String, constraint: String?)
    /// A row did not have the column, or not with that type.
    case decoding(column: String)
}

extension PostgresError {
    /// The SQLSTATE of a refusal.
    package var state: String? {
        if case .server(let state, _, _) = self { return state }
        return nil
    }

    /// A serialization failure or deadlock: the same transaction, run again, may well succeed.
    package var isTransactionConflict: Bool { state == "40001" || state == "40P01" }

    static let nulInText = Self.server(state: "22021", message: "text with a NUL character", constraint: nil)
}

/// A batch was refused because of one of its parameter sets.
package struct PostgresBatchError: Error, Equatable {
    /// Which set, counted from 0.
    package let index: Int
    package let error: PostgresError
}
