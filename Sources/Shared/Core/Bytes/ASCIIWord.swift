/// Looks at eight bytes at once, in whatever order they lie in a word (Hacker's Delight, 2-18 and 6-1).
@usableFromInline
package enum ASCIIWord {
    @usableFromInline static let ones: UInt64 = 0x0101_0101_0101_0101
    @usableFromInline static let tops: UInt64 = 0x8080_8080_8080_8080

    /// The bytes with ASCII letters in lower case.
    @inlinable @inline(__always)
    package static func lowered(_ word: UInt64) -> UInt64 {
        word | capitals(word) >> 2
    }

    /// The top bit of each byte that is one of `A` to `Z`.
    @inlinable @inline(__always)
    static func capitals(_ word: UInt64) -> UInt64 {
        let low = word & ~tops
        // Sums of seven bits: no byte carries into the next. The top bit says "at least A", then "beyond Z".
        let fromA = low &+ ones &* (0x80 - 0x41)
        let beyondZ = low &+ ones &* (0x80 - 0x5B)
        return fromA & ~beyondZ & ~word & tops
    }

    /// The top bit of each byte that is neither an ASCII letter nor a dash: of most fields' names, the colon's alone.
    @inlinable @inline(__always)
    package static func neitherLettersNorDashes(_ word: UInt64) -> UInt64 {
        // Clearing the bit that tells the cases apart makes letters capitals, and nothing else one of them.
        let letters = capitals(word & ~(ones &* 0x20))
        let other = word ^ (ones &* 0x2D)
        let notDash = ((other & ~tops) &+ ~tops) | other
        return ~letters & notDash & tops
    }
}
