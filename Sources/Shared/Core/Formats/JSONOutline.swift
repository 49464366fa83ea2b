import CSimdJSON

/// A valid document whose values are known by their places alone, lent by `JSONParser.outline`; it must not leave that
/// closure.
package struct JSONOutline {
    internal let pointer: UnsafePointer<tg_json_outline>

    internal init(_ pointer: UnsafePointer<tg_json_outline>) { self.pointer = pointer }

    package var root: JSONSourceValue { JSONSourceValue(pointer, 0) }

    /// A look-up for each key among the members of the outermost object, in their order; nil where that is no object.
    /// Keys are compared decoded.
    package func locate(_ keys: [StaticString]) -> [JSONLookup]? {
        guard root.isObject else { return nil }
        let outline = pointer.pointee
        let source = UnsafeRawBufferPointer(start: outline.source, count: outline.length)
        var lookups: [JSONLookup] = []
        lookups.reserveCapacity(keys.count)
        for _ in keys { lookups.append(.absent) }
        for member in UnsafeBufferPointer(start: outline.members, count: outline.member_count) {
            let key = UnsafeRawBufferPointer(rebasing: source[member.key_start + 1..<member.key_end - 1])
            for index in keys.indices where JSONText.inside(key, equals: keys[index]) {
                guard case .absent = lookups[index] else {
                    lookups[index] = .duplicate
                    continue
                }
                lookups[index] = .found(
                    JSONLocation(
                        member: member.key_start..<member.value_end,
                        value: member.value_start..<member.value_end
                    )
                )
            }
        }
        return lookups
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
    package var isTrue: Bool { first == UInt8(ascii: "t") }

    /// What stands between the quotes of a string; nil for any other kind.
    package var text: UnsafeRawBufferPointer? {
        guard isString else { return nil }
        let (outline, start) = (outline.pointee, start)
        // The next structural follows the closing quote, after white space at most.
        var end = place + 1 < outline.structural_count ? Int(outline.structurals[place + 1]) : outline.length
        while end > start + 2, outline.source[end - 1] != UInt8(ascii: "\"") { end -= 1 }
        return UnsafeRawBufferPointer(start: outline.source + (start + 1), count: max(0, end - start - 2))
    }

    /// Whether this is a string of exactly this text, decoded.
    package func equals(_ text: StaticString) -> Bool {
        self.text.map { JSONText.inside($0, equals: text) } ?? false
    }

    /// The first member of an object with this key; nil for other kinds.
    package subscript(_ key: StaticString) -> JSONSourceValue? {
        var members = members
        while let (name, value) = members.next() {
            if JSONText.inside(name, equals: key) { return value }
        }
        return nil
    }

    /// The elements of an array; none for other kinds.
    package var elements: JSONSourceElements {
        JSONSourceElements(first: at(place + 1), end: isArray ? lastPlace : place)
    }

    /// What stands between the quotes of the keys of an object, and the values, in order; none for other kinds.
    package var members: JSONSourceMembers {
        JSONSourceMembers(first: at(place + 1), end: isObject ? lastPlace : place)
    }

    fileprivate func at(_ place: Int) -> JSONSourceValue { JSONSourceValue(outline, place) }

    /// The structural that the value ends with, or, of a scalar, begins with.
    fileprivate var lastPlace: Int { isObject || isArray ? Int(outline.pointee.closings[place]) : place }
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
