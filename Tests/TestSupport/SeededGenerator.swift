/// Random numbers that are the same in every run (SplitMix64), for generated documents and mutated inputs.
package struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    package mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }

    package mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }

    /// A copy with a few bytes changed, removed, doubled or cut off.
    package mutating func mutated(_ bytes: [UInt8], alphabet: [UInt8] = []) -> [UInt8] {
        var bytes = bytes
        for _ in 0...below(4) where !bytes.isEmpty {
            let at = below(bytes.count)
            let byte = alphabet.isEmpty ? UInt8(truncatingIfNeeded: next()) : alphabet[below(alphabet.count)]
            switch below(6) {
            case 0: bytes.remove(at: at)
            case 1: bytes.insert(byte, at: at)
            case 2: bytes.insert(contentsOf: bytes[at..<min(at + below(16), bytes.count)], at: below(bytes.count))
            case 3: bytes.removeSubrange(at..<min(at + below(16), bytes.count))
            case 4: bytes[at] ^= 1 << UInt8(below(8))
            default: bytes[at] = byte
            }
        }
        return bytes
    }
}
