import COpenSSL

/// Unpredictable bytes from the operating system: the one thing in Core that is not a pure function.
///
/// It stands here so that nobody looks elsewhere. What needs chance takes bytes or a source of them as an argument, and
/// only the planes pass this one.
package enum SecureRandom {
    /// Traps if the system cannot give any: to go on without would hand out guessable keys.
    package static func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { out, written in
            precondition(count == 0 || RAND_bytes(out.baseAddress, Int32(count)) == 1, "no random bytes")
            written = count
        }
    }
}
