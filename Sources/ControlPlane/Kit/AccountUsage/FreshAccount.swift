import Domain
import Postgres

extension AdminContext {
    private static let renewalTime = Duration.seconds(15)
    /// A token that ends so soon would end on its way.
    private static let margin = Duration.seconds(30)

    /// The account with a token that has not run out, where it can be renewed; else as it is: its upstream will say so.
    ///
    /// - Throws: `PostgresError`.
    func fresh(_ account: AccountRecord, now: Timestamp) async throws -> AccountRecord {
        let credentials = account.credentials
        guard let refresher, account.fields.type == .oauth, credentials.sealedFields.contains("refresh_token") else {
            return account
        }
        let end = credentials.plain["expires_at"].flatMap { Timestamp(rfc3339: $0) }
        let isOver = end.map { $0 < now + Self.margin } ?? false
        guard isOver || !credentials.sealedFields.contains("access_token") else { return account }
        let version = account.refresh.secretsVersion
        guard case .fresh = await refresher.renew(account.id, newerThan: version, within: Self.renewalTime) else {
            return account
        }
        return try await pool.withConnection { try await AccountStore.find(account.id, on: $0) } ?? account
    }
}
