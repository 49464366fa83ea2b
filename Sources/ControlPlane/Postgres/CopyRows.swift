/// Rows for `PostgresConnection.copy`, in COPY's binary format: nothing is formatted here and parsed there.
///
/// Every value must have the very type of its column: the format converts nothing.
///
/// Source: PostgreSQL 15 documentation, COPY, "Binary Format".
package struct CopyRows {
    private(set) var bytes: [UInt8]
    package private(set) var count = 0
    private let columns: UInt16
    /// 2000-01-01 in microseconds since 1970.
    private static let epoch: Int64 = 946_684_800_000_000

    /// - Parameter rows: how many are expected.
    package init(columns: Int, rows: Int) {
        self.columns = UInt16(clamping: columns)
        bytes = []
        bytes.reserveCapacity(64 + rows * (columns * 9 + 128))
        bytes.append(contentsOf: "PGCOPY\n".utf8)
        bytes.append(contentsOf: [0xFF, 0x0D, 0x0A, 0])
        // No flags, no further header.
        append(UInt64(0))
    }

    /// Begins a row; a value for each column follows, in their order.
    package mutating func beginRow() {
        append(columns)
        count += 1
    }

    /// Into a column `integer`.
    package mutating func add(int4 value: Int32) {
        append(UInt32(4))
        append(UInt32(bitPattern: value))
    }

    /// Into a column `bigint`.
    package mutating func add(_ value: Int64) {
        append(UInt32(8))
        append(UInt64(bitPattern: value))
    }

    package mutating func add(_ value: Int64?) {
        if let value { add(value) } else { append(UInt32.max) }
    }

    package mutating func add(_ value: Bool) {
        append(UInt32(1))
        bytes.append(value ? 1 : 0)
    }

    /// Postgres refuses text with a NUL character.
    package mutating func add(_ text: String) {
        append(UInt32(clamping: text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    /// Into a column `timestamptz`.
    ///
    /// - Parameter microseconds: since 1970.
    package mutating func add(time microseconds: Int64) { add(microseconds &- Self.epoch) }

    /// The whole of it, with its end.
    var finished: [UInt8] { bytes + [0xFF, 0xFF] }

    private mutating func append(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }
}
