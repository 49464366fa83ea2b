package import Crypto
package import Domain
import Formats
import Snapshots

/// Seals the secret fields of an account as one JSON object, bound to the account's id and this column.
package struct CredentialSealing {
    package let keys: MasterKeyRing

    package init(_ keys: MasterKeyRing) { self.keys = keys }

    /// - Throws: `SealingError`, when secrets that stay cannot be opened: another master key sealed them.
    package func apply(
        _ edit: CredentialEdit,
        to stored: StoredCredentials?,
        of account: AccountID
    ) throws -> StoredCredentials {
        var secrets: [String: String] = [:]
        let kept = edit.sealedFields.filter { edit.newSecrets[$0] == nil }
        if let stored, !kept.isEmpty {
            let old = try open(stored.sealed, of: account)
            for name in kept { secrets[name] = old[name] }
        }
        secrets.merge(edit.newSecrets) { $1 }
        let json = JSON.object(secrets.sorted { $0.key < $1.key }.map { (key: $0.key, value: .string($0.value)) })
        return StoredCredentials(
            plain: edit.plain,
            sealedFields: edit.sealedFields,
            sealed: SealedBox.seal(
                json.encoded,
                for: CredentialEntry.sealingContext(of: account),
                with: keys,
                nonce: SecureRandom.bytes(SealedBox.nonceBytes)
            ),
            version: (stored?.version ?? 0) + 1
        )
    }

    package func open(_ sealed: String, of account: AccountID) throws -> [String: String] {
        let members =
            try JSON(SealedBox.open(sealed, for: CredentialEntry.sealingContext(of: account), with: keys)).object ?? []
        return Dictionary(members.compactMap { member in member.value.string.map { (member.key, $0) } }) { $1 }
    }
}
