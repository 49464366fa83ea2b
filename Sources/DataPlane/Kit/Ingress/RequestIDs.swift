import Crypto

/// Mints request ids: `req_` and 24 characters of Crockford's base 32, 120 random bits.
package struct RequestIDs {
    private static let bytesPerID = 15
    /// Random bytes are drawn for many ids at once: each draw is a system call.
    private var pool: [UInt8] = []
    private var used = 0

    package init() {}

    package mutating func next() -> String {
        if pool.count - used < Self.bytesPerID {
            pool = SecureRandom.bytes(Self.bytesPerID * 64)
            used = 0
        }
        let begin = used
        used += Self.bytesPerID
        let alphabet: StaticString = "0123456789abcdefghjkmnpqrstvwxyz"
        return String(unsafeUninitializedCapacity: 28) { text in
            _ = text.initialize(from: "req_".utf8)
            // Five bytes are eight characters.
            for group in 0..<3 {
                var bits: UInt64 = 0
                for byte in 0..<5 { bits = bits << 8 | UInt64(pool[begin + group * 5 + byte]) }
                for character in 0..<8 {
                    let digit = Int(truncatingIfNeeded: bits >> UInt64(35 - character * 5) & 31)
                    text.initializeElement(at: 4 + group * 8 + character, to: alphabet.utf8Start[digit])
                }
            }
            return 28
        }
    }
}
