import Crypto
package import Domain

/// Mints request ids: `req_` and 24 characters of Crockford's base 32, of which the first 9 are the time in milliseconds
/// and 15 are random (75 bits).
///
/// They sort by time, because every index of what has been called has them in it: rows that come together stand
/// together in it, so a full index costs a new row no more than an empty one.
package struct RequestIDs {
    private static let bytesPerID = 10
    /// Random bytes are drawn for many ids at once: each draw is a system call.
    private var pool: [UInt8] = []
    private var used = 0

    package init() {}

    package mutating func next(at time: Timestamp) -> String {
        if pool.count - used < Self.bytesPerID {
            pool = SecureRandom.bytes(Self.bytesPerID * 64)
            used = 0
        }
        let begin = used
        used += Self.bytesPerID
        let milliseconds = UInt64(bitPattern: time.microseconds / 1000)
        return String(unsafeUninitializedCapacity: 28) { text in
            _ = text.initialize(from: "req_".utf8)
            Self.write(milliseconds, digits: 9, to: text, at: 4)
            // Five bytes are eight digits.
            Self.write(number(at: begin), digits: 8, to: text, at: 13)
            Self.write(number(at: begin + 5), digits: 7, to: text, at: 21)
            return 28
        }
    }

    /// Five of the pool's bytes.
    private func number(at begin: Int) -> UInt64 {
        pool[begin..<begin + 5].reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// The lowest bits of a number, five a digit.
    private static func write(_ number: UInt64, digits: Int, to text: UnsafeMutableBufferPointer<UInt8>, at begin: Int)
    {
        let alphabet: StaticString = "0123456789abcdefghjkmnpqrstvwxyz"
        for place in 0..<digits {
            let digit = Int(truncatingIfNeeded: number >> UInt64(5 * (digits - 1 - place)) & 31)
            text.initializeElement(at: begin + place, to: alphabet.utf8Start[digit])
        }
    }
}
