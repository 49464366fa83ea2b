import COpenSSL
import Formats

/// SHA-256 (FIPS 180-4).
package enum SHA256 {
    package static let byteCount = 32

    package static func hash(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        let digest = Digest()
        digest.update(bytes)
        return digest.finish()
    }

    package static func hash(_ bytes: [UInt8]) -> [UInt8] { bytes.withUnsafeBytes { hash($0) } }

    package static func hash(_ text: String) -> [UInt8] {
        var text = text
        return text.withUTF8 { hash(UnsafeRawBufferPointer($0)) }
    }

    /// The hash as 64 lower-case hexadecimal digits.
    package static func hex(_ bytes: UnsafeRawBufferPointer) -> String { Hex.encode(hash(bytes)) }
    package static func hex(_ bytes: [UInt8]) -> String { Hex.encode(hash(bytes)) }
    package static func hex(_ text: String) -> String { Hex.encode(hash(text)) }
}

/// A SHA-256 in progress.
private struct Digest: ~Copyable {
    private let context = EVP_MD_CTX_new()

    init() { precondition(EVP_DigestInit_ex2(context, Algorithm.sha256, nil) == 1, "SHA-256 failed") }

    deinit { EVP_MD_CTX_free(context) }

    // Hashing fails only without memory.
    func update(_ bytes: UnsafeRawBufferPointer) {
        precondition(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1, "SHA-256 failed")
    }

    func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    func finish() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: SHA256.byteCount) { out, count in
            precondition(EVP_DigestFinal_ex(context, out.baseAddress, nil) == 1, "SHA-256 failed")
            count = SHA256.byteCount
        }
    }
}

/// HMAC with SHA-256 (RFC 2104).
package enum HMACSHA256 {
    private static let blockBytes = 64

    /// Written out over SHA-256: OpenSSL 3's own takes three times as long to set up.
    package static func authenticate(_ bytes: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> [UInt8] {
        var block = key.count > blockBytes ? SHA256.hash(key) : Array(key)
        block.append(contentsOf: repeatElement(0, count: blockBytes - block.count))
        let inner = Digest()
        inner.update(block.map { $0 ^ 0x36 })
        inner.update(bytes)
        let outer = Digest()
        outer.update(block.map { $0 ^ 0x5C })
        outer.update(inner.finish())
        return outer.finish()
    }

    package static func authenticate(_ bytes: [UInt8], key: [UInt8]) -> [UInt8] {
        bytes.withUnsafeBytes { bytes in key.withUnsafeBytes { authenticate(bytes, key: $0) } }
    }

    package static func authenticate(_ text: String, key: [UInt8]) -> [UInt8] {
        authenticate(Array(text.utf8), key: key)
    }

    /// Whether `code` authenticates the bytes; takes the same time wherever it differs.
    package static func isValid(_ code: [UInt8], for bytes: [UInt8], key: [UInt8]) -> Bool {
        ConstantTime.equal(code, authenticate(bytes, key: key))
    }
}

/// Comparison whose time does not tell where two secrets differ.
package enum ConstantTime {
    package static func equal(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        return left.isEmpty || CRYPTO_memcmp(left.baseAddress, right.baseAddress, left.count) == 0
    }

    package static func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.withUnsafeBytes { left in right.withUnsafeBytes { equal(left, $0) } }
    }

    package static func equal(_ left: String, _ right: String) -> Bool { equal(Array(left.utf8), Array(right.utf8)) }
}

/// Algorithms fetched once: OpenSSL 3 looks them up by name at every use otherwise, which costs more than a short hash.
internal enum Algorithm {
    // Fetched algorithms are immutable and may be shared between threads (OpenSSL, crypto(7)).
    nonisolated(unsafe) static let sha256 = fetched(EVP_MD_fetch(nil, "SHA256", nil))
    nonisolated(unsafe) static let aes256GCM = fetched(EVP_CIPHER_fetch(nil, "AES-256-GCM", nil))

    private static func fetched(_ algorithm: OpaquePointer?) -> OpaquePointer {
        guard let algorithm else { fatalError("this OpenSSL lacks SHA-256 or AES-256-GCM") }
        return algorithm
    }
}
