package import Bytes

/// Appends JSON text (RFC 8259) to bytes: commas and escapes are its business, nesting is the caller's.
///
///     var json = JSONWriter()
///     json.object {
///         $0.member("type", "error")
///         $0.key("tags")
///         $0.array { $0.string("a"); $0.string("b") }
///     }
///     send(json.bytes)
package struct JSONWriter {
    package private(set) var bytes: [UInt8]
    private var needsComma = false

    package init(capacity: Int = 0) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    /// Writes on after what `bytes` already holds.
    package init(appendingTo bytes: consuming [UInt8]) { self.bytes = bytes }

    // MARK: Structure

    package mutating func beginObject() { open(UInt8(ascii: "{")) }
    package mutating func endObject() { close(UInt8(ascii: "}")) }
    package mutating func beginArray() { open(UInt8(ascii: "[")) }
    package mutating func endArray() { close(UInt8(ascii: "]")) }

    package mutating func object(_ members: (inout JSONWriter) throws -> Void) rethrows {
        beginObject()
        try members(&self)
        endObject()
    }

    package mutating func array(_ elements: (inout JSONWriter) throws -> Void) rethrows {
        beginArray()
        try elements(&self)
        endArray()
    }

    /// A key without anything to escape.
    package mutating func key(_ name: StaticString) {
        let comma = needsComma
        bytes.append(atMost: Self.around(name)) { $0.write(key: name, comma) }
        needsComma = false
    }

    @_disfavoredOverload
    package mutating func key(_ name: String) {
        separate()
        appendQuoted(name)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    // MARK: Values

    package mutating func string(_ value: String) {
        separate()
        appendQuoted(value)
        needsComma = true
    }

    /// A string from UTF-8 bytes; bytes that are not UTF-8 become U+FFFD.
    package mutating func string(utf8 value: UnsafeRawBufferPointer) {
        // Only a String is known to be valid, and validation is the fast part of making one.
        string(String(decoding: value, as: UTF8.self))
    }

    package mutating func int(_ value: Int64) {
        let comma = needsComma
        bytes.append(atMost: Self.longestNumber) { out in
            if comma { out.write(UInt8(ascii: ",")) }
            out.write(decimal: value)
        }
        needsComma = true
    }

    package mutating func int(_ value: UInt64) {
        if let value = Int64(exactly: value) { int(value) } else { raw(String(value)) }
    }

    // A generic function would cost a call through a witness table a digit: it is not specialised across modules.
    package mutating func int(_ value: Int) { int(Int64(value)) }

    /// A number in its shortest form; null if it is not finite, which JSON cannot express.
    package mutating func double(_ value: Double) {
        guard value.isFinite else { return null() }
        raw(value.description)
    }

    package mutating func bool(_ value: Bool) { value ? raw("true") : raw("false") }
    package mutating func null() { raw("null") }

    /// Text that already is one JSON value.
    package mutating func raw(_ value: String) {
        separate()
        bytes.append(contentsOf: value.utf8)
        needsComma = true
    }

    /// Bytes that already are one JSON value.
    package mutating func raw(_ value: UnsafeRawBufferPointer) {
        separate()
        bytes.append(contentsOf: value)
        needsComma = true
    }

    /// Goes on with what `body` writes, at most so many bytes, commas included: for texts of a form known beforehand.
    package mutating func raw(atMost most: Int, _ body: (inout ByteCursor) -> Void) {
        bytes.append(atMost: most, body)
        needsComma = false
    }

    package mutating func raw(_ value: [UInt8]) { value.withUnsafeBytes { raw($0) } }
    package mutating func raw(_ value: ArraySlice<UInt8>) { value.withUnsafeBytes { raw($0) } }

    // MARK: Members

    package mutating func member(_ name: StaticString, _ value: String) {
        var value = value
        value.withUTF8 { text in
            guard text.count <= Self.piece else {
                key(name)
                return appendQuoted(UnsafeRawBufferPointer(text))
            }
            let comma = needsComma
            bytes.append(atMost: Self.around(name) + 6 * text.count + 2) { out in
                out.write(key: name, comma)
                out.write(quoting: UnsafeRawBufferPointer(text))
            }
        }
        needsComma = true
    }

    package mutating func member(_ name: StaticString, _ value: Int) { member(name, Int64(value)) }

    package mutating func member(_ name: StaticString, _ value: Int64) {
        let comma = needsComma
        bytes.append(atMost: Self.around(name) + Self.longestNumber) { out in
            out.write(key: name, comma)
            out.write(decimal: value)
        }
        needsComma = true
    }

    package mutating func member(_ name: StaticString, _ value: UInt64) {
        key(name)
        int(value)
    }

    package mutating func member(_ name: StaticString, _ value: Bool) {
        let comma = needsComma
        bytes.append(atMost: Self.around(name) + 5) { out in
            out.write(key: name, comma)
            out.write(value ? "true" : "false")
        }
        needsComma = true
    }

    package mutating func member(_ name: StaticString, _ value: Double) {
        key(name)
        double(value)
    }

    /// A member, with null for nil.
    package mutating func member(_ name: StaticString, _ value: String?) {
        if let value { member(name, value) } else { null(name) }
    }

    /// A member, with null for nil.
    package mutating func member(_ name: StaticString, _ value: Int?) { member(name, value.map { Int64($0) }) }

    /// A member, with null for nil.
    package mutating func member(_ name: StaticString, _ value: Int64?) {
        if let value { member(name, value) } else { null(name) }
    }

    /// A member that is a time (RFC 3339), given in microseconds since 1970-01-01 UTC.
    package mutating func member(_ name: StaticString, time: Int64) {
        let comma = needsComma
        bytes.append(atMost: Self.around(name) + RFC3339.longest + 2) { out in
            out.write(key: name, comma)
            out.write(UInt8(ascii: "\""))
            RFC3339.write(time, to: &out)
            out.write(UInt8(ascii: "\""))
        }
        needsComma = true
    }

    package mutating func null(_ name: StaticString) {
        let comma = needsComma
        bytes.append(atMost: Self.around(name) + 4) { out in
            out.write(key: name, comma)
            out.write("null")
        }
        needsComma = true
    }

    // MARK: Bytes

    /// Texts are escaped in pieces of so many bytes: each may grow sixfold, and room is made for that.
    private static let piece = 512
    /// A comma, a sign and 19 digits.
    private static let longestNumber = 21

    /// What a key takes with its quotes, its colon and a comma before it.
    private static func around(_ name: StaticString) -> Int { name.utf8CodeUnitCount + 4 }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
    }

    private mutating func open(_ bracket: UInt8) {
        let comma = needsComma
        bytes.append(atMost: 2) { out in
            if comma { out.write(UInt8(ascii: ",")) }
            out.write(bracket)
        }
        needsComma = false
    }

    private mutating func close(_ bracket: UInt8) {
        bytes.append(bracket)
        needsComma = true
    }

    private mutating func appendQuoted(_ value: String) {
        var value = value
        value.withUTF8 { appendQuoted(UnsafeRawBufferPointer($0)) }
    }

    private mutating func appendQuoted(_ text: UnsafeRawBufferPointer) {
        guard text.count > Self.piece else {
            return bytes.append(atMost: 6 * text.count + 2) { $0.write(quoting: text) }
        }
        bytes.append(UInt8(ascii: "\""))
        var start = 0
        while start < text.count {
            let end = min(start + Self.piece, text.count)
            bytes.append(atMost: 6 * (end - start)) { out in
                out.write(escaping: UnsafeRawBufferPointer(rebasing: text[start..<end]))
            }
            start = end
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

extension ByteCursor {
    fileprivate mutating func write(key name: StaticString, _ comma: Bool) {
        if comma { write(UInt8(ascii: ",")) }
        write(UInt8(ascii: "\""))
        write(name)
        write(UInt8(ascii: "\""))
        write(UInt8(ascii: ":"))
    }

    fileprivate mutating func write(quoting text: UnsafeRawBufferPointer) {
        write(UInt8(ascii: "\""))
        write(escaping: text)
        write(UInt8(ascii: "\""))
    }
}
