import COpenSSL

/// AES-256 in Galois/Counter Mode (NIST SP 800-38D), with 96-bit nonces and 128-bit tags.
internal enum AESGCM {
    static let keyBytes = 32
    static let nonceBytes = 12
    static let tagBytes = 16

    /// Ciphertext followed by the tag. The nonce must never be used twice with one key.
    static func seal(_ plaintext: [UInt8], key: [UInt8], nonce: [UInt8], associated: [UInt8]) -> [UInt8] {
        precondition(
            key.count == keyBytes && nonce.count == nonceBytes,
            "AES-256-GCM takes a 32-byte key and a 12-byte nonce"
        )
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        return [UInt8](unsafeUninitializedCapacity: plaintext.count + tagBytes) { out, count in
            var written: Int32 = 0
            var ignored: Int32 = 0
            let isDone =
                EVP_EncryptInit_ex2(context, Algorithm.aes256GCM, key, nonce, nil) == 1
                && EVP_EncryptUpdate(context, nil, &ignored, associated, Int32(associated.count)) == 1
                && EVP_EncryptUpdate(context, out.baseAddress, &written, plaintext, Int32(plaintext.count)) == 1
                && EVP_EncryptFinal_ex(context, out.baseAddress.map { $0 + Int(written) }, &ignored) == 1
                && EVP_CIPHER_CTX_ctrl(
                    context,
                    EVP_CTRL_AEAD_GET_TAG,
                    Int32(tagBytes),
                    out.baseAddress.map { $0 + plaintext.count }
                ) == 1
            // Encryption fails only without memory.
            precondition(isDone, "AES-256-GCM failed")
            count = plaintext.count + tagBytes
        }
    }

    /// The plaintext of what `seal` gave; nil if key, nonce, associated data or a byte of it differ.
    static func open(_ sealed: ArraySlice<UInt8>, key: [UInt8], nonce: [UInt8], associated: [UInt8]) -> [UInt8]? {
        guard key.count == keyBytes, nonce.count == nonceBytes, sealed.count >= tagBytes else { return nil }
        let ciphertext = Array(sealed.dropLast(tagBytes))
        var tag = Array(sealed.suffix(tagBytes))
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        var isAuthentic = false
        // One byte of room even for an empty text: OpenSSL takes a missing output for associated data.
        let plaintext = [UInt8](unsafeUninitializedCapacity: ciphertext.count + 1) { out, count in
            var written: Int32 = 0
            var ignored: Int32 = 0
            isAuthentic =
                EVP_DecryptInit_ex2(context, Algorithm.aes256GCM, key, nonce, nil) == 1
                && EVP_DecryptUpdate(context, nil, &ignored, associated, Int32(associated.count)) == 1
                && EVP_DecryptUpdate(context, out.baseAddress, &written, ciphertext, Int32(ciphertext.count)) == 1
                && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(tagBytes), &tag) == 1
                && EVP_DecryptFinal_ex(context, out.baseAddress.map { $0 + Int(written) }, &ignored) == 1
            count = isAuthentic ? ciphertext.count : 0
        }
        return isAuthentic ? plaintext : nil
    }
}
