/// Repeatable chance: the same seed makes the same mutations (SplitMix64).
package struct Mutator: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }

    /// Spoils valid input in up to four places: bytes changed, left out, doubled, put in, and parts of `other` mixed in.
    ///
    /// - Parameter telling: bytes that mean something to the parser under test.
    package mutating func mutate(_ input: [UInt8], mixing other: [UInt8], telling: [UInt8]) -> [UInt8] {
        var bytes = input
        for _ in 0..<Int.random(in: 1...4, using: &self) {
            let start = Int.random(in: 0...bytes.count, using: &self)
            let end = min(bytes.count, start + Int.random(in: 1...8, using: &self))
            switch Int.random(in: 0..<7, using: &self) {
            case 0 where start < end: bytes[start] ^= 1 << UInt8.random(in: 0..<8, using: &self)
            case 1 where start < end: bytes[start] = UInt8.random(in: 0...255, using: &self)
            case 2: bytes.removeSubrange(start..<end)
            case 3: bytes.insert(contentsOf: bytes[start..<end], at: start)
            case 4: bytes.insert(telling.randomElement(using: &self) ?? 0, at: start)
            case 5 where start < end: bytes[start] = telling.randomElement(using: &self) ?? 0
            default:
                let from = Int.random(in: 0...other.count, using: &self)
                let to = min(other.count, from + Int.random(in: 0...64, using: &self))
                bytes.insert(contentsOf: other[from..<to], at: start)
            }
        }
        return bytes
    }

    /// Ascending places to cut `count` bytes at.
    package mutating func cuts(of count: Int) -> [Int] {
        (0..<Int.random(in: 0...6, using: &self)).map { _ in Int.random(in: 0...count, using: &self) }.sorted()
    }
}
