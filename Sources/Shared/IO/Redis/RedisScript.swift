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

/// A run of a script that is made again and again: what is the same each time is encoded once.
///
/// RESP has a script's keys before its arguments, so what differs comes last of either.
package final class PreparedRun: Sendable {
    let script: RedisScript.Stored
    /// `EVALSHA sha numkeys key …` and the first arguments, with the count of all.
    let opening: [UInt8]

    /// - Parameters:
    ///   - keys: those that are the same in every run; they come first.
    ///   - arguments: likewise; there are none where further keys follow.
    ///   - furtherKeys: how many keys each run adds.
    ///   - furtherArguments: how many arguments each run adds after them.
    package init(
        _ script: RedisScript,
        keys: [String],
        arguments: [String] = [],
        furtherKeys: Int = 0,
        furtherArguments: Int = 0
    ) {
        precondition(furtherKeys == 0 || arguments.isEmpty, "arguments do not stand before keys")
        self.script = script.stored
        let count = 3 + keys.count + arguments.count + furtherKeys + furtherArguments
        var opening: [UInt8] = []
        opening.appendCount(count)
        opening.append(contentsOf: script.stored.opening)
        opening.appendBulk(String(keys.count + furtherKeys))
        for key in keys { opening.appendBulk(key) }
        for argument in arguments { opening.appendBulk(argument) }
        self.opening = opening
        expected = furtherKeys + furtherArguments
    }

    /// How many a run has to add.
    let expected: Int
}
