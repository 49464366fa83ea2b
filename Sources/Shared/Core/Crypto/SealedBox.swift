import Formats

/// What a sealed text belongs to: it opens only for the same, so that nobody can move it to another row or field.
package struct SealingContext: Sendable, Equatable {
    /// The kind of thing, `account` for example.
    package var kind: String
    package var id: Int64
    /// The field within it, `refresh_token` for example.
    package var field: String

    package init(kind: String = "account", id: Int64, field: String) {
        self.kind = kind
        self.id = id
        self.field = field
    }

    package static func account(_ id: Int64, field: String) -> SealingContext { SealingContext(id: id, field: field) }

    /// Lengths stand before texts, so that no two contexts give the same bytes.
    internal func associatedData(keyID: String) -> [UInt8] {
        Array("\(SealedBox.version) \(keyID) \(kind.utf8.count):\(kind) \(id) \(field.utf8.count):\(field)".utf8)
    }
}

package enum SealingError: Error, Equatable {
    /// Not of the form `v1.keyid.base64url`.
    case malformed
    /// Sealed under a key that the ring does not hold.
    case unknownKey(id: String)
    /// Changed, or sealed for another context or under another key of that id.
    case tampered
}

/// Seals texts at rest with AES-256-GCM: `v1.<key id>.<base64url of nonce, ciphertext and tag>`.
package enum SealedBox {
    internal static let version = "v1"
    /// Random bytes that `seal` takes; never the same twice.
    package static let nonceBytes = AESGCM.nonceBytes

    /// - Parameter nonce: `nonceBytes` fresh random bytes.
    package static func seal(
        _ plaintext: [UInt8],
        for context: SealingContext,
        with keys: MasterKeyRing,
        nonce: [UInt8]
    ) -> String {
        let (id, key) = keys.current
        let sealed = AESGCM.seal(plaintext, key: key, nonce: nonce, associated: context.associatedData(keyID: id))
        return "\(version).\(id).\(Base64.encode(nonce + sealed, .url))"
    }

    package static func seal(
        _ secret: Secret,
        for context: SealingContext,
        with keys: MasterKeyRing,
        nonce: [UInt8]
    ) -> String {
        seal(Array(secret.reveal().utf8), for: context, with: keys, nonce: nonce)
    }

    package static func open(
        _ sealed: String,
        for context: SealingContext,
        with keys: MasterKeyRing
    ) throws(SealingError) -> [UInt8] {
        guard let (keyID, text) = parts(of: sealed),
            let payload = text.withUnsafeBytes({ Base64.decode($0, .url) }),
            payload.count >= AESGCM.nonceBytes + AESGCM.tagBytes
        else { throw .malformed }
        guard let key = keys.key(keyID) else { throw .unknownKey(id: keyID) }
        let plaintext = AESGCM.open(
            payload.dropFirst(AESGCM.nonceBytes),
            key: key,
            nonce: Array(payload.prefix(AESGCM.nonceBytes)),
            associated: context.associatedData(keyID: keyID)
        )
        guard let plaintext else { throw .tampered }
        return plaintext
    }

    /// Opens what was sealed from a `Secret`.
    package static func openSecret(
        _ sealed: String,
        for context: SealingContext,
        with keys: MasterKeyRing
    ) throws(SealingError) -> Secret {
        Secret(String(decoding: try open(sealed, for: context, with: keys), as: UTF8.self))
    }

    /// The id of the key that sealed a text; nil if it is malformed. Tells what is left to re-seal during a rotation.
    package static func keyID(of sealed: String) -> String? { parts(of: sealed)?.keyID }

    /// Key id and encoded payload. Works on bytes: finding dots among Characters takes longer than opening.
    private static func parts(of sealed: String) -> (keyID: String, payload: ArraySlice<UInt8>)? {
        let parts = Array(sealed.utf8).split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].elementsEqual(version.utf8) else { return nil }
        let keyID = String(decoding: parts[1], as: UTF8.self)
        return isKeyID(keyID) ? (keyID, parts[2]) : nil
    }

    internal static func isKeyID(_ id: String) -> Bool {
        (1...32).contains(id.utf8.count)
            && id.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "_"), UInt8(ascii: "-"): true
                default: false
                }
            }
    }
}
