import CArgon2
import Crypto
package import Reactor

/// Argon2id hashes of passwords as PHC strings, with OWASP's parameters: 19 MiB, 2 passes, 1 lane.
package enum PasswordHash {
    private static let passes: UInt32 = 2
    private static let kibibytes: UInt32 = 19 * 1024
    private static let lanes: UInt32 = 1
    private static let saltBytes = 16
    private static let hashBytes = 32

    /// Nil only when there is no memory.
    package static func make(_ password: String, salt: [UInt8] = SecureRandom.bytes(saltBytes)) -> String? {
        let length = argon2_encodedlen(passes, kibibytes, lanes, UInt32(salt.count), UInt32(hashBytes), Argon2_id)
        var encoded = [CChar](repeating: 0, count: length)
        let bytes = Array(password.utf8)
        let code = argon2id_hash_encoded(
            passes,
            kibibytes,
            lanes,
            bytes,
            bytes.count,
            salt,
            salt.count,
            hashBytes,
            &encoded,
            length
        )
        guard code == ARGON2_OK.rawValue else { return nil }
        return String(decoding: encoded.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    package static func isValid(_ password: String, _ hash: String) -> Bool {
        let bytes = Array(password.utf8)
        return argon2id_verify(hash, bytes, bytes.count) == ARGON2_OK.rawValue
    }

    /// A hash of the same parameters that no password has: checked against when there is no such user, so that the
    /// answer takes as long.
    package static let nobody =
        "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
}

/// Hashes passwords off the loop, a few at a time: each takes 19 MiB and tens of milliseconds of a core.
package final class PasswordHasher {
    package enum Failure: Error { case busy, outOfMemory }

    private let loop: EventLoop
    private let maximum: Int
    private var underWay = 0

    package init(_ loop: EventLoop, maximum: Int = 16) {
        self.loop = loop
        self.maximum = maximum
    }

    package func make(_ password: String) async throws -> String {
        guard let hash = try await run({ PasswordHash.make(password) }) else { throw Failure.outOfMemory }
        return hash
    }

    package func isValid(_ password: String, _ hash: String) async throws -> Bool {
        try await run { PasswordHash.isValid(password, hash) }
    }

    private func run<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async throws -> Value {
        guard underWay < maximum else { throw Failure.busy }
        underWay += 1
        defer { underWay -= 1 }
        return await loop.offload(work)
    }
}
