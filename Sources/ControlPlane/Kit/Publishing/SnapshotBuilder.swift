package import Domain
package import Formats
package import Snapshots

/// Turns rows into snapshots. Pure.
///
/// All revisions in entries are stamps, so that those of a restored database win over those from before.
package struct SnapshotBuilder {
    package let databaseEpoch: Int64

    package init(databaseEpoch: Int64) { self.databaseEpoch = databaseEpoch }

    package func stamp(_ revision: Int64) -> Int64 {
        SnapshotVersion(epoch: databaseEpoch, revision: revision).stamp
    }

    /// - Parameter revision: the highest of anything that is in the snapshot or was.
    package func config(
        revision: Int64,
        publishedAt: Timestamp,
        groups: [GroupRow],
        accounts: [AccountRow],
        proxies: [ProxySnapshot],
        prices: [ModelPrice],
        gatewaySetting: JSON?,
        betaPolicySetting: JSON? = nil,
        overloadSetting: JSON? = nil,
        rateLimitSetting: JSON? = nil,
        securitySetting: JSON? = nil
    ) -> ConfigSnapshot {
        let proxies = Dictionary(proxies.map { ($0.id, $0) }) { first, _ in first }
        let settings = Self.settings(gatewaySetting)
        return ConfigSnapshot(
            version: SnapshotVersion(epoch: databaseEpoch, revision: revision),
            publishedAt: publishedAt,
            groups: groups.filter { !$0.isDeleted }.map { row in
                var group = row.snapshot
                group.revision = stamp(group.revision)
                return group
            },
            accounts: accounts.compactMap { row in
                var account = row.snapshot
                if let id = row.proxy {
                    // Without its proxy an account must not be used: that would show the gateway's own address.
                    guard let proxy = proxies[id] else { return nil }
                    account.proxy = proxy
                }
                return account
            },
            prices: prices,
            settings: settings,
            betaPolicy: Self.betaPolicy(betaPolicySetting),
            cooldowns: CooldownSettings(
                overload: Self.cooldown(
                    overloadSetting,
                    "cooldown_minutes",
                    in: CooldownSettings.overloadMinutes,
                    default: CooldownSettings.defaultOverloadMinutes
                ).map { .seconds(60 * $0) },
                rateLimit: Self.cooldown(
                    rateLimitSetting,
                    "seconds",
                    in: CooldownSettings.rateLimitSeconds,
                    default: CooldownSettings.defaultRateLimitSeconds
                ).map { .seconds($0) },
                unauthorized: settings.unauthorizedPause
            ),
            security: SecuritySettings(
                trustedProxies: Self.texts(securitySetting?["trusted_proxies"]),
                corsOrigins: Self.texts(securitySetting?["cors_origins"])
            )
        )
    }

    private static func texts(_ list: JSON?) -> [String] { list?.array?.compactMap(\.string) ?? [] }

    /// What the database has of the setting `gateway`; what is missing, unknown or out of bounds has its default.
    static func settings(_ setting: JSON?) -> GatewaySettings {
        var settings = GatewaySettings()
        for (name, value) in setting?.object ?? [] {
            if let number = value.int64 ?? value.bool.map({ $0 ? 1 : 0 }) { _ = settings.set(name, number) }
        }
        return settings
    }

    /// What the database has of the setting `beta-policy`; a rule that cannot be read is left out.
    static func betaPolicy(_ setting: JSON?) -> BetaPolicy {
        let rules = (setting?["rules"]?.array ?? []).compactMap { rule -> BetaPolicy.Rule? in
            guard let token = rule["token"]?.string, let action = rule["action"]?.string.flatMap(BetaPolicy.Action.init)
            else { return nil }
            return BetaPolicy.Rule(
                token: token,
                action: action,
                scope: rule["scope"]?.string.flatMap(BetaPolicy.Scope.init) ?? .all,
                message: rule["message"]?.string ?? ""
            )
        }
        return BetaPolicy(rules)
    }

    /// What the database has of a cooldown; nil where it is switched off. What is missing, of another kind or out of
    /// bounds has its default.
    static func cooldown(_ setting: JSON?, _ name: String, in range: ClosedRange<Int64>, default fallback: Int64)
        -> Int64?
    {
        if setting?["enabled"]?.bool == false { return nil }
        guard let value = setting?[name]?.int64, range.contains(value) else { return fallback }
        return value
    }

    package func key(_ row: KeyRow) -> KeySnapshot {
        var key = row.snapshot
        key.revision = stamp(key.revision)
        key.userRevision = stamp(key.userRevision)
        return key
    }

    package func credentials(_ row: CredentialRow) -> CredentialEntry {
        CredentialEntry(
            account: row.account,
            version: stamp(row.version),
            secretsVersion: stamp(row.secretsVersion),
            expiresAt: row.expiresAt,
            sealed: row.sealed
        )
    }
}

/// A group as the database has it; `snapshot.revision` is the row's own.
package struct GroupRow: Hashable, Sendable {
    package var snapshot: GroupSnapshot
    package var isDeleted: Bool

    package init(snapshot: GroupSnapshot, isDeleted: Bool) {
        self.snapshot = snapshot
        self.isDeleted = isDeleted
    }
}

/// An account as the database has it, its proxy by id.
package struct AccountRow: Hashable, Sendable {
    package var snapshot: AccountSnapshot
    package var proxy: ProxyID?
}

/// A key with its user as the database has them; the snapshot's revisions are the rows' own.
package struct KeyRow: Hashable, Sendable {
    package var snapshot: KeySnapshot
    package var isDeleted = false
}

package struct CredentialRow: Hashable, Sendable {
    package var account: AccountID
    package var version: Int64
    /// Since which version the secrets are these.
    package var secretsVersion: Int64
    /// When the access token ends, where that is known.
    package var expiresAt: Timestamp?
    package var sealed: String
    package var isDeleted = false
}
