import Crypto
import Formats

/// Signs what the control plane publishes, so that a worker never acts on what somebody else wrote into Redis.
///
/// A signed text is `<64 hex digits of HMAC-SHA-256> <payload>`. The code covers the kind as well (`config`,
/// `key:<hash>`, `credentials:<account>`): an entry put in another's place does not verify.
package struct SnapshotSigner: Sendable {
    private static let codeLength = 64
    private let key: [UInt8]

    package init(key: [UInt8]) { self.key = key }

    /// Tells signing keys apart without telling anything about them.
    package var fingerprint: String { String(code([], "fingerprint").prefix(16)) }

    package func sign(_ payload: [UInt8], kind: String) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(Self.codeLength + 1 + payload.count)
        text.append(contentsOf: code(payload[...], kind).utf8)
        text.append(UInt8(ascii: " "))
        text.append(contentsOf: payload)
        return text
    }

    /// The payload of a signed text.
    ///
    /// - Throws: `SnapshotError.badSignature`.
    package func verify(_ text: [UInt8], kind: String) throws(SnapshotError) -> ArraySlice<UInt8> {
        guard text.count > Self.codeLength, text[Self.codeLength] == UInt8(ascii: " ") else { throw .badSignature }
        let payload = text[(Self.codeLength + 1)...]
        // Compared as text: hex digits have a second spelling, which nobody but a forger writes.
        guard ConstantTime.equal(Array(code(payload, kind).utf8), Array(text[..<Self.codeLength])) else {
            throw .badSignature
        }
        return payload
    }

    private func code(_ payload: ArraySlice<UInt8>, _ kind: String) -> String {
        // A kind has no NUL, so no two pairs of kind and payload give the same bytes.
        var bytes = Array(kind.utf8)
        bytes.reserveCapacity(bytes.count + 1 + payload.count)
        bytes.append(0)
        bytes.append(contentsOf: payload)
        return Hex.encode(HMACSHA256.authenticate(bytes, key: key))
    }
}
