/// Writes into memory that is known to be large enough: for texts made of many small pieces, where the bookkeeping of an
/// array at each piece would cost more than the piece.
@usableFromInline
package struct ByteCursor: ~Copyable {
    @usableFromInline let start: UnsafeMutablePointer<UInt8>
    @usableFromInline let capacity: Int
    @usableFromInline var length = 0
    @inlinable package var count: Int { length }

    /// - Precondition: all that is written fits; builds for debugging check it at each step.
    @inlinable
    package init(_ memory: UnsafeMutableBufferPointer<UInt8>) {
        guard let base = memory.baseAddress else { preconditionFailure("no memory to write to") }
        start = base
        capacity = memory.count
    }

    @inlinable @inline(__always)
    package mutating func write(_ byte: UInt8) {
        assert(length < capacity)
        start[length] = byte
        length &+= 1
    }

    @inlinable @inline(__always)
    package mutating func write(_ text: StaticString) {
        copy(UnsafeRawPointer(text.utf8Start), text.utf8CodeUnitCount)
    }

    @inlinable @inline(__always)
    package mutating func write(_ bytes: UnsafeRawBufferPointer) {
        if let base = bytes.baseAddress { copy(base, bytes.count) }
    }

    /// The bytes of the number as memory has them: for texts that only this machine reads.
    @inlinable @inline(__always)
    package mutating func write(inMemoryOrder number: UInt64) {
        assert(length + 8 <= capacity)
        UnsafeMutableRawPointer(start + length).storeBytes(of: number, as: UInt64.self)
        length &+= 8
    }

    /// The bytes with ASCII letters in lower case.
    @inlinable @inline(__always)
    package mutating func write(lowered bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        let size = bytes.count
        assert(length + size <= capacity)
        let out = UnsafeMutableRawPointer(start + length)
        length &+= size
        // The last word may overlap the one before it: both say the same of the bytes that they share.
        if size >= 8 {
            var index = 0
            while index < size &- 8 {
                Self.lower(base, out, at: index)
                index &+= 8
            }
            Self.lower(base, out, at: size &- 8)
        } else if size >= 4 {
            let first = UInt64(base.loadUnaligned(as: UInt32.self))
            let last = UInt64(base.loadUnaligned(fromByteOffset: size &- 4, as: UInt32.self))
            let both = ASCIIWord.lowered(first | last << 32)
            out.storeBytes(of: UInt32(truncatingIfNeeded: both), as: UInt32.self)
            out.storeBytes(of: UInt32(truncatingIfNeeded: both >> 32), toByteOffset: size &- 4, as: UInt32.self)
        } else {
            for index in 0..<size {
                let byte = base.load(fromByteOffset: index, as: UInt8.self)
                out.storeBytes(of: byte &- 0x41 < 26 ? byte | 0x20 : byte, toByteOffset: index, as: UInt8.self)
            }
        }
    }

    @inlinable @inline(__always)
    static func lower(_ base: UnsafeRawPointer, _ out: UnsafeMutableRawPointer, at index: Int) {
        let word = base.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        out.storeBytes(of: ASCIIWord.lowered(word), toByteOffset: index, as: UInt64.self)
    }

    /// Disfavoured so that a literal is a `StaticString`, which needs no counting of references.
    @_disfavoredOverload
    @inlinable @inline(__always)
    package mutating func write(_ text: String) {
        // Without a copy of the string, whose references would be counted.
        let isWritten: Void? = text.utf8.withContiguousStorageIfAvailable { bytes in
            if let base = bytes.baseAddress { copy(UnsafeRawPointer(base), bytes.count) }
        }
        if isWritten == nil {
            for byte in text.utf8 { write(byte) }
        }
    }

    /// `\r\n`.
    @inlinable @inline(__always)
    package mutating func writeLineEnd() {
        write(UInt8(ascii: "\r"))
        write(UInt8(ascii: "\n"))
    }

    /// At most 20 bytes.
    @inlinable @inline(__always)
    package mutating func write(decimal number: Int64) {
        // Most are lengths and counts of one or two digits.
        if 0..<10 ~= number { return write(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: number)) }
        write(longDecimal: number)
    }

    /// Bytes of a number in decimal.
    package static func length(ofDecimal number: Int64) -> Int {
        (number < 0 ? 1 : 0) &+ digits(of: number.magnitude)
    }

    private static func digits(of number: UInt64) -> Int {
        var digits = 1
        var bound: UInt64 = 10
        while digits < 19, number >= bound {
            digits &+= 1
            bound &*= 10
        }
        return digits
    }

    /// 16 digits.
    package mutating func write(hexadecimal number: UInt64) {
        for place in 0..<16 {
            let digit = UInt8(truncatingIfNeeded: number >> UInt64(60 &- 4 &* place)) & 0xF
            write(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit)
        }
    }

    @usableFromInline
    mutating func write(longDecimal number: Int64) {
        if number < 0 { write(UInt8(ascii: "-")) }
        var rest = number.magnitude
        let digits = Self.digits(of: rest)
        assert(length + digits <= capacity)
        var at = length &+ digits
        length = at
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
            let plain = JSONBytes.plainCount(base + index, of: bytes.count &- index)
            index &+= plain
            if plain == 8 || index == bytes.count { continue }
            copy(base + clean, index &- clean)
            writeEscape(base.load(fromByteOffset: index, as: UInt8.self))
            index &+= 1
            clean = index
        }
        copy(base + clean, bytes.count &- clean)
    }

    private mutating func writeEscape(_ byte: UInt8) {
        write(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\n"): write(UInt8(ascii: "n"))
        case UInt8(ascii: "\r"): write(UInt8(ascii: "r"))
        case UInt8(ascii: "\t"): write(UInt8(ascii: "t"))
        case 0x20...: write(byte)
        default:
            write("u00")
            write(0x30 &+ byte >> 4)
            let low = byte & 15
            write(low < 10 ? 0x30 &+ low : 0x57 &+ low)
        }
    }

    /// The inside of a JSON string, at most six times the text.
    @_disfavoredOverload
    package mutating func write(escaping text: String) {
        var text = text
        text.withUTF8 { write(escaping: UnsafeRawBufferPointer($0)) }
    }

    @inlinable @inline(__always)
    mutating func copy(_ source: UnsafeRawPointer, _ size: Int) {
        assert(length + size <= capacity)
        UnsafeMutableRawPointer(start + length).copyMemory(from: source, byteCount: size)
        length &+= size
    }
}

extension [UInt8] {
    /// Appends what `body` writes, at most so many bytes.
    @inlinable @inline(__always)
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
