import COpenSSL
import Formats

/// SHA-256 (FIPS 180-4).
package enum SHA256 {
    package static let byteCount = 32

    package static func hash(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: byteCount) { out, count in
            let context = EVP_MD_CTX_new()
            defer { EVP_MD_CTX_free(context) }
            let isDone =
                EVP_DigestInit_ex2(context, Algorithm.sha256, nil) == 1
                && EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1
                && EVP_DigestFinal_ex(context, out.baseAddress, nil) == 1
            // Hashing fails only without memory or without its algorithm.
            precondition(isDone, "SHA-256 failed")
            count = byteCount
        }
    }

    package static func hash(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        bytes.withContiguousStorageIfAvailable { hash(UnsafeRawBufferPointer($0)) }
            ?? Array(bytes).withUnsafeBytes { hash($0) }
    }

    package static func hash(_ text: String) -> [UInt8] {
        var text = text
        return text.withUTF8 { hash(UnsafeRawBufferPointer($0)) }
    }

    /// The hash as 64 lower-case hexadecimal digits.
    package static func hex(_ bytes: UnsafeRawBufferPointer) -> String { Hex.encode(hash(bytes)) }
    package static func hex(_ bytes: some Sequence<UInt8>) -> String { Hex.encode(hash(bytes)) }
    package static func hex(_ text: String) -> String { Hex.encode(hash(text)) }
}

/// HMAC with SHA-256 (RFC 2104).
package enum HMACSHA256 {
    package static func authenticate(_ bytes: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: SHA256.byteCount) { out, count in
            // HMAC() takes a missing key for "the key of before".
            let empty: UInt8 = 0
            let result = withUnsafePointer(to: empty) { none in
                HMAC(
                    Algorithm.sha256,
                    key.baseAddress ?? UnsafeRawPointer(none),
                    Int32(clamping: key.count),
                    bytes.baseAddress?.assumingMemoryBound(to: UInt8.self),
                    bytes.count,
                    out.baseAddress,
                    nil
                )
            }
            precondition(result != nil, "HMAC failed")
            count = SHA256.byteCount
        }
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
