/// A JSON value that owns its parts: for configuration, admin calls and tests, not for the path of a call.
package enum JSON: Sendable {
    case null
    case bool(Bool)
    /// A number written without fraction or exponent that fits.
    case int(Int64)
    /// Any other number.
    case double(Double)
    case string(String)
    case array([JSON])
    /// Members in the order in which they stood; a key may stand twice.
    case object([(key: String, value: JSON)])
}

extension JSON: Equatable {
    /// Members are compared with their order.
    package static func == (left: JSON, right: JSON) -> Bool {
        switch (left, right) {
        case (.null, .null): true
        case (.bool(let left), .bool(let right)): left == right
        case (.int(let left), .int(let right)): left == right
        case (.double(let left), .double(let right)): left == right
        case (.string(let left), .string(let right)): left == right
        case (.array(let left), .array(let right)): left == right
        case (.object(let left), .object(let right)):
            left.elementsEqual(right) { $0.key == $1.key && $0.value == $1.value }
        default: false
        }
    }
}

// MARK: Reading

extension JSON {
    package var isNull: Bool { if case .null = self { true } else { false } }
    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var int64: Int64? { if case .int(let value) = self { value } else { nil } }
    package var int: Int? { int64.flatMap { Int(exactly: $0) } }
    package var string: String? { if case .string(let value) = self { value } else { nil } }
    package var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
    package var object: [(key: String, value: JSON)]? { if case .object(let value) = self { value } else { nil } }

    package var double: Double? {
        switch self {
        case .int(let value): Double(value)
        case .double(let value): value
        default: nil
        }
    }

    /// The first member with this key; nil for anything but an object. Setting nil removes the member.
    package subscript(_ key: String) -> JSON? {
        get { object?.first { $0.key == key }?.value }
        set {
            guard case .object(var members) = self else { return }
            self = .null  // Releases the members, so that they are changed in place.
            if let index = members.firstIndex(where: { $0.key == key }) {
                if let newValue { members[index].value = newValue } else { members.remove(at: index) }
            } else if let newValue {
                members.append((key, newValue))
            }
            self = .object(members)
        }
    }

    /// The element at an index; nil outside an array's bounds or for anything else.
    package subscript(_ index: Int) -> JSON? {
        guard let array, array.indices.contains(index) else { return nil }
        return array[index]
    }
}

// MARK: Text

extension JSON {
    /// Parses a document.
    package init(_ bytes: [UInt8], with parser: JSONParser = JSONParser()) throws(JSONError) {
        do {
            self = try parser.parse(bytes) { JSON($0.root) }
        } catch let error as JSONError {
            throw error
        } catch {
            throw .malformed
        }
    }

    package init(text: String) throws(JSONError) { try self.init(Array(text.utf8)) }

    /// Copies a lent value.
    package init(_ value: JSONValue) {
        switch value.kind {
        case .null: self = .null
        case .bool: self = .bool(value.bool == true)
        case .number: self = value.int64.map { .int($0) } ?? .double(value.double ?? 0)
        case .string: self = .string(value.string ?? "")
        case .array: self = .array(value.elements.map { JSON($0) })
        case .object: self = .object(value.members.map { (key: $0.key.string, value: JSON($0.value)) })
        }
    }

    package func write(to writer: inout JSONWriter) {
        switch self {
        case .null: writer.null()
        case .bool(let value): writer.bool(value)
        case .int(let value): writer.int(value)
        case .double(let value): writer.double(value)
        case .string(let value): writer.string(value)
        case .array(let elements): writer.array { for element in elements { element.write(to: &$0) } }
        case .object(let members):
            writer.object {
                for (key, value) in members {
                    $0.key(key)
                    value.write(to: &$0)
                }
            }
        }
    }

    package var encoded: [UInt8] {
        var writer = JSONWriter()
        write(to: &writer)
        return writer.bytes
    }

    package var text: String { String(decoding: encoded, as: UTF8.self) }
}

// MARK: Merge patch

extension JSON {
    /// Applies a merge patch (RFC 7386): members given replace, null removes, objects merge, anything else replaces all.
    package func merged(with patch: JSON) -> JSON {
        guard case .object(let changes) = patch else { return patch }
        var members: [(key: String, value: JSON)?] = object ?? []
        var places: [String: Int] = [:]
        for (place, member) in members.enumerated() {
            if let member, places[member.key] == nil { places[member.key] = place }
        }
        for (key, change) in changes {
            let place = places[key]
            if change.isNull {
                if let place { members[place] = nil }
                places[key] = nil
            } else if let place {
                let old = members[place]?.value ?? .null
                members[place] = (key, old.merged(with: change))
            } else {
                places[key] = members.count
                members.append((key, JSON.null.merged(with: change)))
            }
        }
        return .object(members.compactMap { $0 })
    }
}

// MARK: Literals

// Not for nil: it could then mean null or the absence of a value.
extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int64) { self = .int(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(floatLiteral value: Double) { self = .double(value) }
    package init(arrayLiteral elements: JSON...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(elements.map { (key: $0.0, value: $0.1) })
    }
}
