import CSimdJSON

/// Where a value stands in the bytes of its document.
package struct JSONLocation: Equatable, Sendable {
    /// From the opening quote of the member's key to the end of the value; the value itself outside an object.
    package var member: Range<Int>
    package var value: Range<Int>

    package init(member: Range<Int>, value: Range<Int>) {
        self.member = member
        self.value = value
    }
}

/// What a search for a member's place found.
package enum JSONLookup: Equatable, Sendable {
    case absent
    case found(JSONLocation)
    /// The key stands more than once, and readers differ in which one they take.
    case duplicate

    /// The bytes of the value if it stands exactly once.
    package var value: Range<Int>? {
        if case .found(let location) = self { location.value } else { nil }
    }
}

/// A parsed document, lent by `JSONParser.parse`; it must not leave that closure.
@usableFromInline
package struct JSONDocument {
    private let document: UnsafePointer<tg_json_document>
    internal var pointer: UnsafePointer<tg_json_document> { document }

    internal init(_ document: UnsafePointer<tg_json_document>) { self.document = document }

    package var root: JSONValue { JSONValue(tape: document.pointee.tape, strings: document.pointee.strings, index: 1) }

    /// The bytes that were parsed.
    package var source: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: document.pointee.source, count: document.pointee.length)
    }

    /// Where a value of this document stands in `source`.
    package func location(of value: JSONValue) -> JSONLocation {
        let found = tg_json_locate(document, value.index)
        return JSONLocation(member: found.member_start..<found.value_end, value: found.value_start..<found.value_end)
    }

    /// Where the value of a member of the outermost object stands. Keys are compared decoded.
    package func locateTopLevel(_ key: StaticString) -> JSONLookup { lookup(root.uniqueMember(key)) }

    /// `locateTopLevel` for several keys, in their order.
    package func locateTopLevel(_ keys: [StaticString]) -> [JSONLookup] { keys.map { locateTopLevel($0) } }

    /// Where the value at a path of keys stands; a duplicate of any key on the path makes it ambiguous.
    package func locate(path: [StaticString]) -> JSONLookup {
        var value = root
        for key in path {
            switch value.uniqueMember(key) {
            case .found(let member): value = member
            case .absent: return .absent
            case .duplicate: return .duplicate
            }
        }
        return .found(location(of: value))
    }

    private func lookup(_ member: JSONMemberLookup) -> JSONLookup {
        switch member {
        case .found(let value): .found(location(of: value))
        case .absent: .absent
        case .duplicate: .duplicate
        }
    }
}
