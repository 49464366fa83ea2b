package import Crypto
package import Domain
import Formats
package import Snapshots
import Synchronization

/// The accounts' secrets, opened and kept in memory, for all loops.
package final class CredentialStore: Sendable {
    private struct Opened {
        let version: Int64
        let fields: [String: Secret]
    }
    private let opened = Mutex<[AccountID: Opened]>([:])
    private let keys: MasterKeyRing

    package init(_ keys: MasterKeyRing) { self.keys = keys }

    package func secret(_ field: String, of account: AccountID) -> Secret? {
        opened.withLock { $0[account]?.fields[field] }
    }

    /// All of them; none when the worker could not open any.
    package func secrets(of account: AccountID) -> [String: Secret] {
        opened.withLock { $0[account]?.fields ?? [:] }
    }

    package func version(of account: AccountID) -> Int64? { opened.withLock { $0[account]?.version } }

    /// Opens an entry and keeps it, unless a newer one is there already. One that cannot be opened leaves the last good
    /// one in place.
    ///
    /// - Throws: what is wrong with it, without its contents.
    package func accept(_ entry: CredentialEntry) throws {
        let plain = try SealedBox.open(
            entry.sealed,
            for: CredentialEntry.sealingContext(of: entry.account),
            with: keys
        )
        var fields: [String: Secret] = [:]
        for (name, value) in try JSON(plain).object ?? [] {
            if let text = value.string { fields[name] = Secret(text) }
        }
        let made = Opened(version: entry.version, fields: fields)
        opened.withLock { opened in
            if let known = opened[entry.account], known.version > made.version { return }
            opened[entry.account] = made
        }
    }

    /// Forgets the secrets of accounts that are no longer there.
    package func retain(only accounts: Set<AccountID>) {
        opened.withLock { opened in opened = opened.filter { accounts.contains($0.key) } }
    }
}
