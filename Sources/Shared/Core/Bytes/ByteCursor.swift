import Glibc

/// Writes into memory that is known to be large enough: for texts made of many small pieces, where the bookkeeping of an
/// array at each piece would cost more than the piece.
package struct ByteCursor: ~Copyable {
    private let start: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    package private(set) var count = 0

    /// - Precondition: all that is written fits; builds for debugging check it at each step.
    package init(_ memory: UnsafeMutableBufferPointer<UInt8>) {
        guard let base = memory.baseAddress else { preconditionFailure("no memory to write to") }
        start = base
        capacity = memory.count
    }

    @inline(__always)
    package mutating func write(_ byte: UInt8) {
        assert(count < capacity)
        start[count] = byte
        count &+= 1
    }

    @inline(__always)
    package mutating func write(_ text: StaticString) {
        copy(UnsafeRawPointer(text.utf8Start), text.utf8CodeUnitCount)
    }

    @inline(__always)
    package mutating func write(_ bytes: UnsafeRawBufferPointer) {
        if let base = bytes.baseAddress { copy(base, bytes.count) }
    }

    /// Disfavoured so that a literal is a `StaticString`, which needs no counting of references.
    @_disfavoredOverload
    @inline(__always)
    package mutating func write(_ text: String) {
        var text = text
        text.withUTF8 { if let base = $0.baseAddress { copy(UnsafeRawPointer(base), $0.count) } }
    }

    /// `\r\n`.
    @inline(__always)
    package mutating func writeLineEnd() {
        write(UInt8(ascii: "\r"))
        write(UInt8(ascii: "\n"))
    }

    /// At most 20 bytes.
    @inline(__always)
    package mutating func write(decimal number: Int64) {
        // Most are lengths and counts of one or two digits.
        if 0..<10 ~= number { return write(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: number)) }
        write(longDecimal: number)
    }

    private mutating func write(longDecimal number: Int64) {
        if number < 0 { write(UInt8(ascii: "-")) }
        var rest = number.magnitude
        var length = 1
        var bound: UInt64 = 10
        while length < 19, rest >= bound {
            length &+= 1
            bound &*= 10
        }
        assert(count + length <= capacity)
        var at = count &+ length
        count = at
        repeat {
            at &-= 1
            let next = rest / 10
            start[at] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest &- next &* 10)
            rest = next
        } while rest != 0
    }

    /// The inside of a JSON string (RFC 8259, 7), at most six times the bytes given. These are taken to be UTF-8.
    package mutating func write(escaping bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        var clean = 0
        var index = 0
        while index < bytes.count {
            // Eight bytes at once, as long as none of them needs an escape.
            if index &+ 8 <= bytes.count,
                !Self.needsEscape(base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            {
                index &+= 8
                continue
            }
            let byte = base.load(fromByteOffset: index, as: UInt8.self)
            if byte < 0x20 || byte == 0x22 || byte == 0x5C {
                copy(base + clean, index &- clean)
                clean = index &+ 1
                write(UInt8(ascii: "\\"))
                if byte >= 0x20 {
                    write(byte)
                } else {
                    write("u00")
                    write(0x30 &+ byte >> 4)
                    let low = byte & 15
                    write(low < 10 ? 0x30 &+ low : 0x57 &+ low)
                }
            }
            index &+= 1
        }
        copy(base + clean, bytes.count &- clean)
    }

    /// Whether one of eight bytes is below 0x20, a quotation mark or a backslash; now and then true of others.
    @inline(__always)
    private static func needsEscape(_ word: UInt64) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let tops: UInt64 = 0x8080_8080_8080_8080
        let quotes = word ^ (ones &* 0x22)
        let slashes = word ^ (ones &* 0x5C)
        let low = word &- ones &* 0x20
        return (low & ~word | (quotes &- ones) & ~quotes | (slashes &- ones) & ~slashes) & tops != 0
    }

    @inline(__always)
    private mutating func copy(_ source: UnsafeRawPointer, _ length: Int) {
        assert(count + length <= capacity)
        memcpy(start + count, source, length)
        count &+= length
    }
}

extension [UInt8] {
    /// Appends what `body` writes, at most so many bytes.
    @inline(__always)
    package mutating func append(atMost most: Int, _ body: (inout ByteCursor) -> Void) {
        append(addingCapacity: most) { span in
            span.withUnsafeMutableBufferPointer { memory, count in
                guard count < memory.count else { return }
                var cursor = ByteCursor(UnsafeMutableBufferPointer(rebasing: memory[count...]))
                body(&cursor)
                count &+= cursor.count
            }
        }
    }
}
