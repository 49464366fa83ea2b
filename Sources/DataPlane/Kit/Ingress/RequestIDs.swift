import Crypto

/// Mints request ids: `req_` and 24 characters of Crockford's base 32, 120 random bits.
package struct RequestIDs {
    private static let alphabet = Array("0123456789abcdefghjkmnpqrstvwxyz".utf8)
    private static let bytesPerID = 15
    /// Random bytes are drawn for many ids at once: each draw is a system call.
    private var pool: ArraySlice<UInt8> = []

    package init() {}

    package mutating func next() -> String {
        if pool.count < Self.bytesPerID { pool = SecureRandom.bytes(Self.bytesPerID * 64)[...] }
        let bytes = pool.prefix(Self.bytesPerID)
        pool = pool.dropFirst(Self.bytesPerID)
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
                    text.initializeElement(at: position, to: Self.alphabet[Int(bits >> UInt32(count) & 31)])
                    position += 1
                }
            }
            return position
        }
    }
}
