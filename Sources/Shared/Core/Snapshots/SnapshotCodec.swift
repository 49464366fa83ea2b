package import Domain
import Formats

/// The texts in which snapshots stand in Redis: signed JSON, read by workers of the same format.
///
/// Each payload begins with its format and the two numbers that order it among its like, so that a script can compare
/// what it was given with what it finds without reading the rest: `{"format":1,"epoch":2,"revision":57,…`.
/// Keep one for each loop or thread.
package final class SnapshotCodec {
    private let signer: SnapshotSigner
    /// What is written, and what is read: no other.
    package let format: Int
    private let parser = JSONParser(maximumDepth: 32)

    package init(_ signer: SnapshotSigner, format: Int = SnapshotFormat.current) {
        self.signer = signer
        self.format = format
    }

    package func encode(_ config: ConfigSnapshot) -> [UInt8] {
        var json = JSONWriter(capacity: 4096)
        config.write(to: &json, format: format)
        return signer.sign(json.bytes, kind: Self.configKind)
    }

    package func encode(_ key: KeySnapshot) -> [UInt8] {
        var json = JSONWriter(capacity: 512)
        key.write(to: &json, format: format)
        return signer.sign(json.bytes, kind: Self.kind(ofKey: key.hash))
    }

    package func encode(_ entry: CredentialEntry) -> [UInt8] {
        var json = JSONWriter(capacity: 512)
        entry.write(to: &json, format: format)
        return signer.sign(json.bytes, kind: Self.kind(ofCredentials: entry.account))
    }

    /// - Throws: `SnapshotError`.
    package func decodeConfig(_ text: [UInt8]) throws(SnapshotError) -> ConfigSnapshot {
        try decode(text, kind: Self.configKind) { (fields) throws(SnapshotError) in try ConfigSnapshot(fields) }
    }

    /// - Parameter hash: under which the text was found.
    /// - Throws: `SnapshotError`.
    package func decodeKey(_ text: [UInt8], hash: String) throws(SnapshotError) -> KeySnapshot {
        try decode(text, kind: Self.kind(ofKey: hash)) { (fields) throws(SnapshotError) in
            try KeySnapshot(fields, hash: hash)
        }
    }

    /// - Parameter account: under which the text was found.
    /// - Throws: `SnapshotError`.
    package func decodeCredentials(
        _ text: [UInt8],
        account: AccountID
    ) throws(SnapshotError) -> CredentialEntry {
        try decode(text, kind: Self.kind(ofCredentials: account)) { (fields) throws(SnapshotError) in
            try CredentialEntry(fields, account: account)
        }
    }

    private static let configKind = "config"
    private static func kind(ofKey hash: String) -> String { "key:\(hash)" }
    private static func kind(ofCredentials account: AccountID) -> String { "credentials:\(account)" }

    private func decode<Value>(
        _ text: [UInt8],
        kind: String,
        _ read: (FieldReader) throws(SnapshotError) -> Value
    ) throws(SnapshotError) -> Value {
        let payload = try signer.verify(text, kind: kind)
        let result: Result<Value, SnapshotError>? = try? parser.parse(payload) { document in
            do throws(SnapshotError) {
                let fields = try FieldReader(document.root)
                try fields.require(format: format)
                return .success(try read(fields))
            } catch {
                return .failure(error)
            }
        }
        guard let result else { throw .notJSON }
        return try result.get()
    }
}
