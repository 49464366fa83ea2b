/// Looks at the inside of JSON strings, eight bytes at a time.
package enum JSONBytes {
    /// How many bytes at the start, eight at most, stand for themselves: no quotation mark, no backslash, none below 0x20.
    ///
    /// - Parameters:
    ///   - left: how many bytes there are, one at least; none beyond them is read.
    ///   - onlyASCII: stops at bytes from 0x80 as well.
    @inlinable @inline(__always)
    package static func plainCount(_ base: UnsafeRawPointer, of left: Int, onlyASCII: Bool = false) -> Int {
        let word = left >= 8 ? base.loadUnaligned(as: UInt64.self).littleEndian : partialWord(base, left)
        return (marks(word) | (onlyASCII ? word & tops : 0)).trailingZeroBitCount &>> 3
    }

    /// Of the eight bytes of a word, the first one lowest.
    static func plainCount(_ word: UInt64) -> Int { marks(word).trailingZeroBitCount &>> 3 }

    static func isPlain(_ byte: UInt8) -> Bool { byte >= 0x20 && byte != 0x22 && byte != 0x5C }

    @usableFromInline static let tops: UInt64 = 0x8080_8080_8080_8080

    /// The top bit of the first byte that needs an escape, and, now and then, of others after it (Hacker's Delight, 6-1: a
    /// zero byte in a word).
    @inlinable @inline(__always)
    static func marks(_ word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let quotes = word ^ (ones &* 0x22)
        let slashes = word ^ (ones &* 0x5C)
        let low = word &- ones &* 0x20
        return (low & ~word | (quotes &- ones) & ~quotes | (slashes &- ones) & ~slashes) & tops
    }

    /// One to seven bytes, and zeros, which need an escape, after them. Where two loads overlap they agree.
    @inlinable @inline(__always)
    static func partialWord(_ base: UnsafeRawPointer, _ count: Int) -> UInt64 {
        if count >= 4 {
            let first = UInt64(base.loadUnaligned(as: UInt32.self).littleEndian)
            let last = UInt64(base.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self).littleEndian)
            return first | last &<< UInt64(8 &* (count &- 4))
        }
        let first = UInt64(base.load(as: UInt8.self))
        let middle = UInt64(base.load(fromByteOffset: count &>> 1, as: UInt8.self))
        let last = UInt64(base.load(fromByteOffset: count &- 1, as: UInt8.self))
        return first | middle &<< UInt64(8 &* (count &>> 1)) | last &<< UInt64(8 &* (count &- 1))
    }
}
