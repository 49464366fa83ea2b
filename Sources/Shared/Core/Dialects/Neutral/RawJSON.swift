package import Formats

/// The bytes of one valid JSON value as somebody wrote them: schemas and tool arguments travel so, digit for digit.
package struct RawJSON: Hashable, Sendable {
    package var bytes: [UInt8]

    /// - Parameter bytes: one JSON value that a parser has accepted, or that a writer has made.
    package init(trusted bytes: [UInt8]) { self.bytes = bytes }

    /// Bytes from elsewhere, accepted only if they are one JSON object.
    package init?(object bytes: [UInt8], _ parser: JSONParser) {
        guard (try? parser.parse(bytes, { $0.root.isObject })) == true else { return nil }
        self.bytes = bytes
    }

    package static let emptyObject = RawJSON(trusted: Array("{}".utf8))
    package var text: String { String(decoding: bytes, as: UTF8.self) }

    /// The same value for an event of a stream, where a line's end would be the end of `data:`. In valid JSON such an end
    /// stands between values only.
    var onOneLine: RawJSON { RawJSON(trusted: bytes.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 }) }
}

/// A number of a request: an integer stays one, and a fraction keeps its shortest digits.
package struct JSONNumber: Hashable, Sendable {
    package let value: Double
    package let text: String

    package init(_ value: Double) {
        self.value = value
        text = value.description
    }

    package init?(_ value: JSONValue) {
        guard let double = value.double else { return nil }
        self.value = double
        text = value.int64?.description ?? double.description
    }

    /// The same number, or the nearest bound when it lies outside.
    package func clamped(to range: ClosedRange<Double>) -> JSONNumber {
        range.contains(value) ? self : JSONNumber(min(max(value, range.lowerBound), range.upperBound))
    }
}

extension JSONWriter {
    /// A member, or none for nil.
    internal mutating func number(_ name: StaticString, _ number: JSONNumber?) {
        guard let number else { return }
        key(name)
        raw(number.text)
    }
}
