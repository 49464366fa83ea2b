import CSimdJSON

/// A value of a parsed document: a view into the parser's buffers, which must not leave the closure it was lent to.
///
/// Reading costs a few loads; strings are copied only by `string`.
package struct JSONValue {
    package enum Kind: Sendable { case null, bool, number, string, array, object }

    /// simdjson's tape (its doc/tape.md): a word a value, two for numbers; the high byte is the kind.
    private let tape: UnsafePointer<UInt64>
    private let strings: UnsafePointer<UInt8>
    internal let index: Int

    internal init(tape: UnsafePointer<UInt64>, strings: UnsafePointer<UInt8>, index: Int) {
        self.tape = tape
        self.strings = strings
        self.index = index
    }

    private var tag: UInt8 { UInt8(truncatingIfNeeded: tape[index] >> 56) }

    package var kind: Kind {
        switch tag {
        case UInt8(ascii: "{"): .object
        case UInt8(ascii: "["): .array
        case UInt8(ascii: "\""): .string
        case UInt8(ascii: "t"), UInt8(ascii: "f"): .bool
        case UInt8(ascii: "n"): .null
        default: .number
        }
    }

    package var isNull: Bool { tag == UInt8(ascii: "n") }
    package var isObject: Bool { tag == UInt8(ascii: "{") }
    package var isArray: Bool { tag == UInt8(ascii: "[") }
    package var isString: Bool { tag == UInt8(ascii: "\"") }

    package var bool: Bool? {
        switch tag {
        case UInt8(ascii: "t"): true
        case UInt8(ascii: "f"): false
        default: nil
        }
    }

    /// The value of a number written without fraction or exponent that fits.
    package var int64: Int64? {
        tag == UInt8(ascii: "l") ? Int64(bitPattern: tape[index + 1]) : nil
    }

    /// The value of any number, rounded if need be.
    package var double: Double? {
        switch tag {
        case UInt8(ascii: "d"): Double(bitPattern: tape[index + 1])
        case UInt8(ascii: "l"): Double(Int64(bitPattern: tape[index + 1]))
        case UInt8(ascii: "u"): Double(tape[index + 1])
        default: nil
        }
    }

    package var string: String? {
        stringBytes.map { String(decoding: $0, as: UTF8.self) }
    }

    /// The decoded UTF-8 of a string.
    package var stringBytes: UnsafeRawBufferPointer? {
        guard isString else { return nil }
        let start = UnsafeRawPointer(strings) + Int(truncatingIfNeeded: tape[index] & 0x00FF_FFFF_FFFF_FFFF)
        let count = Int(start.loadUnaligned(as: UInt32.self))
        return UnsafeRawBufferPointer(start: start + 4, count: count)
    }

    /// Whether this is a string of exactly this text.
    package func equals(_ text: StaticString) -> Bool {
        stringBytes?.equals(text) ?? false
    }

    // MARK: Objects and arrays

    /// Members of an object or elements of an array; 0 for other kinds.
    package var count: Int {
        switch tag {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            let stored = Int(truncatingIfNeeded: tape[index] >> 32) & 0xFF_FFFF
            if stored < 0xFF_FFFF { return stored }
            return isObject ? members.reduce(0) { count, _ in count + 1 } : elements.reduce(0) { count, _ in count + 1 }
        default: return 0
        }
    }

    /// The first member of an object with this key; nil for other kinds. There is none for a `String`: literals would
    /// become one first, and be counted and compared as such.
    package subscript(_ key: StaticString) -> JSONValue? {
        guard isObject else { return nil }
        var at = index + 1
        let end = endIndex - 1
        while at < end {
            let value = JSONValue(tape: tape, strings: strings, index: at + 1)
            if self.at(at).equals(key) { return value }
            at = value.endIndex
        }
        return nil
    }

    /// The elements of an array; none for other kinds.
    package var elements: JSONElements {
        isArray ? JSONElements(first: at(index + 1), end: endIndex - 1) : JSONElements(first: self, end: index)
    }

    /// Keys and values of an object, in order; none for other kinds.
    package var members: JSONMembers {
        isObject ? JSONMembers(first: at(index + 1), end: endIndex - 1) : JSONMembers(first: self, end: index)
    }

    package func forEachElement(_ body: (JSONValue) -> Void) {
        for element in elements { body(element) }
    }

    /// The only member with this key.
    internal func uniqueMember(_ key: StaticString) -> JSONMemberLookup {
        var found: JSONValue?
        for (name, value) in members where name == key {
            if found != nil { return .duplicate }
            found = value
        }
        return found.map { .found($0) } ?? .absent
    }

    internal func at(_ index: Int) -> JSONValue { JSONValue(tape: tape, strings: strings, index: index) }

    /// The index on the tape after this value and all it contains.
    internal var endIndex: Int {
        switch tag {
        case UInt8(ascii: "{"), UInt8(ascii: "["): Int(truncatingIfNeeded: tape[index] & 0xFFFF_FFFF)
        case UInt8(ascii: "l"), UInt8(ascii: "u"), UInt8(ascii: "d"): index + 2
        default: index + 1
        }
    }
}

internal enum JSONMemberLookup {
    case absent
    case found(JSONValue)
    case duplicate
}

/// A member's decoded key while it is being looked at.
package struct JSONKey {
    package let bytes: UnsafeRawBufferPointer

    package var string: String { String(decoding: bytes, as: UTF8.self) }

    package static func == (key: JSONKey, text: StaticString) -> Bool {
        key.bytes.equals(text)
    }

    @_disfavoredOverload
    package static func == (key: JSONKey, text: String) -> Bool {
        key.bytes.count == text.utf8.count && key.bytes.starts(with: text)
    }
}

/// The elements of an array.
package struct JSONElements: Sequence, IteratorProtocol {
    private var current: JSONValue
    private let end: Int

    internal init(first: JSONValue, end: Int) {
        current = first
        self.end = end
    }

    package mutating func next() -> JSONValue? {
        guard current.index < end else { return nil }
        let element = current
        current = current.at(current.endIndex)
        return element
    }
}

/// The members of an object.
package struct JSONMembers: Sequence, IteratorProtocol {
    private var key: JSONValue
    private let end: Int

    internal init(first: JSONValue, end: Int) {
        key = first
        self.end = end
    }

    package mutating func next() -> (key: JSONKey, value: JSONValue)? {
        guard key.index < end, let name = key.stringBytes else { return nil }
        let value = key.at(key.index + 1)
        key = key.at(value.endIndex)
        return (JSONKey(bytes: name), value)
    }
}
