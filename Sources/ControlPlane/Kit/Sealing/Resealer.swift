package import Crypto
import Domain
package import Postgres
package import Redis
import Snapshots
package import Telemetry

/// Brings what is sealed under another master key under the one that seals, so that the other can be taken away.
///
/// What cannot be opened stays as it is: another control plane may have its key, and there is nothing better to put in
/// its place. Rows are locked one by one, so a renewal or an edit that comes between is neither lost nor held up.
package final class Resealer {
    /// What a pass has found.
    package struct Outcome: Hashable, Sendable {
        package var resealed = 0
        package var unreadable = 0

        package init(resealed: Int = 0, unreadable: Int = 0) {
            self.resealed = resealed
            self.unreadable = unreadable
        }
    }

    private static let batch: Int64 = 500

    private let pool: PostgresPool
    private let redis: RedisClient
    private let changes: ChangeNotifier
    private let keys: MasterKeyRing
    private let log: Log
    private let unreadable: Gauge
    private let resealed: Counter

    package init(
        _ pool: PostgresPool,
        _ redis: RedisClient,
        _ changes: ChangeNotifier,
        _ keys: MasterKeyRing,
        log: Log,
        metrics: MetricsRegistry
    ) {
        self.pool = pool
        self.redis = redis
        self.changes = changes
        self.keys = keys
        self.log = log
        unreadable = metrics.gauge(
            "tollgate_sealed_unreadable",
            "Secrets in the database that no present master key opens"
        )
        resealed = metrics.counter("tollgate_resealed_total", "Secrets brought under the master key that seals", [:])
    }

    /// One pass over everything; several control planes may run one at once.
    ///
    /// - Throws: `PostgresError`, `RedisError`.
    package func run() async throws -> Outcome {
        var outcome = Outcome()
        for id in try await older("accounts", "credentials_sealed") {
            note(try await resealAccount(AccountID(id)), id, "account", &outcome)
        }
        for id in try await older("proxies", "password_sealed") {
            note(try await resealProxy(ProxyID(id)), id, "proxy", &outcome)
        }
        let notes = RotationNotes(redis, keys)
        for id in try await logins() { note(try await notes.reseal(AccountID(id)), id, "renewal", &outcome) }
        unreadable.set(outcome.unreadable)
        return outcome
    }

    private func note(_ isResealed: Bool?, _ id: Int64, _ kind: StaticString, _ outcome: inout Outcome) {
        switch isResealed {
        case true?:
            outcome.resealed += 1
            resealed.add()
        case false?:
            outcome.unreadable += 1
            log.error("secrets cannot be opened with the present master keys", ["kind": "\(kind)", "id": .integer(id)])
        case nil: break
        }
    }

    /// Accounts of which a renewal can be under way, or have been cut off.
    private func logins() async throws -> [Int64] {
        try await pool.query("select id from accounts where deleted_at is null and type = 'oauth' order by id")
            .map { try $0.int("id") }
    }

    /// Rows whose secrets are not under the key that seals.
    private func older(_ table: String, _ column: String) async throws -> [Int64] {
        var ids: [Int64] = []
        while true {
            let rows = try await pool.query(
                """
                select id from \(table) where deleted_at is null and \(column) <> ''
                    and split_part(\(column), '.', 2) <> $1 and id > $2 order by id limit $3
                """,
                [.text(keys.currentID), .integer(ids.last ?? 0), .integer(Self.batch)]
            )
            ids += try rows.map { try $0.int("id") }
            if rows.count < Int(Self.batch) { return ids }
        }
    }

    /// True when it was done, false when it cannot be opened, nil when there is nothing to do any more.
    private func resealAccount(_ id: AccountID) async throws -> Bool? {
        try await changes.commit(by: .system) { change in
            guard let account = try await AccountStore.find(id, on: change.connection, forUpdate: true) else {
                return nil
            }
            let context = CredentialEntry.sealingContext(of: id)
            guard let sealed = try reseal(account.credentials.sealed, context) else { return nil }
            guard !sealed.isEmpty else { return false }
            // The secrets stay what they are, so the version since which they are these does too.
            try await change.connection.execute(
                """
                update accounts set credentials_sealed = $2, credentials_version = credentials_version + 1
                where id = $1
                """,
                [.integer(id.raw), .text(sealed)]
            )
            change.publish(.account(id))
            return true
        }
    }

    private func resealProxy(_ id: ProxyID) async throws -> Bool? {
        try await changes.commit(by: .system) { change in
            guard let proxy = try await ProxyStore.find(id, on: change.connection, forUpdate: true),
                let password = proxy.sealedPassword,
                let sealed = try reseal(password, ProxySnapshot.passwordSealingContext(of: id))
            else { return nil }
            guard !sealed.isEmpty else { return false }
            try await ProxyStore.update(id, to: proxy.fields, sealedPassword: sealed, on: change.connection)
            change.publish(.config)
            return true
        }
    }

    /// The same under the key that seals: nil when it is there already, empty when it cannot be opened.
    private func reseal(_ sealed: String, _ context: SealingContext) throws -> String? {
        guard SealedBox.keyID(of: sealed) != keys.currentID else { return nil }
        guard let plain = try? SealedBox.open(sealed, for: context, with: keys) else { return "" }
        return SealedBox.seal(plain, for: context, with: keys, nonce: SecureRandom.bytes(SealedBox.nonceBytes))
    }
}
