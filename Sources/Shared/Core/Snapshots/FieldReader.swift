import Domain
import Formats

/// Reads the members of one object; a fault names the member by its path. Unknown members are ignored.
struct FieldReader {
    private let object: JSONValue
    private let path: String

    init(_ object: JSONValue, path: String = "") throws(SnapshotError) {
        guard object.isObject else {
            throw path.isEmpty ? .notJSON : .missing(path)
        }
        self.object = object
        self.path = path
    }

    /// - Throws: `unknownFormat` unless the object is of this format.
    func require(format: Int) throws(SnapshotError) {
        let found = object["format"]?.int64
        guard found == Int64(format) else { throw .unknownFormat(found) }
    }

    func int(_ name: StaticString, in range: ClosedRange<Int64>) throws(SnapshotError) -> Int64 {
        guard let value = object[name]?.int64 else { throw .missing(at(name)) }
        guard range.contains(value) else { throw .invalid(at(name)) }
        return value
    }

    func optionalInt(_ name: StaticString, in range: ClosedRange<Int64>) throws(SnapshotError) -> Int64? {
        try isAbsent(name) ? nil : int(name, in: range)
    }

    func bool(_ name: StaticString) throws(SnapshotError) -> Bool {
        guard let value = object[name]?.bool else { throw .missing(at(name)) }
        return value
    }

    func optionalBool(_ name: StaticString) throws(SnapshotError) -> Bool? {
        try isAbsent(name) ? nil : bool(name)
    }

    /// A string without NUL, which Postgres' texts cannot hold, and of at most `limit` bytes.
    func text(_ name: StaticString, limit: Int = .max) throws(SnapshotError) -> String {
        guard let bytes = object[name]?.stringBytes else { throw .missing(at(name)) }
        guard bytes.count <= limit, !bytes.contains(0) else { throw .invalid(at(name)) }
        return String(decoding: bytes, as: UTF8.self)
    }

    func optionalText(_ name: StaticString) throws(SnapshotError) -> String? {
        try isAbsent(name) ? nil : text(name)
    }

    /// One of a set of names.
    func choice<Value: RawRepresentable<String>>(_ name: StaticString) throws(SnapshotError) -> Value {
        guard let value = Value(rawValue: try text(name)) else { throw .invalid(at(name)) }
        return value
    }

    func id<ID: Identifier>(_ name: StaticString) throws(SnapshotError) -> ID { ID(try int(name, in: 0...Int64.max)) }

    func optionalID<ID: Identifier>(_ name: StaticString) throws(SnapshotError) -> ID? {
        try optionalInt(name, in: 0...Int64.max).map { ID($0) }
    }

    func time(_ name: StaticString) throws(SnapshotError) -> Timestamp {
        Timestamp(microseconds: try int(name, in: Self.times))
    }

    func optionalTime(_ name: StaticString) throws(SnapshotError) -> Timestamp? {
        try isAbsent(name) ? nil : time(name)
    }

    func optionalMoney(_ name: StaticString) throws(SnapshotError) -> NanoUSD? {
        try optionalInt(name, in: 0...NanoUSD.maximum.raw).map { NanoUSD($0) }
    }

    func multiplier(_ name: StaticString) throws(SnapshotError) -> Multiplier {
        Multiplier(try int(name, in: 0...10_000_000))
    }

    func object(_ name: StaticString) throws(SnapshotError) -> FieldReader {
        guard let value = object[name] else { throw .missing(at(name)) }
        return try FieldReader(value, path: at(name))
    }

    func optionalObject(_ name: StaticString) throws(SnapshotError) -> FieldReader? {
        try isAbsent(name) ? nil : object(name)
    }

    func objects<Value>(
        _ name: StaticString,
        _ read: (FieldReader) throws(SnapshotError) -> Value
    ) throws(SnapshotError) -> [Value] {
        var values: [Value] = []
        for (index, element) in try elements(name).enumerated() {
            values.append(try read(FieldReader(element, path: "\(at(name))[\(index)]")))
        }
        return values
    }

    /// None where the member is absent.
    func optionalObjects<Value>(
        _ name: StaticString,
        _ read: (FieldReader) throws(SnapshotError) -> Value
    ) throws(SnapshotError) -> [Value] {
        try isAbsent(name) ? [] : objects(name, read)
    }

    /// None where the member is absent.
    func optionalInts(_ name: StaticString, in range: ClosedRange<Int64>) throws(SnapshotError) -> [Int64] {
        if isAbsent(name) { return [] }
        var numbers: [Int64] = []
        for element in try elements(name) {
            guard let number = element.int64 else { throw .missing(at(name)) }
            guard range.contains(number) else { throw .invalid(at(name)) }
            numbers.append(number)
        }
        return numbers
    }

    func ids<ID: Identifier>(_ name: StaticString) throws(SnapshotError) -> [ID] {
        var ids: [ID] = []
        for element in try elements(name) {
            guard let id = element.int64 else { throw .missing(at(name)) }
            ids.append(ID(id))
        }
        return ids
    }

    func texts(_ name: StaticString) throws(SnapshotError) -> [String] {
        var texts: [String] = []
        for element in try elements(name) {
            guard let text = element.string else { throw .missing(at(name)) }
            texts.append(text)
        }
        return texts
    }

    func textMap(_ name: StaticString) throws(SnapshotError) -> [String: String] {
        var map: [String: String] = [:]
        for (key, value) in try members(name) {
            guard let text = value.string else { throw .missing("\(at(name)).\(key.string)") }
            map[key.string] = text
        }
        return map
    }

    /// The members of an object of whole numbers.
    func numbers(_ name: StaticString) throws(SnapshotError) -> [(name: String, value: Int64)] {
        var numbers: [(String, Int64)] = []
        for (key, value) in try members(name) {
            guard let number = value.int64 else { throw .missing("\(at(name)).\(key.string)") }
            numbers.append((key.string, number))
        }
        return numbers
    }

    func at(_ name: StaticString) -> String { path.isEmpty ? "\(name)" : "\(path).\(name)" }

    /// The years 1970 to 9999: what every store and format on the way can hold.
    static let times: ClosedRange<Int64> = 0...253_402_300_799_999_999

    private func isAbsent(_ name: StaticString) -> Bool { object[name]?.isNull ?? true }

    private func elements(_ name: StaticString) throws(SnapshotError) -> JSONElements {
        guard let array = object[name], array.isArray else { throw .missing(at(name)) }
        return array.elements
    }

    private func members(_ name: StaticString) throws(SnapshotError) -> JSONMembers {
        guard let object = object[name], object.isObject else { throw .missing(at(name)) }
        return object.members
    }
}
