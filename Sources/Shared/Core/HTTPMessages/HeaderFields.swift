import Bytes
public import Glibc

/// The header fields of one message, in order, names in lower case.
///
/// All of them share one byte buffer: a message costs one allocation whatever its number of fields, and a field that only
/// passes through never becomes a `String`.
@usableFromInline
package struct HeaderFields: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    /// Field after field: the lengths of its name and of its value, four bytes each, then both.
    @usableFromInline var bytes: [UInt8] = []
    @usableFromInline var fieldCount = 0

    /// Where a field lies among the bytes.
    @usableFromInline
    struct Place {
        @usableFromInline static var headBytes: Int { 8 }
        @usableFromInline let nameStart: Int
        @usableFromInline let valueStart: Int
        @usableFromInline let end: Int

        /// - Parameter start: where the field before it ends.
        @inlinable @inline(__always)
        init(_ bytes: UnsafeRawBufferPointer, at start: Int) {
            let lengths = bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self)
            nameStart = start &+ 8
            valueStart = nameStart &+ Int(truncatingIfNeeded: lengths & 0xffff_ffff)
            end = valueStart &+ Int(truncatingIfNeeded: lengths >> 32)
        }

        static func lengths(_ name: Int, _ value: Int) -> UInt64 {
            UInt64(truncatingIfNeeded: name) | UInt64(truncatingIfNeeded: value) << 32
        }

        @inlinable @inline(__always)
        func name(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: bytes[nameStart..<valueStart])
        }

        @inlinable @inline(__always)
        func value(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: bytes[valueStart..<end])
        }
    }

    @usableFromInline package init() {}

    @usableFromInline
    package init(dictionaryLiteral elements: (String, String)...) {
        for (name, value) in elements { add(name, value) }
    }

    @inlinable package var count: Int { fieldCount }
    @inlinable package var isEmpty: Bool { fieldCount == 0 }
    /// Bytes of all names and values.
    @usableFromInline package var byteCount: Int { bytes.count - fieldCount * Place.headBytes }

    @usableFromInline
    package mutating func reserve(bytes byteCount: Int, fields: Int) {
        bytes.reserveCapacity(byteCount + fields * Place.headBytes)
    }

    /// Empties it; the memory stays for the next message.
    package mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        fieldCount = 0
    }

    /// The same fields in no more memory than they need.
    package func compacted() -> HeaderFields {
        var copy = HeaderFields()
        copy.bytes.append(atMost: bytes.count) { out in bytes.withUnsafeBytes { out.write($0) } }
        copy.fieldCount = fieldCount
        return copy
    }

    /// Appends a field; ASCII letters of the name are lowered.
    package mutating func add(_ name: StaticString, _ value: String) {
        guard mayAdd(name.utf8CodeUnitCount, value.utf8.count) else { return }
        bytes.append(atMost: Place.headBytes + name.utf8CodeUnitCount + value.utf8.count) { out in
            out.write(inMemoryOrder: Place.lengths(name.utf8CodeUnitCount, value.utf8.count))
            out.write(lowered: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
            out.write(value)
        }
        fieldCount &+= 1
    }

    @_disfavoredOverload
    package mutating func add(_ name: String, _ value: String) {
        var name = name
        var value = value
        name.withUTF8 { name in
            value.withUTF8 { value in add(UnsafeRawBufferPointer(name), UnsafeRawBufferPointer(value)) }
        }
    }

    @usableFromInline
    package mutating func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        guard mayAdd(name.count, value.count) else { return }
        bytes.append(atMost: Place.headBytes + name.count + value.count) { out in
            out.write(inMemoryOrder: Place.lengths(name.count, value.count))
            out.write(lowered: name)
            out.write(value)
        }
        fieldCount &+= 1
    }

    /// Callers bound messages far below 4 GiB; the check keeps lengths in their four bytes regardless.
    private func mayAdd(_ nameLength: Int, _ valueLength: Int) -> Bool {
        bytes.count + nameLength + valueLength < Int(UInt32.max)
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

    package func contains(_ name: StaticString) -> Bool { firstValue(of: name) != nil }

    @_disfavoredOverload
    package func contains(_ name: String) -> Bool { firstValue(of: name) != nil }

    /// The first value of the field with this lower-case name.
    package subscript(_ name: StaticString) -> String? { firstValue(of: name).map(string) }

    @_disfavoredOverload
    package subscript(_ name: String) -> String? { firstValue(of: name).map(string) }

    /// All values of the field with this lower-case name, in order.
    package func values(_ name: String) -> [String] {
        var found: [String] = []
        forEach { field, value in
            if FieldBytes(raw: field).equals(name) { found.append(FieldBytes(raw: value).string) }
        }
        return found
    }

    /// Calls `body` with the bytes of the first value of the field, without making a string of it.
    @inlinable @inline(__always)
    package func withValue<Result>(
        _ name: StaticString,
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result? {
        guard let place = firstValue(of: name) else { return nil }
        return try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[place])) }
    }

    @_disfavoredOverload
    @inlinable @inline(__always)
    package func withValue<Result>(
        _ name: String,
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result? {
        guard let place = firstValue(of: name) else { return nil }
        return try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[place])) }
    }

    /// Calls `body` with the bytes of each name and value, in order.
    @inlinable @inline(__always)
    package func forEach(_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void) rethrows {
        try bytes.withUnsafeBytes { bytes in
            var start = 0
            while start < bytes.count {
                let place = Place(bytes, at: start)
                try body(place.name(bytes), place.value(bytes))
                start = place.end
            }
        }
    }

    /// Like `forEach`, but the bytes stay valid until `body` returns: for C functions that take all fields at once.
    @inlinable @inline(__always)
    package func withFields<Result>(
        _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void,
        then body: () throws -> Result
    ) rethrows -> Result {
        try bytes.withUnsafeBytes { bytes in
            var start = 0
            while start < bytes.count {
                let place = Place(bytes, at: start)
                visit(place.name(bytes), place.value(bytes))
                start = place.end
            }
            return try body()
        }
    }

    /// The fields for which `isKept` holds.
    ///
    /// - Parameter further: short fields that will be added.
    @inlinable @inline(__always)
    package func filter(leavingRoomFor further: Int = 0, _ isKept: (FieldBytes, FieldBytes) -> Bool) -> HeaderFields {
        var kept = HeaderFields()
        kept.reserve(bytes: byteCount + 64 * further, fields: count + further)
        forEach { name, value in
            if isKept(FieldBytes(raw: name), FieldBytes(raw: value)) { kept.add(name, value) }
        }
        return kept
    }

    /// Names and values as strings, in order: for tests and cold paths.
    package var strings: [(name: String, value: String)] {
        var all: [(name: String, value: String)] = []
        forEach { all.append((FieldBytes(raw: $0).string, FieldBytes(raw: $1).string)) }
        return all
    }

    @usableFromInline
    func firstValue(of name: StaticString) -> Range<Int>? {
        firstValue(of: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }

    @usableFromInline
    func firstValue(of name: String) -> Range<Int>? {
        var name = name
        return name.withUTF8 { firstValue(of: UnsafeRawBufferPointer($0)) }
    }

    private func firstValue(of name: UnsafeRawBufferPointer) -> Range<Int>? {
        guard let wanted = name.baseAddress else { return nil }
        return bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return nil }
            var start = 0
            while start < bytes.count {
                let place = Place(bytes, at: start)
                if place.valueStart &- place.nameStart == name.count,
                    memcmp(base + place.nameStart, wanted, name.count) == 0
                {
                    return place.valueStart..<place.end
                }
                start = place.end
            }
            return nil
        }
    }

    private func string(_ place: Range<Int>) -> String {
        bytes.withUnsafeBytes { FieldBytes(raw: UnsafeRawBufferPointer(rebasing: $0[place])).string }
    }
}

/// A name or value while it is being looked at.
@usableFromInline
package struct FieldBytes {
    @usableFromInline package let raw: UnsafeRawBufferPointer

    @inlinable @inline(__always)
    package init(raw: UnsafeRawBufferPointer) { self.raw = raw }

    @inlinable @inline(__always)
    package func equals(_ text: StaticString) -> Bool { raw.count == text.utf8CodeUnitCount && hasPrefix(text) }

    @inlinable @inline(__always)
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

    /// The number that the bytes are: digits only, 18 at most, as lengths of messages are written (RFC 9110, 8.6).
    package var decimal: Int? {
        guard !raw.isEmpty, raw.count <= 18 else { return nil }
        var value = 0
        for byte in raw {
            let digit = byte &- 0x30
            guard digit < 10 else { return nil }
            value = value &* 10 &+ Int(digit)
        }
        return value
    }
}
