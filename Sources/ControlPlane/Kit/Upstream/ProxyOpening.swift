package import Crypto
import Domain
package import HTTPFetching
package import Postgres
import Snapshots

/// Proxies made ready for use.
extension ProxyRecord {
    /// The proxy with its password opened.
    ///
    /// - Throws: `UpstreamFailure.proxyUnusable`, when the password cannot be opened.
    package func server(_ keys: MasterKeyRing) throws(UpstreamFailure) -> ProxyServer {
        guard let scheme = ProxyServer.Scheme(rawValue: fields.scheme.rawValue),
            let port = UInt16(exactly: fields.port)
        else { throw .proxyUnusable }
        var server = ProxyServer(scheme, host: fields.host, port: port, username: fields.username)
        guard let sealedPassword else { return server }
        do {
            server.password =
                try SealedBox.openSecret(
                    sealedPassword,
                    for: ProxySnapshot.passwordSealingContext(of: id),
                    with: keys
                ).reveal()
        } catch {
            throw .proxyUnusable
        }
        return server
    }
}

extension AccountRecord {
    /// The way out of this account's questions; nil for the direct one.
    ///
    /// - Throws: `UpstreamFailure.proxyUnusable` when its proxy cannot be used, `PostgresError`.
    package func proxyServer(_ keys: MasterKeyRing, on connection: PostgresConnection) async throws -> ProxyServer? {
        guard let id = fields.proxy else { return nil }
        guard let proxy = try await ProxyStore.find(ProxyID(id), on: connection) else {
            throw UpstreamFailure.proxyUnusable
        }
        return try proxy.server(keys)
    }
}
