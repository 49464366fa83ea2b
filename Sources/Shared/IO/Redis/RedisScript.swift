import COpenSSL

/// A Lua script, sent by its SHA-1 and loaded where a server does not know it (NOSCRIPT).
package struct RedisScript: Sendable {
    package var name: String { stored.name }
    package var source: String { stored.source }
    package var sha1: String { stored.sha1 }

    /// Shared, so that a call on its way holds one reference.
    let stored: Stored

    final class Stored: Sendable {
        let name: String
        let source: String
        let sha1: String
        /// The first two arguments of every run, in RESP: `EVALSHA` and the hash.
        let opening: [UInt8]

        init(name: String, source: String) {
            self.name = name
            self.source = source
            sha1 = Self.sha1(of: source)
            var opening: [UInt8] = []
            opening.appendBulk("EVALSHA")
            opening.appendBulk(sha1)
            self.opening = opening
        }

        private static func sha1(of text: String) -> String {
            var text = text
            let digest = text.withUTF8 { bytes in
                withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Int(SHA_DIGEST_LENGTH)) { digest in
                    _ = SHA1(bytes.baseAddress, bytes.count, digest.baseAddress)
                    return Array(digest)
                }
            }
            let digits = Array("0123456789abcdef".utf8)
            return String(
                decoding: digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] },
                as: UTF8.self
            )
        }
    }

    package init(name: String, source: String) {
        stored = Stored(name: name, source: source)
    }
}
