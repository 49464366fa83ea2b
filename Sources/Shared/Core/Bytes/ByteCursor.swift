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
        var digits = 0
        var rest = number
        while rest >= 10_000 {
            rest /= 10_000
            digits &+= 4
        }
        if rest < 100 { return digits &+ (rest < 10 ? 1 : 2) }
        return digits &+ (rest < 1000 ? 3 : 4)
    }

    /// 16 digits.
    package mutating func write(hexadecimal number: UInt64) {
        assert(length &+ 16 <= capacity)
        let out = UnsafeMutableRawPointer(start + length)
        out.storeBytes(of: Self.hexadecimal(number >> 32), as: UInt64.self)
        out.storeBytes(of: Self.hexadecimal(number & 0xFFFF_FFFF), toByteOffset: 8, as: UInt64.self)
        length &+= 16
    }

    /// The digits of 32 bits, the first one lowest.
    private static func hexadecimal(_ number: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        // Four bits to a byte, the highest first.
        var nibbles = number.byteSwapped >> 32
        nibbles = (nibbles | nibbles << 16) & 0x0000_FFFF_0000_FFFF
        nibbles = (nibbles | nibbles << 8) & 0x00FF_00FF_00FF_00FF
        nibbles = (nibbles >> 4 | nibbles << 8) & 0x0F0F_0F0F_0F0F_0F0F
        // From ten on the fifth bit of the sum is set.
        let letters = (nibbles &+ 6 &* ones) >> 4 & ones
        return (nibbles &+ 0x30 &* ones &+ letters &* 0x27).littleEndian
    }

    /// Of two digits each, from `00` to `99`.
    private static let pairs: StaticString = """
        00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748\
        49505152535455565758596061626364656667686970717273747576777879808182838485868788899091929394959697\
        9899
        """

    @inline(__always)
    private mutating func write(pair: UInt64, at place: Int) {
        let digits = UnsafeRawPointer(Self.pairs.utf8Start) + Int(truncatingIfNeeded: 2 &* pair)
        UnsafeMutableRawPointer(start + place).storeBytes(of: digits.loadUnaligned(as: UInt16.self), as: UInt16.self)
    }

    @usableFromInline
    mutating func write(longDecimal number: Int64) {
        if 10..<100 ~= number {
            assert(length + 2 <= capacity)
            write(pair: UInt64(number), at: length)
            length &+= 2
            return
        }
        if number < 0 { write(UInt8(ascii: "-")) }
        var rest = number.magnitude
        let digits = Self.digits(of: rest)
        assert(length + digits <= capacity)
        var at = length &+ digits
        length = at
        while rest >= 10 {
            let next = rest / 100
            at &-= 2
            write(pair: rest &- next &* 100, at: at)
            rest = next
        }
        // With an even number of digits none is left.
        if digits & 1 != 0 { start[at &- 1] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest) }
    }

    /// The inside of a JSON string (RFC 8259, 7), at most six times the bytes given. These are taken to be UTF-8.
    ///
    /// - Parameter omitsNull: leaves out null characters, which Postgres has in no text.
    package mutating func write(escaping bytes: UnsafeRawBufferPointer, omitsNull: Bool = false) {
        guard let base = bytes.baseAddress else { return }
        assert(length &+ 6 &* bytes.count <= capacity)
        var index = 0
        // Whole words without an escape are most of it.
        while index &+ 8 <= bytes.count {
            let word = base.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            // What does not count of it is written over.
            UnsafeMutableRawPointer(start + length).storeBytes(of: word, as: UInt64.self)
            let plain = JSONBytes.plainCount(word.littleEndian)
            length &+= plain
            index &+= plain
            if plain < 8 {
                writeEscape(base.load(fromByteOffset: index, as: UInt8.self), omitsNull)
                index &+= 1
            }
        }
        while index < bytes.count {
            let byte = base.load(fromByteOffset: index, as: UInt8.self)
            index &+= 1
            if JSONBytes.isPlain(byte) { write(byte) } else { writeEscape(byte, omitsNull) }
        }
    }

    private mutating func writeEscape(_ byte: UInt8, _ omitsNull: Bool) {
        if omitsNull, byte == 0 { return }
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
        // Without a copy of the string, whose references would be counted.
        let isWritten: Void? = text.utf8.withContiguousStorageIfAvailable {
            write(escaping: UnsafeRawBufferPointer($0))
        }
        if isWritten == nil {
            var text = text
            text.withUTF8 { write(escaping: UnsafeRawBufferPointer($0)) }
        }
    }

    /// What `body` writes, and before it what `head` writes, at most `most` bytes, knowing its length.
    @inlinable @inline(__always)
    package mutating func write(
        _ body: (inout ByteCursor) -> Void,
        after most: Int,
        _ head: (inout ByteCursor, Int) -> Void
    ) {
        let place = length
        length &+= most
        body(&self)
        let size = length &- place &- most
        length = place
        head(&self, size)
        assert(length - place <= most)
        UnsafeMutableRawPointer(start + length).copyMemory(from: start + place + most, byteCount: size)
        length &+= size
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
        // All arrays without room share one storage, whose count would be written.
        guard most > 0 else { return }
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
