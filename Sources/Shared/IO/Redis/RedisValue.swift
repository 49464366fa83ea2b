/// A Redis answer (RESP2).
package enum RedisValue: Equatable, Sendable {
    case null
    case integer(Int64)
    case string([UInt8])
    case status(String)
    case error(String)
    case array([RedisValue])
}

extension RedisValue {
    /// The bytes of a string.
    package var bytes: [UInt8]? {
        if case .string(let bytes) = self { return bytes }
        return nil
    }

    /// A string or status as text; bytes that are not UTF-8 become U+FFFD.
    package var text: String? {
        switch self {
        case .string(let bytes): String(decoding: bytes, as: UTF8.self)
        case .status(let text): text
        case .null, .integer, .error, .array: nil
        }
    }

    /// An integer, or a string that is a decimal one: amounts in hashes come as text.
    package var integer: Int64? {
        switch self {
        case .integer(let number): number
        case .string(let bytes): bytes.withUnsafeBytes { Int64(decimal: $0) }
        case .null, .status, .error, .array: nil
        }
    }

    package var array: [RedisValue]? {
        if case .array(let elements) = self { return elements }
        return nil
    }
}

extension Int64 {
    /// Reads an optional minus and digits, nothing else; nil when it does not fit.
    init?(decimal bytes: UnsafeRawBufferPointer) {
        let isNegative = bytes.first == UInt8(ascii: "-")
        let digits = isNegative ? bytes.dropFirst() : bytes[...]
        guard !digits.isEmpty else { return nil }
        var value: Int64 = 0
        for byte in digits {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            let digit = Int64(byte - UInt8(ascii: "0"))
            // Counted downwards: the smallest number has no positive twin.
            let (scaled, scaledOver) = value.multipliedReportingOverflow(by: 10)
            let (next, nextOver) = scaled.subtractingReportingOverflow(digit)
            guard !scaledOver, !nextOver else { return nil }
            value = next
        }
        if !isNegative {
            guard value != .min else { return nil }
            value = -value
        }
        self = value
    }
}
