package import Crypto
package import Domain
import Formats
package import HTTPFetching
package import Snapshots
import Synchronization

/// An account's secrets of one version.
package struct OpenedCredentials: Sendable {
    package let version: Int64
    /// The version since which they are the same.
    package let secretsVersion: Int64
    /// When the access token ends, where that is known.
    package let expiresAt: Timestamp?
    package let fields: [String: Secret]
}

/// The accounts' secrets, opened and kept in memory, for all loops.
package final class CredentialStore: Sendable {
    private struct OpenedProxy {
        let snapshot: ProxySnapshot
        let server: ProxyServer?
    }
    private let opened = Mutex<[AccountID: OpenedCredentials]>([:])
    private let openedProxies = Mutex<[ProxyID: OpenedProxy]>([:])
    /// Accounts whose newest entry could not be opened.
    private let closed = Mutex<Set<AccountID>>([])
    private let keys: MasterKeyRing
    /// What the loops know together of tokens that are asked for.
    package let flights = TokenFlights()

    package init(_ keys: MasterKeyRing) { self.keys = keys }

    package func secret(_ field: String, of account: AccountID) -> Secret? {
        opened.withLock { $0[account]?.fields[field] }
    }

    /// All of them; none when the worker could not open any.
    package func secrets(of account: AccountID) -> [String: Secret] {
        opened.withLock { $0[account]?.fields ?? [:] }
    }

    /// How many accounts have newer secrets than could be opened.
    package var unreadable: Int { closed.withLock { $0.count } }

    package func version(of account: AccountID) -> Int64? { opened.withLock { $0[account]?.version } }

    /// The version since which the account has the secrets that it has.
    package func secretsVersion(of account: AccountID) -> Int64? { opened.withLock { $0[account]?.secretsVersion } }

    /// All of one version; nil when the worker could not open any.
    package func opened(of account: AccountID) -> OpenedCredentials? { opened.withLock { $0[account] } }

    /// The proxy with its password opened; nil when it cannot be opened or used. Opened anew only when it has changed.
    package func server(of proxy: ProxySnapshot) -> ProxyServer? {
        openedProxies.withLock { opened in
            if let known = opened[proxy.id], known.snapshot == proxy { return known.server }
            let server = open(proxy)
            opened[proxy.id] = OpenedProxy(snapshot: proxy, server: server)
            return server
        }
    }

    private func open(_ proxy: ProxySnapshot) -> ProxyServer? {
        guard let scheme = ProxyServer.Scheme(rawValue: proxy.scheme), let port = UInt16(exactly: proxy.port) else {
            return nil
        }
        var server = ProxyServer(scheme, host: proxy.host, port: port, username: proxy.username)
        if let sealed = proxy.sealedPassword {
            guard
                let plain = try? SealedBox.open(
                    sealed,
                    for: ProxySnapshot.passwordSealingContext(of: proxy.id),
                    with: keys
                )
            else {
                return nil
            }
            server.password = String(decoding: plain, as: UTF8.self)
        }
        return server
    }

    /// Opens an entry and keeps it, unless a newer one is there already. One that cannot be opened leaves the last good
    /// one in place.
    ///
    /// - Throws: what is wrong with it, without its contents.
    package func accept(_ entry: CredentialEntry) throws {
        let plain: [UInt8]
        do {
            plain = try SealedBox.open(
                entry.sealed,
                for: CredentialEntry.sealingContext(of: entry.account),
                with: keys
            )
        } catch {
            closed.withLock { _ = $0.insert(entry.account) }
            throw error
        }
        closed.withLock { _ = $0.remove(entry.account) }
        var fields: [String: Secret] = [:]
        for (name, value) in try JSON(plain).object ?? [] {
            if let text = value.string { fields[name] = Secret(text) }
        }
        let made = OpenedCredentials(
            version: entry.version,
            secretsVersion: entry.secretsVersion,
            expiresAt: entry.expiresAt,
            fields: fields
        )
        opened.withLock { opened in
            if let known = opened[entry.account], known.version > made.version { return }
            opened[entry.account] = made
        }
    }

    /// Forgets the secrets of accounts that are no longer there.
    package func retain(only accounts: Set<AccountID>) {
        opened.withLock { opened in opened = opened.filter { accounts.contains($0.key) } }
        closed.withLock { $0.formIntersection(accounts) }
    }
}
