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
        let bytes = pool[used..<used + Self.bytesPerID]
        used += Self.bytesPerID
        let alphabet: StaticString = "0123456789abcdefghjkmnpqrstvwxyz"
        return String(unsafeUninitializedCapacity: 28) { text in
            _ = text.initialize(from: "req_".utf8)
            var position = 4
            var bits: UInt32 = 0
            var count = 0
            for byte in bytes {
                bits = bits << 8 | UInt32(byte)
                count += 8
                while count >= 5 {
                    count -= 5
                    text.initializeElement(at: position, to: alphabet.utf8Start[Int(bits >> UInt32(count) & 31)])
                    position += 1
                }
            }
            return position
        }
    }
}
