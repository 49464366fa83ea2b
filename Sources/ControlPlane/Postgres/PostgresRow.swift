import CPQ

/// One row; columns by name. Rows of one result share its storage.
package struct PostgresRow: Sendable {
    private let table: ResultTable
    private let row: Int

    init(_ table: ResultTable, row: Int) {
        self.table = table
        self.row = row
    }

    package func int(_ column: String) throws -> Int64 { try require(column, optionalInt(column)) }

    package func optionalInt(_ column: String) throws -> Int64? {
        guard let cell = try cell(column) else { return nil }
        guard let number = Self.integer(cell) else { throw PostgresError.decoding(column: column) }
        return number
    }

    /// The value as Postgres writes it; works for every type. Times are UTC (`2026-11-21 04:05:06.789+00`).
    package func text(_ column: String) throws -> String { try require(column, optionalText(column)) }

    package func optionalText(_ column: String) throws -> String? {
        try cell(column).map { String(decoding: $0, as: UTF8.self) }
    }

    package func bool(_ column: String) throws -> Bool { try require(column, optionalBool(column)) }

    package func optionalBool(_ column: String) throws -> Bool? {
        guard let cell = try cell(column) else { return nil }
        guard cell.count == 1, cell.first == UInt8(ascii: "t") || cell.first == UInt8(ascii: "f") else {
            throw PostgresError.decoding(column: column)
        }
        return cell.first == UInt8(ascii: "t")
    }

    /// The value of a `bytea` column.
    package func bytes(_ column: String) throws -> [UInt8] { try require(column, optionalBytes(column)) }

    package func optionalBytes(_ column: String) throws -> [UInt8]? {
        guard let cell = try cell(column) else { return nil }
        guard let bytes = Self.bytes(hexadecimal: cell) else { throw PostgresError.decoding(column: column) }
        return bytes
    }

    package func isNull(_ column: String) throws -> Bool { try cell(column) == nil }

    private func cell(_ column: String) throws(PostgresError) -> ArraySlice<UInt8>? {
        guard let index = table.columns[column] else { throw .decoding(column: column) }
        return table.cell(row, index)
    }

    private func require<Value>(_ column: String, _ value: Value?) throws(PostgresError) -> Value {
        guard let value else { throw .decoding(column: column) }
        return value
    }

    private static func integer(_ text: ArraySlice<UInt8>) -> Int64? {
        let isNegative = text.first == UInt8(ascii: "-")
        let digits = isNegative ? text.dropFirst() : text
        guard !digits.isEmpty else { return nil }
        var value: Int64 = 0
        for byte in digits {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            let (scaled, scaledOver) = value.multipliedReportingOverflow(by: 10)
            // Counted downwards: the smallest number has no positive twin.
            let (next, nextOver) = scaled.subtractingReportingOverflow(Int64(byte - UInt8(ascii: "0")))
            guard !scaledOver, !nextOver else { return nil }
            value = next
        }
        if isNegative { return value }
        return value == .min ? nil : -value
    }

    /// `\x` and two digits a byte (bytea_output = hex, which each session sets).
    private static func bytes(hexadecimal text: ArraySlice<UInt8>) -> [UInt8]? {
        text.withUnsafeBufferPointer { text -> [UInt8]? in
            guard text.count >= 2, text.count % 2 == 0, text[0] == UInt8(ascii: "\\"), text[1] == UInt8(ascii: "x")
            else { return nil }
            var isValid = true
            let count = text.count / 2 - 1
            let bytes = [UInt8](unsafeUninitializedCapacity: count) { bytes, written in
                for index in 0..<count {
                    let high = hexDigit(text[2 + 2 * index])
                    let low = hexDigit(text[3 + 2 * index])
                    isValid = isValid && high | low < 16
                    bytes[index] = high &<< 4 | low & 15
                }
                written = count
            }
            return isValid ? bytes : nil
        }
    }

    /// - Returns: 255 for what is not a digit.
    private static func hexDigit(_ byte: UInt8) -> UInt8 {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte &- UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte &- UInt8(ascii: "a") &+ 10
        default: 255
        }
    }
}

/// A result copied out of libpq: every value in one buffer, column names once.
final class ResultTable: Sendable {
    let columns: [String: Int]
    let rowCount: Int
    /// Rows that an INSERT, UPDATE, DELETE, SELECT or COPY touched.
    let touchedRows: Int
    private let columnCount: Int
    private let bytes: [UInt8]
    /// By row, then column: where the value starts, and its length, -1 for null.
    private let cells: [(start: Int, count: Int)]

    /// Copies; the caller still owns `result`.
    init(copying result: OpaquePointer) {
        rowCount = Int(PQntuples(result))
        columnCount = Int(PQnfields(result))
        touchedRows = PQcmdTuples(result).flatMap { Int(String(cString: $0)) } ?? 0
        var columns: [String: Int] = [:]
        columns.reserveCapacity(columnCount)
        for column in 0..<columnCount {
            guard let name = PQfname(result, Int32(column)) else { continue }
            // Of columns with the same name the first one counts.
            columns[String(cString: name)] = columns[String(cString: name)] ?? column
        }
        self.columns = columns
        var bytes: [UInt8] = []
        var cells: [(start: Int, count: Int)] = []
        cells.reserveCapacity(rowCount * columnCount)
        for row in 0..<Int32(rowCount) {
            for column in 0..<Int32(columnCount) {
                guard PQgetisnull(result, row, column) == 0, let value = PQgetvalue(result, row, column) else {
                    cells.append((start: 0, count: -1))
                    continue
                }
                let count = Int(PQgetlength(result, row, column))
                cells.append((start: bytes.count, count: count))
                bytes.append(contentsOf: UnsafeRawBufferPointer(start: value, count: count))
            }
        }
        self.bytes = bytes
        self.cells = cells
    }

    func cell(_ row: Int, _ column: Int) -> ArraySlice<UInt8>? {
        let cell = cells[row * columnCount + column]
        return cell.count < 0 ? nil : bytes[cell.start..<cell.start + cell.count]
    }

    var rows: [PostgresRow] { (0..<rowCount).map { PostgresRow(self, row: $0) } }
}
