import Bytes
package import Formats

/// What all readers of one request share.
package final class RequestSource {
    /// How a dialect writes places: `messages.0.content` (Anthropic) or `messages[0].content` (OpenAI, Google).
    package enum PathStyle: Sendable { case dots, brackets }

    package let parser: JSONParser
    fileprivate let style: PathStyle
    private var cursor: JSONSourceCursor

    /// - Parameter parser: not the one that holds the document.
    package init(_ document: JSONDocument, _ style: PathStyle, _ parser: JSONParser) {
        self.style = style
        self.parser = parser
        cursor = JSONSourceCursor(document)
    }

    /// The bytes of a value as they came. Ask in the document's order: going back costs a walk from its start.
    package func raw(_ value: JSONValue) -> RawJSON { RawJSON(trusted: cursor.bytes(of: value)) }
}

/// Reads the members of one object of a request and names the field of every fault.
///
/// An object whose keys are not unique is refused: the gateway and an upstream could each read another value. A member
/// that is null counts as absent.
package struct FieldReader {
    package let value: JSONValue
    package let source: RequestSource
    /// Empty for the request itself.
    package let path: String

    package init(_ value: JSONValue, _ path: String, _ source: RequestSource) throws {
        guard value.isObject else {
            throw TranslationFault(path.isEmpty ? "body" : path, "must be an object")
        }
        self.value = value
        self.source = source
        self.path = path
        try refuseDuplicates()
    }

    /// The full name of a member.
    package func name(_ key: StaticString) -> String { path.isEmpty ? "\(key)" : "\(path).\(key)" }

    package func fault(_ key: StaticString, _ message: String) -> TranslationFault {
        TranslationFault(name(key), message)
    }

    package subscript(_ key: StaticString) -> JSONValue? {
        guard let member = value[key], !member.isNull else { return nil }
        return member
    }

    package func has(_ key: StaticString) -> Bool { self[key] != nil }

    // MARK: Scalars

    package func string(_ key: StaticString) throws -> String? {
        guard let member = self[key] else { return nil }
        guard let text = member.string else { throw fault(key, "must be a string") }
        return text
    }

    package func requiredString(_ key: StaticString) throws -> String {
        guard let text = try string(key) else { throw fault(key, "field required") }
        return text
    }

    package func bool(_ key: StaticString) throws -> Bool? {
        guard let member = self[key] else { return nil }
        guard let flag = member.bool else { throw fault(key, "must be a boolean") }
        return flag
    }

    package func int(_ key: StaticString, in range: ClosedRange<Int64> = 0...Int64.max) throws -> Int64? {
        guard let member = self[key] else { return nil }
        // Some clients write whole numbers as 1024.0.
        let number = member.int64 ?? member.double.flatMap { Int64(exactly: $0) }
        guard let number else { throw fault(key, "must be an integer") }
        guard range.contains(number) else { throw fault(key, "is out of range") }
        return number
    }

    package func number(_ key: StaticString, in range: ClosedRange<Double>) throws -> JSONNumber? {
        guard let member = self[key] else { return nil }
        guard let number = JSONNumber(member) else { throw fault(key, "must be a number") }
        guard range.contains(number.value) else {
            throw fault(key, "must be between \(range.lowerBound) and \(range.upperBound)")
        }
        return number
    }

    // MARK: Structure

    package func object(_ key: StaticString) throws -> FieldReader? {
        guard let member = self[key] else { return nil }
        return try FieldReader(member, name(key), source)
    }

    package func requiredObject(_ key: StaticString) throws -> FieldReader {
        guard let member = try object(key) else { throw fault(key, "field required") }
        return member
    }

    /// The elements of an array, each with its name.
    package func elements(_ key: StaticString) throws -> [(value: JSONValue, path: String)]? {
        guard let member = self[key] else { return nil }
        guard member.isArray else { throw fault(key, "must be an array") }
        let base = name(key)
        return member.elements.enumerated().map { index, element in
            (element, source.style == .dots ? "\(base).\(index)" : "\(base)[\(index)]")
        }
    }

    /// The elements of an array of objects.
    package func objects(_ key: StaticString) throws -> [FieldReader]? {
        try elements(key)?.map { try FieldReader($0.value, $0.path, source) }
    }

    /// The elements of an array of strings.
    package func strings(_ key: StaticString) throws -> [String]? {
        try elements(key)?.map { element in
            guard let text = element.value.string else { throw TranslationFault(element.path, "must be a string") }
            return text
        }
    }

    /// A member as it came, whatever it is.
    package func raw(_ key: StaticString) -> RawJSON? { self[key].map { source.raw($0) } }

    /// A member that must be an object, as it came.
    package func rawObject(_ key: StaticString) throws -> RawJSON? {
        guard let member = self[key] else { return nil }
        guard member.isObject else { throw fault(key, "must be an object") }
        return source.raw(member)
    }

    private func refuseDuplicates() throws {
        let count = value.count
        guard count > 1 else { return }
        if count <= 24 {
            var rest = value.members
            while let (key, _) = rest.next() {
                for (other, _) in rest
                where key.bytes.count == other.bytes.count && key.bytes.elementsEqual(other.bytes) {
                    throw duplicate(key)
                }
            }
        } else {
            // Bytes, because two texts may be equal to Unicode and yet be two keys.
            var seen: Set<[UInt8]> = []
            for (key, _) in value.members where !seen.insert(Array(key.bytes)).inserted { throw duplicate(key) }
        }
    }

    private func duplicate(_ key: JSONKey) -> TranslationFault {
        // A name of any length could stand there, and faults go into logs.
        let shown = key.string.shown(64)
        return TranslationFault(path.isEmpty ? shown : "\(path).\(shown)", "stands more than once")
    }
}
