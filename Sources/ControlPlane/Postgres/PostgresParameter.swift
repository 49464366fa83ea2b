/// A parameter of a statement.
///
/// Its type is the one the server infers from the statement. Values go as text, but `bytes` in binary, which spares
/// `bytea` its hexadecimal form; it fits `bytea` and `text`.
package enum PostgresParameter: Sendable, Equatable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
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
    package static func optional(_ value: [UInt8]?) -> Self { value.map { .bytes($0) } ?? .null }

    /// Text with a NUL cannot be stored, and libpq would silently cut it there.
    var hasNul: Bool {
        if case .text(let text) = self { return text.utf8.contains(0) }
        return false
    }
}

/// Parameters laid out for libpq: all values in one buffer.
struct EncodedParameters {
    private var bytes: [UInt8] = []
    /// Where each value starts; -1 for null.
    private var starts: [Int] = []
    private var lengths: [Int32] = []
    private var formats: [Int32] = []

    var count: Int { starts.count }

    /// - Throws: `PostgresError.server` with the state Postgres itself would give.
    init(_ parameters: [PostgresParameter]) throws(PostgresError) {
        starts.reserveCapacity(parameters.count)
        lengths.reserveCapacity(parameters.count)
        formats.reserveCapacity(parameters.count)
        for parameter in parameters {
            guard !parameter.hasNul else { throw .nulInText }
            let start = bytes.count
            switch parameter {
            case .null: break
            case .text(let text): bytes.append(contentsOf: text.utf8)
            case .integer(let number): bytes.append(contentsOf: String(number).utf8)
            case .bool(let isTrue): bytes.append(isTrue ? UInt8(ascii: "t") : UInt8(ascii: "f"))
            case .bytes(let raw): bytes.append(contentsOf: raw)
            }
            guard let length = Int32(exactly: bytes.count - start) else {
                throw .server(state: "54000", message: "a parameter of 2 GiB", constraint: nil)
            }
            starts.append(parameter == .null ? -1 : start)
            lengths.append(length)
            if case .bytes = parameter { formats.append(1) } else { formats.append(0) }
            bytes.append(0)
        }
    }

    func withPointers<Result>(
        _ body: (
            _ values: UnsafePointer<UnsafePointer<CChar>?>?, _ lengths: UnsafePointer<Int32>?,
            _ formats: UnsafePointer<Int32>?
        ) -> Result
    ) -> Result {
        bytes.withUnsafeBytes { bytes in
            let base = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
            let values = starts.map { start in start < 0 ? nil : base.map { UnsafePointer($0 + start) } }
            return values.withUnsafeBufferPointer { values in
                lengths.withUnsafeBufferPointer { lengths in
                    formats.withUnsafeBufferPointer { formats in
                        body(values.baseAddress, lengths.baseAddress, formats.baseAddress)
                    }
                }
            }
        }
    }
}
