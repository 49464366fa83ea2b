import Bytes
import Glibc

/// The header fields of one message, in order, names in lower case.
///
/// All of them share one byte buffer: a message costs two allocations whatever its number of fields, and a field that
/// only passes through never becomes a `String`.
package struct HeaderFields: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    private struct Entry: Equatable, Sendable {
        var nameStart: UInt32
        var nameLength: UInt32
        var valueLength: UInt32
        var valueStart: UInt32 { nameStart + nameLength }
        var end: UInt32 { valueStart + valueLength }
    }
    private var bytes: [UInt8] = []
    private var entries: [Entry] = []

    package init() {}

    package init(dictionaryLiteral elements: (String, String)...) {
        for (name, value) in elements { add(name, value) }
    }

    package var count: Int { entries.count }
    package var isEmpty: Bool { entries.isEmpty }
    /// Bytes of all names and values.
    package var byteCount: Int { bytes.count }

    package mutating func reserve(bytes byteCount: Int, fields: Int) {
        bytes.reserveCapacity(byteCount)
        entries.reserveCapacity(fields)
    }

    /// Empties it; the memory stays for the next message.
    package mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        entries.removeAll(keepingCapacity: true)
    }

    /// The same fields in no more memory than they need.
    package func compacted() -> HeaderFields {
        var copy = HeaderFields()
        copy.reserve(bytes: bytes.count, fields: entries.count)
        copy.bytes.append(contentsOf: bytes)
        copy.entries.append(contentsOf: entries)
        return copy
    }

    /// Appends a field; ASCII letters of the name are lowered.
    package mutating func add(_ name: String, _ value: String) {
        var name = name
        var value = value
        name.withUTF8 { name in
            value.withUTF8 { value in add(UnsafeRawBufferPointer(name), UnsafeRawBufferPointer(value)) }
        }
    }

    package mutating func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        // Callers bound messages far below 4 GiB; the check keeps the arithmetic above from trapping regardless.
        guard bytes.count + name.count + value.count < Int(UInt32.max) else { return }
        let start = UInt32(bytes.count)
        bytes.append(atMost: name.count + value.count) { out in
            out.write(lowered: name)
            out.write(value)
        }
        entries.append(
            Entry(nameStart: start, nameLength: UInt32(name.count), valueLength: UInt32(value.count))
        )
    }

    /// Removes all fields of that name (given in lower case), then appends one.
    package mutating func set(_ name: String, _ value: String) {
        remove(name)
        add(name, value)
    }

    package mutating func remove(_ name: String) {
        guard contains(name) else { return }
        self = filter { field, _ in !field.equals(name) }
    }

    package func contains(_ name: String) -> Bool { firstIndex(of: name) != nil }

    /// The first value of the field with this lower-case name.
    package subscript(_ name: String) -> String? {
        firstIndex(of: name).map { value(at: $0) }
    }

    /// All values of the field with this lower-case name, in order.
    package func values(_ name: String) -> [String] {
        entries.indices.filter { isNamed($0, name) }.map { value(at: $0) }
    }

    /// Calls `body` with the bytes of the first value of the field, without making a string of it.
    package func withValue<Result>(_ name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows
        -> Result?
    {
        guard let index = firstIndex(of: name) else { return nil }
        let entry = entries[index]
        return try bytes.withUnsafeBytes { bytes in
            try body(UnsafeRawBufferPointer(rebasing: bytes[Int(entry.valueStart)..<Int(entry.end)]))
        }
    }

    /// Calls `body` with the bytes of each name and value, in order.
    package func forEach(_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void) rethrows {
        try bytes.withUnsafeBytes { bytes in
            for entry in entries {
                try body(
                    UnsafeRawBufferPointer(rebasing: bytes[Int(entry.nameStart)..<Int(entry.valueStart)]),
                    UnsafeRawBufferPointer(rebasing: bytes[Int(entry.valueStart)..<Int(entry.end)])
                )
            }
        }
    }

    /// Like `forEach`, but the bytes stay valid until `body` returns: for C functions that take all fields at once.
    package func withFields<Result>(
        _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void,
        then body: () throws -> Result
    ) rethrows -> Result {
        try bytes.withUnsafeBytes { bytes in
            for entry in entries {
                visit(
                    UnsafeRawBufferPointer(rebasing: bytes[Int(entry.nameStart)..<Int(entry.valueStart)]),
                    UnsafeRawBufferPointer(rebasing: bytes[Int(entry.valueStart)..<Int(entry.end)])
                )
            }
            return try body()
        }
    }

    /// The fields for which `isKept` holds.
    ///
    /// - Parameter further: short fields that will be added.
    package func filter(leavingRoomFor further: Int = 0, _ isKept: (FieldBytes, FieldBytes) -> Bool) -> HeaderFields {
        var kept = HeaderFields()
        kept.reserve(bytes: bytes.count + 64 * further, fields: entries.count + further)
        forEach { name, value in
            if isKept(FieldBytes(raw: name), FieldBytes(raw: value)) { kept.add(name, value) }
        }
        return kept
    }

    /// Names and values as strings, in order: for tests and cold paths.
    package var strings: [(name: String, value: String)] {
        entries.indices.map { (name(at: $0), value(at: $0)) }
    }

    private func firstIndex(of name: String) -> Int? {
        // Names are literals, whose bytes lie in one piece.
        let found: Int?? = name.utf8.withContiguousStorageIfAvailable { name in
            bytes.withUnsafeBytes { bytes in
                for (index, entry) in entries.enumerated() where Int(entry.nameLength) == name.count {
                    guard let start = bytes.baseAddress, let wanted = name.baseAddress else { return nil }
                    if memcmp(start + Int(entry.nameStart), wanted, name.count) == 0 { return index }
                }
                return nil
            }
        }
        return found ?? entries.indices.first { isNamed($0, name) }
    }

    private func isNamed(_ index: Int, _ name: String) -> Bool {
        let entry = entries[index]
        guard Int(entry.nameLength) == name.utf8.count else { return false }
        return bytes.withUnsafeBytes { bytes in
            FieldBytes(
                raw: UnsafeRawBufferPointer(rebasing: bytes[Int(entry.nameStart)..<Int(entry.valueStart)])
            ).equals(name)
        }
    }

    private func name(at index: Int) -> String {
        let entry = entries[index]
        return String(decoding: bytes[Int(entry.nameStart)..<Int(entry.valueStart)], as: UTF8.self)
    }

    private func value(at index: Int) -> String {
        let entry = entries[index]
        return String(decoding: bytes[Int(entry.valueStart)..<Int(entry.end)], as: UTF8.self)
    }
}

/// A name or value while it is being looked at.
package struct FieldBytes {
    package let raw: UnsafeRawBufferPointer

    package init(raw: UnsafeRawBufferPointer) { self.raw = raw }

    package func equals(_ text: StaticString) -> Bool { raw.count == text.utf8CodeUnitCount && hasPrefix(text) }

    package func hasPrefix(_ text: StaticString) -> Bool {
        guard raw.count >= text.utf8CodeUnitCount, let start = raw.baseAddress else {
            return text.utf8CodeUnitCount == 0
        }
        return memcmp(start, text.utf8Start, text.utf8CodeUnitCount) == 0
    }

    @_disfavoredOverload
    package func equals(_ text: String) -> Bool { raw.count == text.utf8.count && hasPrefix(text) }

    @_disfavoredOverload
    package func hasPrefix(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { text in
            guard raw.count >= text.count, let start = raw.baseAddress, let other = text.baseAddress else {
                return text.isEmpty
            }
            return memcmp(start, other, text.count) == 0
        }
    }

    package var string: String { String(decoding: raw, as: UTF8.self) }
}
