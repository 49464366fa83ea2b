import CSimdJSON

/// A valid document whose values are known by their places alone, lent by `JSONParser.outline`; it must not leave that
/// closure.
@usableFromInline
package struct JSONOutline {
    internal let pointer: UnsafePointer<tg_json_outline>

    internal init(_ pointer: UnsafePointer<tg_json_outline>) { self.pointer = pointer }

    package var root: JSONSourceValue { JSONSourceValue(pointer, 0) }

    /// The bytes that were read.
    package var source: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: pointer.pointee.source, count: pointer.pointee.length)
    }
}

/// A value of an outlined document as it stands in the source: a view, which must not leave the closure that the outline
/// was lent to.
///
/// A string is what stands between its quotes, escapes and all. That is all it takes to tell whether somebody says the
/// same again, and costs no look at the bytes.
package struct JSONSourceValue {
    internal let outline: UnsafePointer<tg_json_outline>
    /// The number of the structural that it begins with.
    internal let place: Int

    internal init(_ outline: UnsafePointer<tg_json_outline>, _ place: Int) {
        self.outline = outline
        self.place = place
    }

    private var start: Int { Int(outline.pointee.structurals[place]) }
    private var first: UInt8 { outline.pointee.source[start] }

    package var isObject: Bool { first == UInt8(ascii: "{") }
    package var isArray: Bool { first == UInt8(ascii: "[") }
    package var isString: Bool { first == UInt8(ascii: "\"") }
    package var isNull: Bool { first == UInt8(ascii: "n") }

    package var bool: Bool? {
        switch first {
        case UInt8(ascii: "t"): true
        case UInt8(ascii: "f"): false
        default: nil
        }
    }

    /// Where it stands in the source.
    package var range: Range<Int> {
        isObject || isArray ? start..<Int(outline.pointee.structurals[lastPlace]) + 1 : start..<endOfScalar
    }

    /// The next structural follows the scalar, after white space at most.
    private var endOfScalar: Int {
        let outline = outline.pointee
        var end = place + 1 < outline.structural_count ? Int(outline.structurals[place + 1]) : outline.length
        while end > start {
            switch outline.source[end - 1] {
            case 0x20, 0x09, 0x0A, 0x0D: end -= 1
            default: return end
            }
        }
        return end
    }

    /// What stands between the quotes of a string; nil for any other kind.
    package var text: UnsafeRawBufferPointer? {
        guard isString else { return nil }
        let start = start
        return UnsafeRawBufferPointer(
            start: outline.pointee.source + (start + 1),
            count: max(0, endOfScalar - start - 2)
        )
    }

    /// The text of a string, decoded.
    package var string: String? {
        guard let text else { return nil }
        guard text.contains(byte: UInt8(ascii: "\\")) else { return String(decoding: text, as: UTF8.self) }
        let quoted = UnsafeRawBufferPointer(start: outline.pointee.source + start, count: text.count + 2)
        // Hardly ever. A parser of its own: another one holds the document that this text is part of.
        return (try? JSONParser(maximumDepth: 8).parse(quoted) { $0.root.string }) ?? nil
    }

    /// The value of a number written without fraction or exponent that fits.
    package var int64: Int64? {
        var number: Int64 = 0
        return tg_json_integer(outline, place, &number) ? number : nil
    }

    /// Whether this is a string of exactly this text, decoded.
    package func equals(_ text: StaticString) -> Bool {
        self.text.map { JSONText.inside($0, equals: text) } ?? false
    }

    // MARK: Objects and arrays

    /// The first member of an object with this key, decoded; nil for other kinds.
    package subscript(_ key: StaticString) -> JSONSourceValue? {
        let value = tg_json_member(outline, place, key.utf8Start, key.utf8CodeUnitCount, nil)
        return value == 0 ? nil : at(value)
    }

    /// The only member with this key.
    package func uniqueMember(_ key: StaticString) -> JSONSourceLookup {
        var isTwice = false
        let value = tg_json_member(outline, place, key.utf8Start, key.utf8CodeUnitCount, &isTwice)
        if isTwice { return .duplicate }
        return value == 0 ? .absent : .found(at(value))
    }

    /// The elements of an array; none for other kinds.
    package var elements: JSONSourceElements {
        JSONSourceElements(first: at(place + 1), end: isArray ? lastPlace : place)
    }

    package func forEachElement(_ body: (JSONSourceValue) -> Void) {
        for element in elements { body(element) }
    }

    /// What stands between the quotes of the keys of an object, and the values, in order; none for other kinds.
    package var members: JSONSourceMembers {
        JSONSourceMembers(first: at(place + 1), end: isObject ? lastPlace : place)
    }

    /// Whether an object or an array has nothing in it.
    package var isEmpty: Bool { lastPlace == place + 1 }

    fileprivate func at(_ place: Int) -> JSONSourceValue { JSONSourceValue(outline, place) }

    /// The structural that the value ends with, or, of a scalar, begins with.
    fileprivate var lastPlace: Int { isObject || isArray ? Int(outline.pointee.closings[place]) : place }
}

/// What a search for the only member with a key found.
package enum JSONSourceLookup {
    case absent
    case found(JSONSourceValue)
    /// The key stands more than once, and readers differ in which one they take.
    case duplicate

    /// The value if it stands exactly once.
    package var value: JSONSourceValue? {
        if case .found(let value) = self { value } else { nil }
    }
}

/// The elements of an array.
package struct JSONSourceElements: Sequence, IteratorProtocol {
    private var current: JSONSourceValue
    private let end: Int

    fileprivate init(first: JSONSourceValue, end: Int) {
        current = first
        self.end = end
    }

    package mutating func next() -> JSONSourceValue? {
        guard current.place < end else { return nil }
        let element = current
        // A comma, or the bracket that ends the array.
        current = current.at(current.lastPlace + 2)
        return element
    }
}

/// The members of an object.
package struct JSONSourceMembers: Sequence, IteratorProtocol {
    private var key: JSONSourceValue
    private let end: Int

    fileprivate init(first: JSONSourceValue, end: Int) {
        key = first
        self.end = end
    }

    package mutating func next() -> (key: UnsafeRawBufferPointer, value: JSONSourceValue)? {
        guard key.place < end, let name = key.text else { return nil }
        // A colon stands between them.
        let value = key.at(key.place + 2)
        key = key.at(value.lastPlace + 2)
        return (name, value)
    }
}
